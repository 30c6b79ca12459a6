/** Pumps the output of one attempt into its log, no faster than the disk takes it, and keeps the last of it at hand. */
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';

import { messageOf } from '../../lib/errors.ts';
import { readNewestLog } from './attempt-log.ts';
import type { Diagnose } from './diagnostics.ts';
import { WATCHDOG_LIMITS } from './limits.ts';
import type { LogStream } from './log-format.ts';
import type { AttemptLogWriter } from './log-writer.ts';
import { OutputTail } from './output-tail.ts';

interface PumpTools {
  readonly diagnose: Diagnose;
  /** Milliseconds since 1970; may jump. */
  readonly wallMs: () => number;
}

export class OutputPump {
  readonly #writer: AttemptLogWriter;
  readonly #diagnose: Diagnose;
  readonly #wallMs: () => number;
  /** Of what is in the log. */
  #newestAtMs: number;
  readonly #open = new Map<Readable, Promise<void>>();
  #paused = false;
  /** Counts what arrived, so that a silent pipe is told from a busy one. */
  #activity = 0;
  readonly #tail = new OutputTail();

  /** Use {@link OutputPump.open}. */
  constructor(writer: AttemptLogWriter, newestAtMs: number, { diagnose, wallMs }: PumpTools) {
    this.#writer = writer;
    this.#newestAtMs = newestAtMs;
    this.#diagnose = diagnose;
    this.#wallMs = wallMs;
    writer.onDrain = () => this.#resume();
  }

  /** @param directory has the log that `writer` begins, or goes on with */
  static async open(directory: string, writer: AttemptLogWriter, tools: PumpTools): Promise<OutputPump> {
    let newestAtMs = 0;
    try {
      for await (const { atMs } of readNewestLog(directory)) newestAtMs = Math.max(newestAtMs, atMs);
    } catch (error) {
      // Not for this may an attempt be lost.
      tools.diagnose('output of before could not be read', { directory, error: messageOf(error) });
    }
    return new OutputPump(writer, newestAtMs, tools);
  }

  attach(stream: LogStream, source: Readable): void {
    const closed = new Promise<void>((resolve) => {
      source.once('close', () => {
        this.#open.delete(source);
        resolve();
      });
    });
    this.#open.set(source, closed);
    source.on('error', (error) => this.#diagnose('output pipe failed', { stream, error: messageOf(error) }));
    source.on('data', (chunk: Buffer) => this.#take(stream, chunk));
    if (this.#paused) source.pause();
  }

  /**
   * To be called once nothing of the attempt runs: the pipes then end by themselves, unless a process that escaped holds
   * them; such a one is cut off when it has been silent for a while, or has had its time. Writes the end of the log.
   */
  async finish(): Promise<void> {
    let readMs = 0;
    while (this.#open.size > 0) {
      const before = this.#activity;
      const silence = new AbortController();
      // The only failure of a delay is that it was aborted: then the race is over.
      await Promise.race([
        Promise.all(this.#open.values()),
        delay(WATCHDOG_LIMITS.pipeCloseTimeoutMs, undefined, { signal: silence.signal }).catch(() => {}),
      ]);
      silence.abort();
      const isSilent = before === this.#activity;
      // Waiting for the disk is no time to read in.
      if (isSilent && this.#paused) continue;
      readMs += WATCHDOG_LIMITS.pipeCloseTimeoutMs;
      if (isSilent || readMs >= WATCHDOG_LIMITS.pipeDrainTimeoutMs)
        for (const source of this.#open.keys()) source.destroy();
    }
    await this.#writer.end(this.#stamp());
    const { bytes, error } = this.#writer.loss;
    if (bytes > 0) this.#diagnose('output lost', { bytes, error: messageOf(error) });
  }

  /** The last of the output, as text. */
  get tail(): string {
    return this.#tail.text;
  }

  #take(stream: LogStream, chunk: Buffer): void {
    this.#activity += 1;
    this.#tail.add(chunk);
    if (this.#writer.write(stream, this.#stamp(), chunk)) return;
    this.#paused = true;
    for (const source of this.#open.keys()) source.pause();
  }

  /** Never falls, whatever becomes of the clock: followers go on from the newest time that they have seen. */
  #stamp(): number {
    this.#newestAtMs = Math.max(this.#newestAtMs, this.#wallMs());
    return this.#newestAtMs;
  }

  #resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#activity += 1;
    for (const source of this.#open.keys()) source.resume();
  }
}
