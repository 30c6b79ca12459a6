/**
 * Carries out what the core wants of the drivers, and asks again as long as it is not known whether it happened: nothing
 * is ever taken for ended because a driver did not answer.
 */
import { invariant } from '../../lib/assert.ts';
import type { Clock } from '../../lib/clock.ts';
import { JarvisError, messageOf } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type { Random } from '../../lib/random.ts';
import { Slots } from '../../lib/slots.ts';
import type { AttemptKey, AttemptSpec, AttemptView, Driver, DriverName, Exit } from '../drivers/driver.ts';
import { Backoff, pause } from '../../lib/backoff.ts';
import { attemptFields } from '../watchdog/paths.ts';
import { WORKER_LIMITS } from './limits.ts';
import { nameOf } from './report-outbox.ts';
import type { InventoryEntry, WorkerEvent } from './worker-events.ts';

export interface DriverRunnerOptions {
  readonly drivers: readonly Driver[];
  readonly emit: (event: WorkerEvent) => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

interface PendingStart {
  readonly session: number;
  readonly controller: AbortController;
}

/** null: given up, because the signal was aborted. */
type Settled<T> = { readonly value: T } | null;

export class DriverRunner {
  readonly #options: DriverRunnerOptions;
  readonly #drivers: ReadonlyMap<DriverName, Driver>;
  readonly #closing = new AbortController();
  readonly #starts = new Map<string, PendingStart>();
  /** A node may be given thousands of tasks at once: each driver starts as many at a time as it says. */
  readonly #startSlots: ReadonlyMap<DriverName, Slots>;

  constructor(options: DriverRunnerOptions) {
    this.#options = options;
    this.#drivers = new Map(options.drivers.map((driver) => [driver.name, driver]));
    this.#startSlots = new Map(
      options.drivers.map(({ name, startsAtOnce }) => [name, new Slots(startsAtOnce)]),
    );
  }

  /** Gives everything up; what runs, runs on. */
  close(): void {
    this.#closing.abort();
    for (const { controller } of this.#starts.values()) controller.abort();
  }

  /**
   * Tells every driver the session, then asks each for everything that it knows.
   * @param signal of the connection for which it is taken
   */
  async takeInventory(session: number, connection: number, signal: AbortSignal): Promise<void> {
    for (const [name, start] of this.#starts) {
      if (start.session >= session) continue;
      start.controller.abort();
      this.#starts.delete(name);
    }
    const both = AbortSignal.any([signal, this.#closing.signal]);
    const opened = await Promise.all(
      this.#options.drivers.map((driver) =>
        this.#insist({ what: 'open', driver: driver.name, session }, both, () => driver.open(session, both)),
      ),
    );
    if (opened.includes(null)) return;
    const listed = await Promise.all(this.#options.drivers.map(({ name }) => this.#list(name, both)));
    if (listed.includes(null)) return;
    const entries = listed.flatMap((some) => some ?? []);
    this.#options.emit({ type: 'inventoried', connection, session, entries });
  }

  /** Asks each driver by itself, until it answers, what it knows. */
  async lookForLeased(): Promise<void> {
    const { signal } = this.#closing;
    await Promise.all(
      this.#options.drivers.map(async ({ name }) => {
        const entries = await this.#list(name, signal);
        if (entries !== null) this.#options.emit({ type: 'found', entries });
      }),
    );
  }

  /** @returns null where that was given up */
  async #list(name: DriverName, signal: AbortSignal): Promise<readonly InventoryEntry[] | null> {
    const driver = this.#driver(name);
    const views = await this.#insist({ what: 'list', driver: name }, signal, () => driver.list(signal));
    return views?.value.map((view): InventoryEntry => ({ driver: name, view })) ?? null;
  }

