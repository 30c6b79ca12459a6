/** A process attempt in the watchdog, in the steps of `agent/watchdog/attempt.ts`, in a group of its own. */
import type { AttemptSpec, AttemptView, Exit } from '../../../src/agent/drivers/driver.ts';
import type { Contained, Containment } from '../../../src/agent/watchdog/containment.ts';
import type { TableAttempt } from '../../../src/agent/watchdog/attempt-table.ts';
import type { WatchdogEvent } from '../../../src/agent/watchdog/protocol.ts';
import type { AttemptFiles, StoredAttempt } from './files.ts';
import type { SimulatedGroups } from './groups.ts';
import type { SimulatedProcess } from './process.ts';

export interface ProcessAttemptTools {
  readonly process: SimulatedProcess;
  readonly files: AttemptFiles;
  readonly groups: SimulatedGroups;
  readonly containment: Containment;
  readonly bootId: string;
  /** Asked in the moment of the fork. */
  readonly mayExecute: (spec: Pick<AttemptSpec, 'isLeased'>) => boolean;
  readonly emit: (event: WatchdogEvent) => void;
  readonly lastsMs: (spec: Pick<AttemptSpec, 'taskId' | 'assignment'>) => number;
  /** With the lease. */
  readonly lost: () => void;
  readonly tell: (kind: string, ...details: readonly (string | number)[]) => void;
  /** Whether what it starts outlives it, and for how long. */
  readonly leavesMs: () => number;
}

/** Groups hold everything here. */
const NO_MARKERS: Contained['markers'] = { taskId: '', attempt: '', fencingToken: '', errorFile: null };

type Reason = Exit['reason'];

export class SimulatedProcessAttempt implements TableAttempt {
  readonly #tools: ProcessAttemptTools;
  readonly #contained: Contained & { readonly cgroup: string };
  #view: AttemptView;
  #cause: 'stopped' | 'leaseLost' | null = null;
  #isOver = false;
  #destroyed: Promise<unknown> | null = null;
  readonly started: Promise<void>;
  readonly ended: Promise<void>;

  private constructor(
    view: AttemptView,
    cgroup: string,
    tools: ProcessAttemptTools,
    run: (self: SimulatedProcessAttempt, started: () => void) => Promise<void>,
  ) {
    this.#view = view;
    this.#tools = tools;
    this.#contained = { cgroup, leader: null, markers: NO_MARKERS };
    const { promise, resolve } = Promise.withResolvers<void>();
    this.started = promise;
    this.ended = run(this, resolve).finally(resolve);
  }

  static start(spec: AttemptSpec, tools: ProcessAttemptTools): SimulatedProcessAttempt {
    const { taskId, assignment, attempt, session, term, fencingToken, isLeased } = spec;
    const view = {
      type: 'registered',
      taskId,
      assignment,
      attempt,
      session,
      term,
      fencingToken,
      isLeased,
    } as const;
    const cgroup = tools.groups.groupOf(`jarvis-process-${taskId}-${assignment}`);
    return new SimulatedProcessAttempt(view, cgroup, tools, (self, started) => self.#run(spec, started));
  }

  static recover(record: StoredAttempt, tools: ProcessAttemptTools): SimulatedProcessAttempt {
    return new SimulatedProcessAttempt(record.view, record.cgroup ?? '', tools, async (self, started) => {
      self.#isOver = true;
      started();
      if (record.view.type === 'ended') return;
      if (record.bootId === tools.bootId) await self.#destroy();
      await self.#finish('unknown', null);
    });
  }

  get view(): AttemptView {
    return this.#view;
  }

  stop(graceMs: number): void {
    if (this.#view.type === 'ended' || this.#isOver) return;
    this.#cause ??= 'stopped';
    this.#end(graceMs);
  }

  loseLease(): void {
    if (this.#view.type === 'ended' || this.#isOver) return;
    this.#cause ??= 'leaseLost';
    this.#end(0);
  }

  #end(graceMs: number): void {
    if (this.#view.type !== 'running') return;
    if (graceMs === 0) void this.#destroy();
    else this.#tools.process.later(graceMs, () => void this.#destroy());
  }

  async #run(spec: AttemptSpec, started: () => void): Promise<void> {
    const { files, groups, mayExecute, lastsMs, leavesMs, emit } = this.#tools;
    await this.#record();
    await files.write();
    if (!mayExecute(spec)) this.#cause ??= 'leaseLost';
    if (this.#cause !== null) return this.#finish(this.#cause, null);
    const exited = Promise.withResolvers<number | null>();
    // One that leaves something behind fails, so that the task is tried again.
    const leftMs = leavesMs();
    const plan = { lastsMs: lastsMs(spec), code: leftMs > 0 ? 1 : 0 };
    groups.execute(spec, this.#contained.cgroup, plan, (code) => {
      if (leftMs > 0 && code !== null)
        groups.execute(spec, this.#contained.cgroup, { lastsMs: leftMs }, () => {});
      this.#tools.process.later(0.1, () => exited.resolve(code));
    });
    this.#view = { ...this.#base(), type: 'running', startedAtMs: 0, stopping: false };
    await this.#record();
    emit({ event: 'started', attempt: this.#view });
    started();
    const code = await exited.promise;
    this.#isOver = true;
    await this.#destroy();
    return this.#finish(this.#cause ?? 'exited', code);
  }

  /** Resolves once its group is empty and gone. */
  #destroy(): Promise<unknown> {
    this.#destroyed ??= this.#tools.containment.destroy(this.#contained);
    return this.#destroyed;
  }

  async #finish(reason: Reason, exitCode: number | null): Promise<void> {
    this.#isOver = true;
    const view: AttemptView = { ...this.#base(), type: 'ended', exit: exitOf(reason, exitCode) };
    await this.#record(view);
    if (reason === 'leaseLost') this.#tools.lost();
    this.#tools.tell('ended', this.#view.taskId, this.#view.assignment, reason);
    this.#view = view;
    this.#tools.emit({ event: 'exited', attempt: view });
  }

  #record(view = this.#view): Promise<void> {
    const { bootId, files } = this.#tools;
    return files.writeRecord({ view, bootId, cgroup: this.#contained.cgroup, isStartSent: true });
  }

  #base(): Omit<AttemptView & { type: 'registered' }, 'type'> {
    const { taskId, assignment, attempt, session, term, fencingToken, isLeased } = this.#view;
    return { taskId, assignment, attempt, session, term, fencingToken, isLeased };
  }
}

export function exitOf(reason: Reason, exitCode: number | null): Exit {
  return {
    exitCode: reason === 'exited' ? exitCode : null,
    signal: null,
    reason,
    message: '',
    startedAtMs: 0,
    finishedAtMs: 0,
    errorFile: null,
    resultFile: null,
    logTail: '',
  };
}
