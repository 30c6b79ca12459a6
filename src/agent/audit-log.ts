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
  readonly clock: Pick<Clock, 'wallMs' | 'monotonicMs'>;
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
  }

  /** Resolves once all that was recorded is in the file, or lost. */
  async flush(): Promise<void> {
    await this.#writing;
  }

  async close(): Promise<void> {
    await this.flush();
    await this.#handle?.close();
    this.#handle = null;
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
    while (this.#waiting.length > 0) {
      const lines = this.#waiting;
      this.#waiting = [];
      this.#waitingBytes = 0;
      const lost = this.#lost;
      try {
        await this.#append(lost === 0 ? lines : [Buffer.from(`${JSON.stringify({ lost })}\n`), ...lines]);
        this.#lost -= lost;
      } catch (error) {
        this.#lost += lines.length;
        this.#complaints.write('write', () =>
          this.#options.log.error(
            { file: this.#file, error: messageOf(error) },
            'the audit log cannot be written',
          ),
        );
      }
    }
    this.#writing = null;
  }

  async #append(lines: readonly Buffer[]): Promise<void> {
    this.#handle ??= await this.#open();
    const bytes = Buffer.concat(lines);
    if (this.#bytes > 0 && this.#bytes + bytes.length > this.#fileBytes) {
      await this.#handle.close();
      this.#handle = null;
      await this.#takeTurns();
      this.#handle = await this.#open();
    }
    await this.#handle.appendFile(bytes);
    this.#bytes += bytes.length;
  }

  async #open(): Promise<FileHandle> {
    const handle = await open(this.#file, 'a', 0o600);
    this.#bytes = (await handle.stat()).size;
    return handle;
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
