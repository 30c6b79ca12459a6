/**
 * What each running attempt of this node uses. Rounds over all of them, in slices, so that nothing else of this thread
 * waits long; a round that costs more is followed by a longer pause, so that any number of attempts costs the same share
 * of a core (docs/monitoring.md).
 */
import { pause } from '../../lib/backoff.ts';
import type { Clock } from '../../lib/clock.ts';
import { messageOf } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { RepeatedLines } from '../../lib/repeated-lines.ts';
import type { AttemptCounters, RunningAttempt } from '../drivers/attempt-counters.ts';
import type { AttemptKey, Driver, DriverName } from '../drivers/driver.ts';
import { attemptName } from '../watchdog/paths.ts';
import type { ProcessEntry } from '../watchdog/processes.ts';
import { WORKER_LIMITS } from '../worker/limits.ts';
import { AttemptHistory } from './attempt-history.ts';
import { beginning, usedBetween, type AttemptUse, type CountersAt } from './attempt-rates.ts';
import { marksOf, pidsByMarks, type AttemptReader, type ReaderMemory } from './attempt-reader.ts';
import { MONITOR_LIMITS } from './limits.ts';

export type MeasuredDriver = Pick<Driver, 'name' | 'running' | 'askCounters'>;

export interface AttemptMeterOptions {
  readonly drivers: readonly MeasuredDriver[];
  readonly reader: Pick<AttemptReader, 'read'>;
  /** Every process of the machine; asked only where an attempt has no group. */
  readonly scan: () => Promise<readonly ProcessEntry[]>;
  readonly clock: Clock;
  /** What a round costs is measured by it, in milliseconds of processor time of this thread. */
  readonly costMs?: () => number;
  readonly log: Log;
}

/** An attempt, and what it used when it was measured last. */
export interface MeasuredAttempt {
  readonly attempt: RunningAttempt;
  readonly driver: DriverName;
  /** Wall time. */
  readonly sampledAtMs: number;
  readonly use: AttemptUse;
  /** Null: it has none yet, or too many others have. */
  readonly history: AttemptHistory | null;
}

interface Tracked {
  readonly attempt: RunningAttempt;
  readonly driver: MeasuredDriver;
  readonly memory: ReaderMemory;
  before: CountersAt | null;
  /** From which the next row of the history is counted. */
  rowBefore: CountersAt | null;
  measured: MeasuredAttempt | null;
  history: AttemptHistory | null;
  /** It was in neither a group nor among the processes. */
  isUnseen: boolean;
}

export class AttemptMeter {
  readonly #options: AttemptMeterOptions;
  readonly #costMs: () => number;
  readonly #tracked = new Map<string, Tracked>();
  readonly #closing = new AbortController();
  readonly #complaints: RepeatedLines;
  #rounds: Promise<void> | null = null;
  /** Questions to an engine that are under way. */
  #asking: Promise<void> | null = null;
  #histories = 0;
  /** Where the next questions to an engine begin. */
  #engineTurn = 0;