  async start(name: DriverName, spec: AttemptSpec): Promise<void> {
    const key: AttemptKey = { taskId: spec.taskId, assignment: spec.assignment };
    const controller = new AbortController();
    const start: PendingStart = { session: spec.session, controller };
    this.#starts.set(nameOf(key), start);
    const driver = this.#driver(name);
    const settled = await this.#insist(
      { what: 'start', ...attemptFields(key) },
      controller.signal,
      async () => {
        try {
          return { view: await this.#startOnce(driver, spec, start) };
        } catch (error) {
          // Both are final: it never runs.
          if (!(error instanceof JarvisError)) throw error;
          if (error.code === 'invalid') return { status: 'FAILED' as const, message: error.message };
          if (error.code === 'conflict') return { status: 'LOST' as const, message: error.message };
          throw error;
        }
      },
    );
    if (this.#starts.get(nameOf(key)) === start) this.#starts.delete(nameOf(key));
    if (settled === null) return;
    const { value } = settled;
    if ('view' in value) this.#options.emit({ type: 'started', key, view: value.view });
    else this.#options.emit({ type: 'startRefused', key, ...value });
  }

  /** Within the driver's slots; says what the start does for as long as somebody waits for it. */
  #startOnce(driver: Driver, spec: AttemptSpec, start: PendingStart): Promise<AttemptView> {
    const key: AttemptKey = { taskId: spec.taskId, assignment: spec.assignment };
    const slots = this.#startSlots.get(driver.name);
    invariant(slots !== undefined, 'every driver has its slots');
    const { signal } = start.controller;
    const onProgress = (note: string): void => {
      if (signal.aborted || this.#starts.get(nameOf(key)) !== start) return;
      this.#options.emit({ type: 'progress', key, note });
    };
    return slots.use(async () => {
      signal.throwIfAborted();
      return await driver.start(spec, signal, onProgress);
    });
  }

  async watch(name: DriverName, key: AttemptKey, isRunning: boolean): Promise<void> {
    const driver = this.#driver(name);
    if (!isRunning) void this.#reportOnceRunning(driver, key);
    const settled = await this.#insist({ what: 'wait', ...attemptFields(key) }, this.#closing.signal, () =>
      unlessUnknown(
        driver.wait(key, this.#closing.signal, (stop) => this.#options.emit({ type: 'stopping', key, stop })),
      ),
    );
    if (settled === null) return;
    if (settled.value === null) this.#options.emit({ type: 'vanished', key });
    else this.#options.emit({ type: 'ended', key, exit: settled.value });
  }

  /** @param name null: every driver is told, so that none starts it later */
  async stop(name: DriverName | null, key: AttemptKey, graceMs: number): Promise<void> {
    this.#starts.get(nameOf(key))?.controller.abort();
    const drivers = name === null ? this.#options.drivers : [this.#driver(name)];
    const settled = await Promise.all(
      drivers.map((driver) =>
        this.#insist({ what: 'stop', ...attemptFields(key) }, this.#closing.signal, () =>
          driver.stop(key, { graceMs }, this.#closing.signal),
        ),
      ),
    );
    if (settled.includes(null)) return;
    const exit = settled.reduce<Exit | null>((found, one) => found ?? one?.value ?? null, null);
    this.#options.emit({ type: 'stopped', key, exit });
  }

  /** Resolves once the driver has forgotten the attempt; false where that was given up. */
  async forget(name: DriverName | null, key: AttemptKey): Promise<boolean> {
    const drivers = name === null ? this.#options.drivers : [this.#driver(name)];
    const settled = await Promise.all(
      drivers.map((driver) =>
        this.#insist({ what: 'remove', ...attemptFields(key) }, this.#closing.signal, () =>
          driver.remove(key, this.#closing.signal),
        ),
      ),
    );
    return !settled.includes(null);
  }

  /** Repeats a call until it is answered, or the signal is aborted: that bounds it, together with the pauses. */
  async #insist<T>(fields: object, signal: AbortSignal, call: () => Promise<T>): Promise<Settled<T>> {
    const { clock, random, log } = this.#options;
    const backoff = new Backoff({
      minMs: WORKER_LIMITS.driverRetryMinMs,
      maxMs: WORKER_LIMITS.driverRetryMaxMs,
      random,
    });
    while (!signal.aborted) {
      try {
        return { value: await call() };
      } catch (error) {
        if (signal.aborted) return null;
        const known = error instanceof JarvisError ? error.code : 'internal';
        log.warn(
          { ...fields, code: known, error: messageOf(error) },
          'a driver did not answer; asking again',
        );
      }
      await pause(clock, backoff.next(), signal);
    }
    return null;
  }

  /** The port only tells the end; that an adopted attempt has begun to execute is seen in the list. */
  async #reportOnceRunning(driver: Driver, key: AttemptKey): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      await pause(this.#options.clock, WORKER_LIMITS.registeredPollMs, signal);
      const views = await this.#insist({ what: 'list', driver: driver.name }, signal, () =>
        driver.list(signal),
      );
      if (views === null) return;
      const view = views.value.find((one) => nameOf(one) === nameOf(key));
      if (view === undefined || view.type === 'ended') return;
      if (view.type === 'running') return this.#options.emit({ type: 'started', key, view });
    }
  }

  #driver(name: DriverName): Driver {
    const driver = this.#drivers.get(name);
    if (driver === undefined) throw new JarvisError('internal', `this node has no driver ${name}`);
    return driver;
  }
}

/** null where the driver does not know the attempt. */
async function unlessUnknown(exit: Promise<Exit>): Promise<Exit | null> {
  try {
    return await exit;
  } catch (error) {
    if (error instanceof JarvisError && error.code === 'not_found') return null;
    throw error;
  }
}
