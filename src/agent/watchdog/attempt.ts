/**
 * One attempt, from its registration on disk to its exit on disk. It is registered before anything of it executes, and it
 * has ended only when nothing of it runs any more.
 *
 *     registered ──► running ──► ended
 *          └────────────────────────┘   stopped before it started, or it could not start
 */
import { mkdir } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import { invariant } from '../../lib/assert.ts';
import { messageOf } from '../../lib/errors.ts';
import { isSameStop, stopAfter } from '../drivers/attempt-stop.ts';
import type { AttemptKey, AttemptSpec, AttemptView, Exit } from '../drivers/driver.ts';
import type { Contained, Containment, Remains } from './containment.ts';
import type { Diagnose } from './diagnostics.ts';
import type { LogLimits } from './limits.ts';
import { AttemptLogWriter } from './log-writer.ts';
import { OutputPump } from './output.ts';
import type { OutputCounters } from './output-counters.ts';
import { attemptDirectory, errorFilePath, resultFilePath } from './paths.ts';
import type { PipePool } from './pipes.ts';
import { readStat } from './processes.ts';
import type { WatchdogEvent } from './protocol.ts';
import { isAttemptView, withLease } from './protocol.ts';
import { limitedCommand } from './rlimits.ts';
import type { RecordStore } from './record-store.ts';
import type { Started } from './spawn.ts';
import { checkCommand, environmentOf, markersOf, prepareWorkingDirectory, startProcess } from './spawn.ts';
import { StartFailure } from './start-failure.ts';
import { readSmallFile } from './text-files.ts';
import { Timer } from './timer.ts';
import { identityOf, openTo } from './users.ts';
import { makeYield } from './yielding.ts';

export interface ProcessRecord {
  readonly version: 1;
  readonly view: AttemptView;
  /** The main process; `null` before it was started. */
  readonly pid: number | null;
  readonly startTicks: string | null;
  readonly bootId: string;
  /** Where everything of it runs; `null`: in no control group of its own. */
  readonly cgroup: string | null;
}

/** Those of earlier releases know of no control groups. @returns null where it is none */
export function parseProcessRecord(value: object): ProcessRecord | null {
  const {
    version,
    view,
    pid,
    startTicks,
    bootId,
    cgroup = null,
  } = value as Partial<Record<keyof ProcessRecord, unknown>>;
  const isValid =
    version === 1 &&
    isAttemptView(view) &&
    (pid === null || typeof pid === 'number') &&
    (startTicks === null || typeof startTicks === 'string') &&
    typeof bootId === 'string' &&
    (cgroup === null || typeof cgroup === 'string');
  return isValid ? { version, view: withLease(view), pid, startTicks, bootId, cgroup } : null;
}

/** What attempts share. */
export interface AttemptTools {
  readonly dataDirectory: string;
  readonly bootId: string;
  readonly store: RecordStore<ProcessRecord>;
  readonly containment: Containment;
  readonly pipes: PipePool;
  readonly logLimits: LogLimits;
  readonly output: OutputCounters;
  readonly diagnose: Diagnose;
  readonly emit: (event: WatchdogEvent) => void;
  /** Asked in the moment of the fork. */
  readonly mayExecute: (spec: Pick<AttemptSpec, 'isLeased'>) => boolean;
}

type Ending = Pick<Exit, 'exitCode' | 'signal' | 'reason' | 'message' | 'errorType'>;

const LEASE_LOST = 'the lease ran out: the node had no word of a quorum for too long';
const OUT_OF_MEMORY = 'ran out of the memory that it may use';
const RECORD_TRIES = 5;
const RECORD_PAUSE_MS = 200;

export class Attempt {
  readonly #tools: AttemptTools;
  readonly #directory: string;
  #view: AttemptView;
  #contained: Contained;
  #pump: OutputPump | null = null;
  /** What ends it before its time; the first counts. */
  #cause: 'stopped' | 'timeout' | 'leaseLost' | null = null;
  #destroyed: Promise<Remains> | null = null;
  /** The main process has exited, or never will start: signals no longer matter. */
  #over = false;
  readonly #timeout = new Timer();
  readonly #kill = new Timer();
  /** Resolves once it runs or has ended. */
  readonly started: Promise<void>;
  /** Resolves once nothing of it runs and that is on disk. */
  readonly ended: Promise<void>;

