/**
 * The attempts that a worker knows, from the start, or from the first inventory that shows them, until the end has been
 * acknowledged and the driver has forgotten them; and the rules by which they start, stop and are reported. Pure: what
 * is to be done goes to `effects`, what is to be told to `outbox`.
 */
import type { Assignment, Stop } from '../../generated/worker.ts';
import { invariant } from '../../lib/assert.ts';
import type { AttemptReport } from '../../model/commands.ts';
import { isAttemptOver } from '../../model/phases.ts';
import type { AttemptKey, AttemptStop, AttemptView, DriverName, Exit } from '../drivers/driver.ts';
import type { NodeEnvironment } from './environment.ts';
import { WORKER_LIMITS } from './limits.ts';
import type { ReportOutbox } from './report-outbox.ts';
import { nameOf } from './report-outbox.ts';
import { SeenAssignments } from './seen-assignments.ts';
import { attemptSpecOf, cut, isDriverName, reportOfExit } from './wire.ts';
import type { InventoryEntry, WorkerEffect } from './worker-events.ts';

const LEASE_LOST =
  'the lease ran out: the node had no word of a quorum, so it had to take the task for moved';

/** Only moves to the right. `starting`: the driver was asked to; `stopping`: it was asked to end it. */
type AttemptPhase = 'starting' | 'running' | 'stopping' | 'ended';

interface KnownAttempt {
  readonly key: AttemptKey;
  /** null: not known which, for instance of a stop that came before its start. */
  driver: DriverName | null;
  phase: AttemptPhase;
  /** Ends with the lease. */
  isLeased: boolean;
  /** It was, or is to be, ended because the lease ran out. */
  isLeaseLost: boolean;
  startedAtMs: number | null;
  /** As its driver showed it; null: not yet, or no container was created. */
  imageDigest: string | null;
  /** It is being ended before its time. */
  stop: AttemptStop | null;
}

export interface KnownAttemptsOptions {
  readonly environment: NodeEnvironment;
  readonly drivers: readonly DriverName[];
  /** Ends that an earlier start of the daemon left unacknowledged on disk. */
  readonly unacknowledged: readonly AttemptReport[];
  /** Stamps reports of what has no time of its own. */
  readonly wallMs: () => number;
  readonly outbox: ReportOutbox;
  readonly effect: (effect: WorkerEffect) => void;
}

export class KnownAttempts {
  readonly #options: KnownAttemptsOptions;
  readonly #outbox: ReportOutbox;
  readonly #effect: (effect: WorkerEffect) => void;
  readonly #attempts = new Map<string, KnownAttempt>();
  /** Final reports that are being written to disk. */
  readonly #pendingEnds = new Map<string, AttemptReport>();
  readonly #seen = new SeenAssignments(WORKER_LIMITS.seenAssignments);
  #highestTerm = 0;

  constructor(options: KnownAttemptsOptions) {
    this.#options = options;
    this.#outbox = options.outbox;
    this.#effect = options.effect;
    for (const report of options.unacknowledged) {
      const key = { taskId: report.taskId, assignment: report.assignment };
      this.#know(key, null, 'ended');
      this.#seen.add(report.assignment);
      this.#outbox.put(report);
    }
  }

  get size(): number {
    return this.#attempts.size;
  }

  /** Those that are being started, and those that run or are being stopped. */
  get counts(): { readonly starting: number; readonly running: number } {
    let [starting, running] = [0, 0];
    for (const { phase } of this.#attempts.values()) {
      if (phase === 'starting') starting += 1;
      else if (phase !== 'ended') running += 1;
    }
    return { starting, running };
  }

  /**
   * Takes over what the drivers listed and tells what the node knows of: of earlier sessions (`isFirst`: nothing has been
   * listed in this one yet) only what a driver lists, or what has an end to report. A start of an older session that no
   * driver lists has not happened, and never will: they refuse it.
   */
  adopt(entries: readonly InventoryEntry[], isFirst: boolean): readonly AttemptKey[] {
    const listed = new Map<string, AttemptKey>();
    for (const { view } of entries) {
      listed.set(nameOf(view), { taskId: view.taskId, assignment: view.assignment });
    }
    this.learn(entries);
    for (const [name, attempt] of this.#attempts) {
      if (!isFirst || attempt.phase === 'ended') listed.set(name, attempt.key);
    }
    return [...listed.values()];
  }

  /** Takes over what drivers listed, and watches what runs of it. */
  learn(entries: readonly InventoryEntry[]): void {
    for (const entry of entries) this.#learnOne(entry);
  }

