/**
 * Keeps the output of one container in the attempt's own log, complete and once, also where the connection, the engine or
 * the daemon breaks in between: the engine holds it until it is read, and `log-position.ts` knows how far that has come.
 */
import { setTimeout as delay } from 'node:timers/promises';

import { messageOf } from '../../../lib/errors.ts';
import type { Log } from '../../../lib/log.ts';
import { readNewestLog } from '../../watchdog/attempt-log.ts';
import type { LogLimits } from '../../watchdog/limits.ts';
import { AttemptLogWriter } from '../../watchdog/log-writer.ts';
import type { OutputCounters } from '../../watchdog/output-counters.ts';
import { OutputTail } from '../../watchdog/output-tail.ts';
import type { Engine } from './engine.ts';
import { chunksOf } from './engine.ts';
import { insist } from './insist.ts';
import { DOCKER_LIMITS } from './limits.ts';
import { OutputDamaged, readLogEntries } from './log-frames.ts';
import { LogPosition } from './log-position.ts';

export interface ContainerLogOptions {
  /** Of the attempt; must exist. */
  readonly directory: string;
  readonly limits: LogLimits;
  readonly output: OutputCounters;
  readonly engine: Engine;
  readonly log: Log;
}

export class ContainerLog {
  readonly #options: ContainerLogOptions;
  readonly #writer: AttemptLogWriter;
  readonly #position: LogPosition;
  readonly #tail: OutputTail;
  /** The container has ended: what is being read is the last. */
  readonly #over = new AbortController();
  /** The end of that was waited for long enough. */
  readonly #cut = new AbortController();
  #followed: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #drained = Promise.withResolvers<void>();

  private constructor(
    options: ContainerLogOptions,
    parts: { writer: AttemptLogWriter; position: LogPosition; tail: OutputTail },
  ) {
    this.#options = options;
    ({ writer: this.#writer, position: this.#position, tail: this.#tail } = parts);
    this.#writer.onDrain = () => this.#drained.resolve();
  }

  /** Goes on after what an earlier daemon kept. */
  static async open(options: ContainerLogOptions): Promise<ContainerLog> {
    const position = new LogPosition();
    const tail = new OutputTail();
    for await (const { atMs, data } of readNewestLog(options.directory)) {
      position.add(atMs);
      tail.add(data);
    }
    const writer = await AttemptLogWriter.create(options.directory, options.limits, options.output);
    return new ContainerLog(options, { writer, position, tail });
  }

  get tail(): string {
    return this.#tail.text;
  }

  /** From a moment on, so that a container that ends at once costs one reading. The signal ends it, whatever happens. */
  follow(id: string, signal: AbortSignal): void {
    this.#timer = setTimeout(() => {
      this.#followed = this.#follow(id, AbortSignal.any([signal, this.#cut.signal]));
    }, DOCKER_LIMITS.followAfterMs);
  }

  /** To be called once the container has ended, or is gone: reads what is missing and writes the end of the log. */
  async finish(id: string | null, signal: AbortSignal): Promise<void> {
    clearTimeout(this.#timer);
    this.#over.abort();
    const late = new AbortController();
    // The only failure of a delay is that it was aborted: then nobody waits for it any more.
    await Promise.race([
      this.#followed,
      delay(DOCKER_LIMITS.logEndTimeoutMs, undefined, { signal: late.signal }).catch(() => undefined),
    ]);
    late.abort();
    this.#cut.abort();
    await this.#followed;
    if (id !== null) await this.#readRest(id, signal);
    await this.#writer.end(Date.now());
    const { bytes, error } = this.#writer.loss;
    if (bytes > 0) this.#options.log.warn({ bytes, error: messageOf(error) }, 'output of a task was lost');
  }

  /** Lets go of it where its attempt is no longer followed; a later daemon goes on. */
  async release(): Promise<void> {
    clearTimeout(this.#timer);
    this.#cut.abort(new Error('the output is no longer followed'));
    await this.#followed;
    await this.#writer.release();
  }

  async #follow(id: string, signal: AbortSignal): Promise<void> {
    const over = AbortSignal.any([signal, this.#over.signal]);
    while (!over.aborted) {
      try {
        await insist(signal, () => this.#read(id, { follow: true }, signal));
      } catch (error) {
        if (signal.aborted) return;
        this.#options.log.debug({ id, error: messageOf(error) }, 'following the output broke');
        // It would break there again and again; at the end it is tried once more.
        if (error instanceof OutputDamaged) return;
      }
      // It ends when the container does, and then `finish` comes, which aborts the delay; or the engine let go of it.
      await delay(DOCKER_LIMITS.followAfterMs, undefined, { signal: over }).catch(() => undefined);
    }
  }

  /**
   * Not followed: an engine that missed the end of a container would go on for ever. Whatever becomes of the output, the
   * exit must not wait for it without end, let alone be lost with it.
   */
  async #readRest(id: string, signal: AbortSignal): Promise<void> {
    try {
      const bounded = AbortSignal.any([signal, AbortSignal.timeout(DOCKER_LIMITS.restTimeoutMs)]);
      await insist(bounded, () => this.#read(id, { follow: false }, bounded));
    } catch (error) {
      signal.throwIfAborted();
      this.#options.log.warn({ id, error: messageOf(error) }, 'not all output of a container could be read');
    }
  }

  /** Once, up to the end of the stream. @throws NoAnswer, EngineRefusal, the signal's reason */
  async #read(id: string, { follow }: { readonly follow: boolean }, signal: AbortSignal): Promise<void> {
    const { sinceSeconds, skipEntries, skipUntilMs } = this.#position.resume;
    const options = { sinceSeconds: String(sinceSeconds), follow };
    const stream = await this.#options.engine.logs(id, options, signal);
    if (stream === null) return;
    let skipped = 0;
    for await (const { stream: kind, atMs, data } of readLogEntries(chunksOf(stream, signal))) {
      if (skipped < skipEntries && atMs <= skipUntilMs) {
        skipped += 1;
        continue;
      }
      this.#position.add(atMs);
      this.#tail.add(data);
      if (!this.#writer.write(kind, atMs, data)) await this.#drain();
    }
  }

  async #drain(): Promise<void> {
    await this.#drained.promise;
    this.#drained = Promise.withResolvers<void>();
  }
}
