/**
 * The record of who did what (docs/security.md): one line of JSON per request that was denied or that changed something, in
 * files that take turns. Denied ones that repeat are merged, so that nobody who is refused fills the disk.
 */
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import path from 'node:path';

import type { Clock } from '../lib/clock.ts';
import { messageOf } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { Log } from '../lib/log.ts';
import { RepeatedLines } from '../lib/repeated-lines.ts';
import { formatTime } from '../lib/times.ts';
import { withoutTokens } from '../lib/token-text.ts';
import type { AuditRecord, AuditTrail } from '../operations/guard.ts';

const FILE_NAME = 'audit.log';
const MAX_TARGET_CHARACTERS = 256;

export interface AuditLogOptions {
  readonly directory: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Of each file. */
  readonly fileBytes?: number;
}

export class AuditLog implements AuditTrail {
  readonly #options: AuditLogOptions;
  readonly #file: string;
  readonly #fileBytes: number;
  readonly #denied: RepeatedLines;
  readonly #complaints: RepeatedLines;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  /** Lines that were not written since the last that was. */
  #lost = 0;
  #handle: FileHandle | null = null;
  #bytes = 0;
  #writing: Promise<void> | null = null;
  #cancelTimer: (() => void) | null = null;
  #isClosed = false;

  constructor(options: AuditLogOptions) {
    this.#options = options;
    this.#file = path.join(options.directory, FILE_NAME);
    this.#fileBytes = options.fileBytes ?? limits.auditFileBytes;
    const often = { intervalMs: limits.repeatedLineMs, kindsKept: limits.repeatedLineKinds };
    this.#denied = new RepeatedLines({ clock: options.clock, ...often });
    this.#complaints = new RepeatedLines({ clock: options.clock, ...often });
  }

  record(record: AuditRecord, denied: boolean): void {
    if (!denied) return this.#add(record);
    const { operation, address, principal, result } = record;
    const kind = [operation, address, principal ?? '', result].join(' ');
    this.#denied.write(kind, (heldBack) =>
      this.#add(heldBack === 0 ? record : { ...record, more_before: heldBack }),
    );
    this.#lookAgain();
  }

  /** Those that were held back are written also where no other of their kind comes. */
  #lookAgain(): void {
    if (this.#isClosed || this.#cancelTimer !== null || !this.#denied.isHolding) return;
    this.#cancelTimer = this.#options.clock.after(limits.repeatedLineMs, () => {
      this.#cancelTimer = null;
      this.#denied.writeHeld();
      this.#lookAgain();
    });
  }

  /** Resolves once all that was recorded is in the file, or lost. */
  async flush(): Promise<void> {
    await this.#writing;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelTimer?.();
    this.#denied.writeHeld({ isEnd: true });
    await this.flush();
    // Of those that came after the last line.
    if (this.#lost > 0) await (this.#writing = this.#write());
    await this.#closeFile();
  }

  #add(record: AuditRecord & { readonly more_before?: number }): void {
    const { target, ...rest } = record;
    const named =
      target.length > MAX_TARGET_CHARACTERS ? `${target.slice(0, MAX_TARGET_CHARACTERS)}…` : target;
    const line = { time: formatTime(this.#options.clock.wallMs()), ...rest, target: named };
    const bytes = Buffer.from(`${withoutTokens(JSON.stringify(line))}\n`);
    if (this.#waitingBytes + bytes.length > limits.auditWaitingBytes) {
      this.#lost += 1;
      return;
    }
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    this.#writing ??= this.#write();
  }

  /** Until nothing waits; never throws. */
  async #write(): Promise<void> {
    // What is recorded in the same turn goes into one write.
    await Promise.resolve();
    do {
      const lines = this.#waiting;
      this.#waiting = [];
      this.#waitingBytes = 0;
      const lost = this.#lost;
      try {
        await this.#append(lost === 0 ? lines : [Buffer.from(`${JSON.stringify({ lost })}\n`), ...lines]);
        this.#lost -= lost;
      } catch (error) {
        this.#lost += lines.length;
        // What it has come to is looked at when it is opened anew.
        await this.#closeFile();
        this.#complaints.write('write', () =>
          this.#options.log.error(
            { file: this.#file, error: messageOf(error) },
            'the audit log cannot be written',
          ),
        );
      }
    } while (this.#waiting.length > 0);
    this.#writing = null;
  }

  async #append(lines: readonly Buffer[]): Promise<void> {
    const bytes = Buffer.concat(lines);
    let handle = await this.#open();
    if (this.#bytes > 0 && this.#bytes + bytes.length > this.#fileBytes) {
      await this.#closeFile();
      await this.#takeTurns();
      handle = await this.#open();
    }
    await handle.appendFile(bytes);
    this.#bytes += bytes.length;
  }

  /** A line that an earlier write has left unfinished stays alone. */
  async #open(): Promise<FileHandle> {
    if (this.#handle !== null) return this.#handle;
    const handle = await open(this.#file, 'a+', 0o600);
    this.#handle = handle;
    const stats = await handle.stat();
    this.#bytes = stats.size;
    if (stats.isFile() && (stats.mode & 0o077) !== 0) await handle.chmod(0o600);
    if (this.#bytes === 0) return handle;
    const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, this.#bytes - 1);
    if (buffer.toString() === '\n') return handle;
    await handle.appendFile('\n');
    this.#bytes += 1;
    return handle;
  }

  /** Never throws: all that was to be written to it was, or is lost. */
  async #closeFile(): Promise<void> {
    const handle = this.#handle;
    this.#handle = null;
    try {
      await handle?.close();
    } catch (error) {
      this.#options.log.warn({ file: this.#file, error: messageOf(error) }, 'the audit log was not closed');
    }
  }

  async #takeTurns(): Promise<void> {
    await rm(`${this.#file}.${limits.auditFiles - 1}`, { force: true });
    for (let age = limits.auditFiles - 2; age >= 0; age -= 1) {
      const from = age === 0 ? this.#file : `${this.#file}.${age}`;
      try {
        await rename(from, `${this.#file}.${age + 1}`);
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
      }
    }
  }
}