  constructor(options: AttemptMeterOptions) {
    this.#options = options;
    this.#costMs = options.costMs ?? threadCpuMs;
    this.#complaints = new RepeatedLines({
      clock: options.clock,
      intervalMs: WORKER_LIMITS.usageComplaintMs,
      kindsKept: 1,
    });
  }

  start(): void {
    this.#rounds ??= this.#run();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#rounds;
    await this.#asking;
  }

  /** All that run and were measured, the most demanding first. */
  all(): readonly MeasuredAttempt[] {
    const running = new Set(this.#running().map(({ attempt }) => attemptName(attempt)));
    return [...this.#tracked]
      .flatMap(([name, { measured }]) => (measured === null || !running.has(name) ? [] : [measured]))
      .sort((a, b) => demand(b) - demand(a) || (b.use.memoryBytes ?? 0) - (a.use.memoryBytes ?? 0));
  }

  /** One that has only just begun is measured at once. @returns null where it does not run here, or nothing of it can be told */
  async one(key: AttemptKey): Promise<MeasuredAttempt | null> {
    const found = this.#running().find(({ attempt }) => attemptName(attempt) === attemptName(key));
    if (found === undefined) return null;
    const tracked = this.#track(found);
    if (tracked.measured === null) {
      const scanned = found.attempt.cgroup === null ? await this.#options.scan() : [];
      this.#measure(tracked, pidsByMarks(scanned));
      if (tracked.isUnseen) await this.#askEngine(tracked);
    }
    return tracked.measured;
  }

  async #run(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#closing;
    while (!signal.aborted) {
      const beganMs = clock.monotonicMs();
      let costMs = 0;
      try {
        costMs = await this.#round();
      } catch (error) {
        this.#complain(error);
      }
      const { roundIntervalMs, roundCostDivisor } = MONITOR_LIMITS;
      const restMs = Math.max(roundIntervalMs, costMs * roundCostDivisor) - (clock.monotonicMs() - beganMs);
      await pause(clock, Math.max(0, restMs), signal);
    }
  }

  /** @returns what it took of this thread */
  async #round(): Promise<number> {
    const { clock, scan } = this.#options;
    const { signal } = this.#closing;
    let costMs = 0;
    let sliceMs = this.#costMs();
    const running = this.#running();
    this.#forgetAllBut(running);
    let processes: readonly ProcessEntry[] = [];
    if (running.some(({ attempt }) => attempt.cgroup === null)) processes = await scan();
    const pids = pidsByMarks(processes);
    for (const one of running) {
      this.#measure(this.#track(one), pids);
      const spentMs = this.#costMs() - sliceMs;
      if (spentMs < MONITOR_LIMITS.sliceMs) continue;
      costMs += spentMs;
      await pause(clock, MONITOR_LIMITS.slicePauseMs, signal);
      if (signal.aborted) return costMs;
      sliceMs = this.#costMs();
    }
    costMs += this.#costMs() - sliceMs;
    // Not waited for: an engine that does not answer holds up nothing that can be read without it.
    this.#asking ??= this.#askEngines().finally(() => (this.#asking = null));
    return costMs;
  }

  #running(): readonly { readonly driver: MeasuredDriver; readonly attempt: RunningAttempt }[] {
    return this.#options.drivers.flatMap((driver) =>
      (driver.running?.() ?? []).map((attempt) => ({ driver, attempt })),
    );
  }

  #forgetAllBut(running: readonly { readonly attempt: RunningAttempt }[]): void {
    const names = new Set(running.map(({ attempt }) => attemptName(attempt)));
    for (const [name, { history }] of this.#tracked) {
      if (names.has(name)) continue;
      this.#tracked.delete(name);
      if (history !== null) this.#histories -= 1;
    }
  }

  #track({
    driver,
    attempt,
  }: {
    readonly driver: MeasuredDriver;
    readonly attempt: RunningAttempt;
  }): Tracked {
    const name = attemptName(attempt);
    const known = this.#tracked.get(name);
    if (known !== undefined) return known;
    const tracked: Tracked = {
      attempt,
      driver,
      memory: { group: null, network: null },
      before: null,
      rowBefore: null,
      measured: null,
      history: null,
      isUnseen: false,
    };
    this.#tracked.set(name, tracked);
    return tracked;
  }

  #measure(tracked: Tracked, pids: ReadonlyMap<string, readonly number[]>): void {
    const { attempt, memory } = tracked;
    try {
      const counters = this.#options.reader.read(attempt, memory, pids.get(marksOf(attempt)) ?? []);
      tracked.isUnseen = counters === null;
      if (counters !== null) this.#take(tracked, counters);
    } catch (error) {
      this.#complain(error);
    }
  }

  #take(tracked: Tracked, counters: AttemptCounters): void {
    const { clock } = this.#options;
    const now = { atMs: clock.monotonicMs(), counters };
    const sampledAtMs = clock.wallMs();
    const ageMs = Math.max(MONITOR_LIMITS.minAgeMs, sampledAtMs - tracked.attempt.startedAtMs);
    const before = tracked.before ?? beginning(now, ageMs);
    tracked.rowBefore ??= now;
    if (now.atMs - tracked.rowBefore.atMs >= MONITOR_LIMITS.historyIntervalMs) {
      this.#historyOf(tracked)?.add(sampledAtMs, usedBetween(tracked.rowBefore, now));
      tracked.rowBefore = now;
    }
    tracked.before = now;
    const { attempt, driver, history } = tracked;
    tracked.measured = { attempt, driver: driver.name, sampledAtMs, use: usedBetween(before, now), history };
  }

  /** The first so many have one. */
  #historyOf(tracked: Tracked): AttemptHistory | null {
    if (tracked.history === null && this.#histories < MONITOR_LIMITS.attemptHistories) {
      tracked.history = new AttemptHistory();
      this.#histories += 1;
    }
    return tracked.history;
  }

  /** A few of those that were not found, in turn: a question costs more than to read a group. */
  async #askEngines(): Promise<void> {
    const unseen = [...this.#tracked.values()].filter(
      ({ isUnseen, driver }) => isUnseen && driver.askCounters !== undefined,
    );
    const count = Math.min(unseen.length, MONITOR_LIMITS.engineQuestions);
    for (let asked = 0; asked < count && !this.#closing.signal.aborted; asked += 1) {
      this.#engineTurn = (this.#engineTurn + 1) % unseen.length;
      const tracked = unseen[this.#engineTurn];
      if (tracked !== undefined) await this.#askEngine(tracked);
    }
  }

  async #askEngine(tracked: Tracked): Promise<void> {
    try {
      const counters = await tracked.driver.askCounters?.(tracked.attempt, this.#closing.signal);
      if (counters !== undefined && counters !== null) this.#take(tracked, counters);
    } catch (error) {
      this.#complain(error);
    }
  }

  #complain(error: unknown): void {
    if (this.#closing.signal.aborted) return;
    this.#complaints.write('attempts', (heldBack) =>
      this.#options.log.warn({ error: messageOf(error), heldBack }, 'what attempts use cannot be measured'),
    );
  }
}

/** Not the time that passes: on a busy machine, where people look, that would be more, and measurements the rarer. */
function threadCpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

function demand({ use }: MeasuredAttempt): number {
  return use.cpuCores ?? 0;
}
