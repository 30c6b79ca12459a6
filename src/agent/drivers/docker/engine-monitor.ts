/**
 * Watches the engine: whether it answers, which containers end, and, because an event may be missed, again and again which
 * there are. All that it tells are hints: whoever is meant looks for himself.
 */
import { z } from 'zod';

import { pause } from '../../../lib/backoff.ts';
import { systemClock } from '../../../lib/clock.ts';
import { isErrno } from '../../../lib/errno.ts';
import { messageOf } from '../../../lib/errors.ts';
import type { Log } from '../../../lib/log.ts';
import type { ContainerSummary, Engine } from './engine.ts';
import { chunksOf, NoAnswer } from './engine.ts';
import { DOCKER_LIMITS } from './limits.ts';
import { readLines } from './lines.ts';

export interface EngineListener {
  /** Something has happened to a container with these labels. */
  onEvent(labels: Readonly<Record<string, string>>): void;
  /** All of this and other nodes of Jarvis, in every state. */
  onList(containers: readonly ContainerSummary[]): void;
  onAvailability(isAvailable: boolean): void;
  /** It has answered, as it does every few seconds. */
  onAnswer(): void;
  /** Whether something runs: then it is looked at more often. */
  isBusy(): boolean;
}

/** Wall time. */
export interface Outage {
  /** Not later than its beginning. */
  readonly fromMs: number;
  /** Not earlier. */
  readonly noticedMs: number;
  /** Null while it lasts. */
  readonly untilMs: number | null;
}

const eventSchema = z.object({ Actor: z.object({ Attributes: z.record(z.string(), z.string()) }) });
const EVENT_BYTES = 1024 * 1024;
/** More than an engine has in the time of one look at its containers. */
const OUTAGES_KEPT = 16;

export class EngineMonitor {
  readonly #engine: Engine;
  readonly #label: string;
  readonly #listener: EngineListener;
  readonly #log: Log;
  readonly #closing = new AbortController();
  #isAvailable = false;
  #lastAnswerMs = Number.NEGATIVE_INFINITY;
  #lastAnswerWallMs = 0;
  #lastListMs = Number.NEGATIVE_INFINITY;
  /** The newest last. */
  readonly #outages: Outage[] = [];
  #events: Promise<void> | null = null;
  #run: Promise<void> = Promise.resolve();

  constructor(options: { engine: Engine; label: string; listener: EngineListener; log: Log }) {
    this.#engine = options.engine;
    this.#label = options.label;
    this.#listener = options.listener;
    this.#log = options.log;
  }

  /** It answered not long ago. */
  get isAvailable(): boolean {
    return this.#isAvailable;
  }

  /** When the engine was gone, as broken connections show: then it ended its containers, or may have. */
  get outages(): readonly Outage[] {
    return this.#outages;
  }

  /** Resolves after the first look, or when an engine that is silent has been waited for long enough. */
  async start(): Promise<void> {
    const first = this.#look();
    this.#run = this.#watchAfter(first);
    const patience = new AbortController();
    await Promise.race([first, pause(systemClock, DOCKER_LIMITS.firstLookMs, patience.signal)]);
    patience.abort();
  }

  async #watchAfter(first: Promise<void>): Promise<void> {
    await first;
    await this.#watch();
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error('the driver is closed'));
    await Promise.allSettled([this.#run, this.#events]);
  }

  async #watch(): Promise<void> {
    const { signal } = this.#closing;
    for (;;) {
      await pause(systemClock, DOCKER_LIMITS.pingIntervalMs, signal);
      if (signal.aborted) return;
      await this.#look();
    }
  }

  /** Whether it answers; if so, that events come in, and what there is. */
  async #look(): Promise<void> {
    const { signal } = this.#closing;
    try {
      await this.#engine.ping(signal);
      this.#answered();
      this.#listener.onAnswer();
      this.#events ??= this.#followEvents();
      const { reconcileIntervalMs, idleReconcileIntervalMs } = DOCKER_LIMITS;
      const intervalMs = this.#listener.isBusy() ? reconcileIntervalMs : idleReconcileIntervalMs;
      if (performance.now() - this.#lastListMs < intervalMs) return;
      const containers = await this.#engine.list(this.#label, signal);
      this.#lastListMs = performance.now();
      this.#tell(containers);
    } catch (error) {
      if (signal.aborted) return;
      this.#log.debug({ error: messageOf(error) }, 'the container engine does not answer');
      if (isAbsent(error)) this.#beginOutage(this.#lastAnswerWallMs);
      const silenceMs = performance.now() - this.#lastAnswerMs;
      if (silenceMs > DOCKER_LIMITS.unavailableAfterMs) this.#setAvailable(false, messageOf(error));
    }
  }

  /** A bug in what is made of the list is no silence of the engine. */
  #tell(containers: readonly ContainerSummary[]): void {
    try {
      this.#listener.onList(containers);
    } catch (error) {
      this.#log.error({ error: messageOf(error) }, 'the list of containers was not taken in');
    }
  }

  #answered(): void {
    this.#lastAnswerMs = performance.now();
    this.#lastAnswerWallMs = Date.now();
    const newest = this.#outages.at(-1);
    if (newest?.untilMs === null) this.#outages.splice(-1, 1, { ...newest, untilMs: Date.now() });
    this.#setAvailable(true, '');
  }

  #beginOutage(fromMs: number): void {
    if (this.#outages.at(-1)?.untilMs === null) return;
    this.#outages.push({ fromMs, noticedMs: Date.now(), untilMs: null });
    if (this.#outages.length > OUTAGES_KEPT) this.#outages.shift();
  }

  #setAvailable(isAvailable: boolean, why: string): void {
    if (this.#isAvailable === isAvailable) return;
    this.#isAvailable = isAvailable;
    if (isAvailable) this.#log.info({}, 'the container engine answers');
    else this.#log.warn({ error: why }, 'the container engine does not answer: it gets no new tasks');
    this.#listener.onAvailability(isAvailable);
  }

  async #followEvents(): Promise<void> {
    const { signal } = this.#closing;
    let isOurFault = false;
    try {
      const stream = await this.#engine.events(this.#label, signal);
      // What came before it was open is in the next list.
      this.#lastListMs = Number.NEGATIVE_INFINITY;
      for await (const line of readLines(chunksOf(stream, signal), EVENT_BYTES)) {
        // What is not understood says nothing of the engine's health; the list finds what it told of.
        isOurFault = true;
        const event = eventSchema.safeParse(JSON.parse(line));
        if (event.success) this.#listener.onEvent(event.data.Actor.Attributes);
        isOurFault = false;
      }
    } catch (error) {
      if (signal.aborted) return;
      this.#log.debug({ error: messageOf(error) }, 'the events of the container engine broke off');
    }
    if (signal.aborted) return;
    // An engine ends its side of a connection only when it ends itself; it may have begun with that long before.
    if (!isOurFault) this.#beginOutage(this.#lastAnswerWallMs);
    this.#lastListMs = Number.NEGATIVE_INFINITY;
    this.#events = null;
  }
}

/** Nobody listens, as opposed to nobody answering. */
function isAbsent(error: unknown): boolean {
  return error instanceof NoAnswer && isErrno(error.cause, 'ECONNREFUSED', 'ENOENT', 'ECONNRESET', 'EPIPE');
}