  #learnOne({ driver, view }: InventoryEntry): void {
    const key: AttemptKey = { taskId: view.taskId, assignment: view.assignment };
    this.#seen.add(key.assignment);
    let attempt = this.#attempts.get(nameOf(key));
    if (attempt === undefined) {
      attempt = this.#know(key, driver, 'starting');
    }
    attempt.driver = driver;
    attempt.isLeased = view.isLeased;
    if (attempt.phase === 'ended') return;
    this.#look(attempt, view);
    if (view.type === 'ended') return this.#exited(attempt, view.exit);
    if (attempt.phase === 'starting') this.#runs(attempt, view);
  }

  /** What the complete set does not contain is to be stopped, wherever it came from. */
  stopOrphans(run: readonly Assignment[], stop: readonly Stop[]): void {
    const wanted = new Set<string>();
    for (const { task_id: taskId, assignment } of [...run, ...stop])
      wanted.add(nameOf({ taskId, assignment }));
    for (const [name, attempt] of this.#attempts) {
      if (!wanted.has(name)) this.stop(attempt.key, WORKER_LIMITS.orphanGraceMs);
    }
  }

  /** @param session the one that has been granted: starts of another are not executed [STARTSESS] */
  start(assignment: Assignment, session: number): void {
    const key: AttemptKey = { taskId: assignment.task_id, assignment: assignment.assignment };
    const refuse = (reason: string): void => this.#effect({ type: 'refused', key, reason });
    if (assignment.session !== session) return refuse('another session');
    if (assignment.term < this.#highestTerm) return refuse('an older term');
    this.#highestTerm = assignment.term;
    if (this.#attempts.has(nameOf(key))) return;
    if (this.#seen.has(key.assignment)) {
      // It ended or was stopped here, and nothing of it runs: where the leader does not know, it must learn that.
      refuse('seen before');
      return this.#final(
        this.#know(key, null, 'starting'),
        this.#report(key, 'LOST', 'it was seen here before'),
      );
    }
    this.#seen.add(key.assignment);
    const attempt = this.#know(key, null, 'starting');
    const { driver } = assignment;
    if (!isDriverName(driver) || !this.#options.drivers.includes(driver)) {
      return this.#final(
        attempt,
        this.#report(key, 'FAILED', `this node has no driver ${JSON.stringify(driver)}`),
      );
    }
    attempt.driver = driver;
    attempt.isLeased = !assignment.unleased;
    this.#outbox.putQuietly(this.#report(key, 'STARTING', ''));
    this.#effect({
      type: 'start',
      driver,
      spec: attemptSpecOf(assignment, driver, this.#options.environment),
    });
  }

  stop(key: AttemptKey, graceMs: number): void {
    this.#seen.add(key.assignment);
    const attempt = this.#attempts.get(nameOf(key)) ?? this.#know(key, null, 'running');
    if (attempt.phase === 'stopping' || attempt.phase === 'ended') return;
    attempt.phase = 'stopping';
    this.#effect({ type: 'stop', driver: attempt.driver, key: attempt.key, graceMs });
  }

  /** It is not to be begun any more; what is known here was begun, or has an end to report. */
  withdraw(key: AttemptKey): void {
    if (!this.#attempts.has(nameOf(key))) this.stop(key, 0);
  }

  /** The lease has run out: what holds it must not run any more, also what the watchdog ends at the same moment. */
  endLeased(): number {
    let count = 0;
    for (const attempt of this.#attempts.values()) {
      if (!attempt.isLeased || attempt.phase === 'ended') continue;
      // One that is being stopped ends sooner than it would have, and that is all.
      if (attempt.phase !== 'stopping') attempt.isLeaseLost = true;
      attempt.phase = 'stopping';
      this.#effect({ type: 'stop', driver: attempt.driver, key: attempt.key, graceMs: 0 });
      count += 1;
    }
    return count;
  }

  #know(key: AttemptKey, driver: DriverName | null, phase: AttemptPhase): KnownAttempt {
    const attempt: KnownAttempt = {
      key,
      driver,
      phase,
      isLeased: true,
      isLeaseLost: false,
      startedAtMs: null,
      imageDigest: null,
      stop: null,
    };
    this.#attempts.set(nameOf(key), attempt);
    return attempt;
  }

  forgotten(key: AttemptKey): void {
    this.#attempts.delete(nameOf(key));
  }

  /** The newest note takes the place of one that is not sent yet; what runs or is being stopped has none. */
  progress(key: AttemptKey, note: string): void {
    if (this.#attempts.get(nameOf(key))?.phase !== 'starting') return;
    this.#outbox.put({ ...this.#report(key, 'STARTING', ''), note: cut(note) });
  }

  started(key: AttemptKey, view: AttemptView): void {
    const attempt = this.#attempts.get(nameOf(key));
    if (attempt === undefined || attempt.phase === 'ended') return;
    this.#look(attempt, view);
    if (view.type === 'ended') return this.#exited(attempt, view.exit);
    if (attempt.phase === 'starting') return this.#runs(attempt, view);
    // It was registered only when it was adopted.
    if (attempt.phase === 'running' && view.type === 'running')
      this.#reportRunning(attempt, view.startedAtMs);
  }

  #runs(attempt: KnownAttempt, view: Exclude<AttemptView, { type: 'ended' }>): void {
    const { key, driver } = attempt;
    invariant(driver !== null, 'what runs has a driver');
    attempt.phase = 'running';
    const isRunning = view.type === 'running';
    this.#effect({ type: 'watch', driver, key, isRunning });
    if (isRunning) this.#reportRunning(attempt, view.startedAtMs);
  }

  #reportRunning(attempt: KnownAttempt, startedAtMs: number): void {
    if (attempt.startedAtMs !== null) return;
    attempt.startedAtMs = startedAtMs;
    this.#outbox.put({ ...this.#report(attempt.key, 'RUNNING', ''), atMs: startedAtMs, startedAtMs });
  }

  /** What runs and is being ended says so: the driver knows it first, of a timeout it alone. */
  stopping(key: AttemptKey, stop: AttemptStop): void {
    const attempt = this.#attempts.get(nameOf(key));
    if (attempt === undefined || attempt.phase === 'ended') return;
    attempt.stop = stop;
    const { startedAtMs } = attempt;
    // Otherwise the word that it runs is still to come, and brings it along.
    if (startedAtMs === null) return;
    this.#outbox.put({ ...this.#report(key, 'RUNNING', ''), atMs: startedAtMs });
  }

  startRefused(key: AttemptKey, status: 'FAILED' | 'LOST', message: string): void {
    const attempt = this.#attempts.get(nameOf(key));
    if (attempt?.phase === 'starting') this.#final(attempt, this.#report(key, status, message));
  }

  ended(key: AttemptKey, exit: Exit): void {
    const attempt = this.#attempts.get(nameOf(key));
    if (attempt !== undefined && attempt.phase !== 'ended') this.#exited(attempt, exit);
  }

  stopped(key: AttemptKey, exit: Exit | null): void {
    const attempt = this.#attempts.get(nameOf(key));
    if (attempt?.phase !== 'stopping') return;
    if (exit === null && attempt.isLeaseLost) this.#final(attempt, this.#report(key, 'LOST', LEASE_LOST));
    else if (exit === null) this.#final(attempt, this.#report(key, 'CANCELLED', ''));
    else this.#exited(attempt, exit);
  }

  vanished(key: AttemptKey): void {
    const attempt = this.#attempts.get(nameOf(key));
    // One that is being stopped gets its end from the stop.
    if (attempt?.phase === 'running') {
      this.#final(attempt, this.#report(key, 'LOST', 'the driver has no record of it'));
    }
  }

  #look(attempt: KnownAttempt, { imageDigest }: AttemptView): void {
    attempt.imageDigest = imageDigest ?? attempt.imageDigest;
  }

  #exited(attempt: KnownAttempt, exit: Exit): void {
    const isEndedByLease = attempt.isLeaseLost && exit.reason === 'stopped';
    const told: Exit = isEndedByLease ? { ...exit, reason: 'leaseLost', message: LEASE_LOST } : exit;
    this.#final(attempt, reportOfExit(attempt.key, told, attempt.imageDigest));
  }

  #final(attempt: KnownAttempt, report: AttemptReport): void {
    invariant(attempt.phase !== 'ended', 'an attempt ends once');
    attempt.phase = 'ended';
    this.#pendingEnds.set(nameOf(attempt.key), report);
    this.#effect({ type: 'persist', report });
  }

  persisted(key: AttemptKey): void {
    const report = this.#pendingEnds.get(nameOf(key));
    if (report === undefined) return;
    this.#pendingEnds.delete(nameOf(key));
    this.#outbox.put(report);
  }

  acknowledged(reports: readonly AttemptReport[]): void {
    for (const report of reports) {
      if (!isAttemptOver(report.status)) continue;
      const attempt = this.#attempts.get(nameOf(report));
      invariant(attempt?.phase === 'ended', 'an acknowledged end is one that was reported');
      this.#effect({ type: 'forget', driver: attempt.driver, key: attempt.key });
    }
  }

  #report(key: AttemptKey, status: AttemptReport['status'], message: string): AttemptReport {
    const type = status === 'LOST' ? 'NodeLost' : 'StartFailed';
    const attempt = this.#attempts.get(nameOf(key));
    return {
      taskId: key.taskId,
      assignment: key.assignment,
      status,
      atMs: this.#options.wallMs(),
      startedAtMs: attempt?.startedAtMs ?? null,
      exitCode: null,
      signal: null,
      error: message === '' ? null : { type, message: cut(message) },
      result: null,
      logTail: '',
      note: '',
      imageDigest: attempt?.imageDigest ?? null,
      ...(status === 'RUNNING' && attempt?.stop ? { stopping: attempt.stop } : {}),
    };
  }
}