  private constructor(
    view: AttemptView,
    cgroup: string | null,
    tools: AttemptTools,
    run: (self: Attempt, started: () => void) => Promise<void>,
  ) {
    this.#view = view;
    this.#tools = tools;
    this.#directory = attemptDirectory(tools.dataDirectory, view);
    this.#contained = { leader: null, markers: markersOf(view, this.#directory), cgroup };
    const { promise, resolve } = Promise.withResolvers<void>();
    this.started = promise;
    this.ended = run(this, resolve).finally(resolve);
  }

  static start(spec: AttemptSpec, tools: AttemptTools): Attempt {
    const { taskId, assignment, attempt, session, term, fencingToken, isLeased } = spec;
    const identity = { taskId, assignment, attempt, session, term, fencingToken, isLeased };
    const view = { type: 'registered', ...identity } as const;
    const cgroup = tools.containment.groupOf(spec);
    return new Attempt(view, cgroup, tools, async (self, started) => self.#run(spec, started));
  }

  /** One that a watchdog before this one left behind: what still runs of it is killed, for its exit cannot be known. */
  static recover(record: ProcessRecord, tools: AttemptTools): Attempt {
    return new Attempt(record.view, record.cgroup, tools, async (self, started) =>
      self.#recover(record, started),
    );
  }

  /** One whose record does not read: such a file is what a crash of the machine left; if not, its group has its name. */
  static recoverUnreadable(key: AttemptKey, tools: AttemptTools): Attempt {
    const unknown = { attempt: 0, session: 0, term: 0, fencingToken: '', isLeased: true };
    const view = { ...key, type: 'registered', ...unknown } as const;
    const cgroup = tools.containment.groupOf(key);
    return Attempt.recover({ version: 1, view, pid: null, startTicks: null, bootId: '', cgroup }, tools);
  }

  get view(): AttemptView {
    return this.#view;
  }

  /** TERM to its group, KILL to all of it after the grace. A shorter grace than one under way counts. */
  stop(graceMs: number): void {
    if (this.#view.type === 'ended' || this.#over) return;
    this.#cause ??= 'stopped';
    this.#end(graceMs);
  }

  /** It must not run any more, from now on. */
  loseLease(): void {
    if (this.#view.type === 'ended' || this.#over) return;
    this.#cause ??= 'leaseLost';
    this.#end(0);
  }

  #end(graceMs: number): void {
    if (this.#view.type !== 'running') return;
    this.#kill.startNoLater(graceMs, () => void this.#destroy());
    const { stopping: wasStopping, stop: before } = this.#view;
    const stop = stopAfter(before, { reason: this.#cause ?? 'stopped', graceMs, nowMs: Date.now() });
    if (wasStopping && isSameStop(stop, before)) return;
    this.#view = { ...this.#view, stopping: true, stop };
    if (graceMs > 0 && !wasStopping) this.#tools.containment.terminate(this.#contained);
    this.#tools.emit({ event: 'stopping', attempt: this.#view });
  }

  #destroy(): Promise<Remains> {
    this.#destroyed ??= this.#tools.containment.destroy(this.#contained);
    return this.#destroyed;
  }

  async #run(spec: AttemptSpec, started: () => void): Promise<void> {
    const plannedAtMs = Date.now();
    let running: Started | null;
    try {
      await this.#record({ sync: true });
      await this.#openLog();
      checkCommand(spec);
      running = await this.#launch(spec);
    } catch (error) {
      this.#over = true;
      if (!(error instanceof StartFailure)) this.#tools.diagnose('start failed', { error: messageOf(error) });
      // It may run for all that: what was asked for could not be done once it did.
      await this.#destroy();
      await this.#finish(plannedAtMs, endOfFailedStart(error));
      return;
    }
    if (running === null) {
      const reason = this.#cause ?? 'stopped';
      const message = reason === 'leaseLost' ? LEASE_LOST : 'stopped before it started';
      await this.#finish(plannedAtMs, { exitCode: null, signal: null, reason, message });
      return;
    }
    await this.#supervise(spec, running, started);
  }

  async #openLog(): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const { diagnose, logLimits, output } = this.#tools;
    const writer = await AttemptLogWriter.create(this.#directory, logLimits, output);
    this.#pump = await OutputPump.open(this.#directory, writer, { diagnose, wallMs: Date.now });
  }

  /** @returns null where it was stopped meanwhile */
  async #launch(spec: AttemptSpec): Promise<Started | null> {
    // A daemon of an earlier release names none.
    const identity = typeof spec.user === 'string' ? identityOf(spec.user) : null;
    if (identity !== null) await openTo(identity, this.#directory);
    const cwd = await prepareWorkingDirectory(spec, this.#directory);
    const { containment, pipes, diagnose } = this.#tools;
    const started = await startProcess(spec, {
      command: this.#contained.cgroup === null ? limitedCommand(spec, cwd) : spec.command,
      env: environmentOf(spec, this.#directory, identity),
      cwd,
      identity,
      pipes,
      mayStart: () => {
        if (!this.#tools.mayExecute(spec)) this.#cause ??= 'leaseLost';
        return this.#cause === null;
      },
      enclose: (spawn) => containment.enclose(this.#contained, spec.limits, spawn),
    });
    if (started !== null)
      makeYield(started.pid, (error) =>
        diagnose('an attempt does not give way to the daemon', { error: messageOf(error) }),
      );
    return started;
  }

  async #supervise(
    spec: AttemptSpec,
    { child, pid, stdout, stderr }: Started,
    started: () => void,
  ): Promise<void> {
    const exited = new Promise<Pick<Exit, 'exitCode' | 'signal'>>((resolve) => {
      child.once('exit', (exitCode, signal) => {
        this.#over = true;
        resolve({ exitCode, signal });
      });
    });
    child.on('error', (error) =>
      this.#tools.diagnose('child process error', { pid, error: messageOf(error) }),
    );
    // The child is reaped by a later turn of the event loop: its entry in /proc is still there.
    const startTicks = readStat(pid)?.startTicks;
    if (startTicks !== undefined) this.#contained = { ...this.#contained, leader: { pid, startTicks } };
    this.#pump?.attach('stdout', stdout);
    this.#pump?.attach('stderr', stderr);
    const startedAtMs = Date.now();
    this.#view = { ...this.#baseView(), type: 'running', startedAtMs, stopping: false };
    if (spec.timeoutMs !== null) this.#timeout.startNoLater(spec.timeoutMs, () => this.#onTimeout(spec));
    await this.#recordPid(pid);
    this.#tools.emit({ event: 'started', attempt: this.#view });
    started();

    const main = await exited;
    this.#timeout.clear();
    this.#kill.clear();
    const remains = await this.#destroy();
    await this.#finish(startedAtMs, { ...main, ...this.#why(spec, main, remains) });
  }

  /** As the end of a container is judged (drivers/docker/exits.ts). */
  #why(
    { timeoutMs }: AttemptSpec,
    { exitCode }: Pick<Exit, 'exitCode'>,
    { outOfMemory }: Remains,
  ): Pick<Ending, 'reason' | 'message' | 'errorType'> {
    if (this.#cause === 'timeout')
      return { reason: 'timeout', message: `ran longer than ${(timeoutMs ?? 0) / 1000} s` };
    if (this.#cause === 'leaseLost') return { reason: 'leaseLost', message: LEASE_LOST };
    if (this.#cause === 'stopped') return { reason: 'stopped', message: '' };
    if (outOfMemory && exitCode !== 0)
      return { reason: 'exited', message: OUT_OF_MEMORY, errorType: 'OutOfMemory' };
    return { reason: 'exited', message: '' };
  }

  /** Not synced: if the machine goes down, so does the process. Without it a later watchdog still has the markers. */
  async #recordPid(pid: number): Promise<void> {
    try {
      await this.#record({ sync: false });
    } catch (error) {
      this.#tools.diagnose('a pid was not recorded', { pid, error: messageOf(error) });
    }
  }

  #onTimeout(spec: AttemptSpec): void {
    if (this.#over) return;
    this.#cause ??= 'timeout';
    this.#end(spec.stopGraceMs);
  }

  async #recover(record: ProcessRecord, started: () => void): Promise<void> {
    this.#over = true;
    started();
    if (record.view.type === 'ended') return;
    const { pid, startTicks, bootId, view } = record;
    const isSameBoot = bootId === this.#tools.bootId;
    if (isSameBoot && pid !== null && startTicks !== null && readStat(pid)?.startTicks === startTicks)
      this.#contained = { ...this.#contained, leader: { pid, startTicks } };
    // A control group is of this boot where it is there at all.
    if (isSameBoot || record.cgroup !== null) await this.#destroy();
    await this.#openLog();
    const message =
      'the watchdog that ran it died; what was left of it was killed, how it would have ended is unknown';
    const startedAtMs = view.type === 'running' ? view.startedAtMs : Date.now();
    await this.#finish(startedAtMs, { exitCode: null, signal: null, reason: 'unknown', message });
  }

  async #finish(startedAtMs: number, ending: Ending): Promise<void> {
    this.#over = true;
    this.#timeout.clear();
    this.#kill.clear();
    await this.#pump?.finish();
    const { diagnose } = this.#tools;
    const didRun = ending.reason !== 'startFailed' && ending.reason !== 'unknown';
    const exit: Exit = {
      ...ending,
      startedAtMs,
      finishedAtMs: Math.max(Date.now(), startedAtMs),
      errorFile: didRun ? await readSmallFile(errorFilePath(this.#directory), diagnose) : null,
      resultFile: didRun ? await readSmallFile(resultFilePath(this.#directory), diagnose) : null,
      logTail: this.#pump?.tail ?? '',
    };
    const view: AttemptView = { ...this.#baseView(), type: 'ended', exit };
    await this.#recordEnd(view);
    this.#view = view;
    this.#tools.emit({ event: 'exited', attempt: view });
  }

  /** A disk that does not take the exit must not keep it from the daemon for ever; the daemon keeps it in its own way. */
  async #recordEnd(view: AttemptView): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      try {
        await this.#record({ sync: true }, view);
        return;
      } catch (error) {
        this.#tools.diagnose('an exit was not recorded', { tries, error: messageOf(error) });
        if (tries === RECORD_TRIES) return;
        await delay(RECORD_PAUSE_MS);
      }
    }
  }

  async #record(options: { readonly sync: boolean }, view = this.#view): Promise<void> {
    const { leader, cgroup } = this.#contained;
    const { bootId, store } = this.#tools;
    const process = { pid: leader?.pid ?? null, startTicks: leader?.startTicks ?? null };
    await store.writeRecord({ version: 1, view, ...process, bootId, cgroup }, options);
  }

  #baseView(): AttemptKey & Pick<AttemptSpec, 'attempt' | 'session' | 'term' | 'fencingToken' | 'isLeased'> {
    const { taskId, assignment, attempt, session, term, fencingToken, isLeased } = this.#view;
    invariant(this.#view.type !== 'ended', 'an ended attempt stays as it is');
    return { taskId, assignment, attempt, session, term, fencingToken, isLeased };
  }
}

function endOfFailedStart(error: unknown): Ending {
  const none = { exitCode: null, signal: null, reason: 'startFailed', message: messageOf(error) } as const;
  const isOutOfMemory = error instanceof StartFailure && error.outOfMemory;
  return isOutOfMemory ? { ...none, errorType: 'OutOfMemory' } : none;
}
