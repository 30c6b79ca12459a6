/** A container attempt in the daemon, in the steps of `agent/drivers/docker/container-attempt.ts` and `container.ts`. */
import { cgroupParentOf, cgroupPathOf, containerNameOf } from '../../../src/agent/drivers/docker/naming.ts';
import type { AttemptGuard } from '../../../src/agent/drivers/docker/attempt-guard.ts';
import type { AttemptSpec, AttemptView, Exit } from '../../../src/agent/drivers/driver.ts';
import type { TableAttempt } from '../../../src/agent/watchdog/attempt-table.ts';
import { JarvisError } from '../../../src/lib/errors.ts';
import { NoAnswer, Refusal, type ContainerState, type SimulatedEngine } from './engine.ts';
import type { AttemptFiles, StoredAttempt } from './files.ts';
import type { SimulatedGroups } from './groups.ts';
import type { SimulatedProcess } from './process.ts';
import { exitOf } from './process-attempt.ts';

export interface ContainerTools {
  readonly process: SimulatedProcess;
  readonly engine: SimulatedEngine;
  readonly groups: SimulatedGroups;
  readonly files: AttemptFiles;
  readonly guard: AttemptGuard;
  readonly incarnation: string;
  readonly node: string;
  readonly bootId: string;
  /** In the moment before the engine is asked. */
  readonly beforeStart: () => void;
}

const RETRY_MS = 60;
const URGENT_MS = 10;
const LOOK_MS = 80;

export class SimulatedContainerAttempt implements TableAttempt {
  readonly #tools: ContainerTools;
  #record: StoredAttempt;
  #cause: 'stopped' | null = null;
  #isKilling = false;
  /** It must not run any longer: nothing waits for the engine. */
  #isUrgent = false;
  #isEnded = false;
  readonly #launching = new AbortController();
  readonly started: Promise<void>;
  readonly ended: Promise<void>;
  /** Nothing of it is left anywhere; from its end on. */
  cleaned: Promise<void> = Promise.resolve();

  private constructor(
    record: StoredAttempt,
    tools: ContainerTools,
    run: (self: SimulatedContainerAttempt, started: () => void) => Promise<void>,
  ) {
    this.#record = record;
    this.#tools = tools;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.started = promise;
    this.ended = this.#live(run(this, resolve)).finally(resolve);
  }

  static start(spec: AttemptSpec, tools: ContainerTools): SimulatedContainerAttempt {
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
    const record = { view, bootId: tools.bootId, cgroup: null, isStartSent: false };
    return new SimulatedContainerAttempt(record, tools, (self, started) => self.#run(started));
  }

  static recover(record: StoredAttempt, tools: ContainerTools): SimulatedContainerAttempt {
    return new SimulatedContainerAttempt(record, tools, (self, started) => self.#recover(started));
  }

  get view(): AttemptView {
    return this.#record.view;
  }

  stop(graceMs: number): void {
    if (this.view.type === 'ended') return;
    this.#cause ??= 'stopped';
    this.#launching.abort(new JarvisError('unavailable', 'stopped before it started'));
    if (graceMs === 0) this.#isUrgent = true;
    if (this.#record.isStartSent) this.#tools.process.later(graceMs, () => void this.#kill());
  }

  get #name(): string {
    return containerNameOf(this.#owner, this.view);
  }

  get #owner(): Parameters<typeof containerNameOf>[0] {
    const { incarnation, node } = this.#tools;
    return { incarnation, node, dataDirectory: `/${incarnation}` };
  }

  /** What nobody thought of must not leave it running for ever, such as a session that ended in the middle. */
  async #live(run: Promise<void>): Promise<void> {
    try {
      await run;
    } catch (error) {
      if (!(error instanceof JarvisError)) throw error;
      const { process, engine } = this.#tools;
      await this.#insist(() => engine.remove(process, this.#name));
      await this.#finish('unknown', null);
    }
  }

  async #run(started: () => void): Promise<void> {
    const { process, engine, guard, files } = this.#tools;
    const { signal } = this.#launching;
    let state: ContainerState | null;
    try {
      await files.writeRecord(this.#record);
      const parent = cgroupParentOf('cgroupfs', this.#owner, this.view);
      const cgroup = cgroupPathOf(parent);
      await this.#insist(() => engine.create(process, this.#name, this.view, cgroup), signal);
      this.#record = { ...this.#record, cgroup };
      // Before anything can be in its group: an engine that is stopped may carry out a start at any later time.
      const { isLeased } = this.view;
      await this.#insist(() => guard.guard(this.view, { cgroup, isLeased }, signal), signal);
      this.#record = { ...this.#record, isStartSent: true };
      await files.writeRecord(this.#record);
      signal.throwIfAborted();
      this.#tools.beforeStart();
      state = await this.#startOnce();
    } catch (error) {
      if (!(error instanceof JarvisError) && !(error instanceof Refusal)) throw error;
      return this.#finish(this.#cause ?? 'startFailed', null);
    }
    return this.#supervise(state, started);
  }

  /** @returns null where the engine broke it off and the container is gone */
  async #startOnce(): Promise<ContainerState | null> {
    const { process, engine } = this.#tools;
    try {
      await engine.start(process, this.#name);
      return { type: 'running', exitCode: null };
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
    }
    const state = await this.#insist(() => engine.inspect(process, this.#name));
    if (state.type !== 'created') return state;
    // It may still come to it: only a container that is gone can never start.
    await this.#insist(() => engine.remove(process, this.#name));
    return null;
  }

  async #supervise(first: ContainerState | null, started: () => void): Promise<void> {
    const { process, engine, guard, files } = this.#tools;
    let state = first;
    if (state?.type === 'running') {
      const { type: _, ...base } = this.view as AttemptView & { type: 'registered' };
      this.#record = { ...this.#record, view: { ...base, type: 'running', startedAtMs: 0, stopping: false } };
      await files.writeRecord(this.#record);
      started();
    }
    while (state?.type === 'running') {
      await process.pass(LOOK_MS);
      state = await this.#insist(() => engine.inspect(process, this.#name));
    }
    this.#isEnded = true;
    const code = state?.type === 'exited' ? state.exitCode : null;
    const { signal } = new AbortController();
    const isOver =
      this.#cause === null &&
      code === null &&
      (await this.#insist(() => guard.isGuardOver(this.view, signal)));
    if (state === null && !isOver) return this.#finish(this.#cause ?? 'unknown', null);
    return this.#finish(this.#cause ?? (isOver ? 'leaseLost' : 'exited'), code);
  }

  async #recover(started: () => void): Promise<void> {
    started();
    const { process, engine, bootId } = this.#tools;
    const { view, isStartSent, bootId: of } = this.#record;
    if (view.type === 'ended') {
      this.cleaned = this.#clean();
      return undefined;
    }
    if (!isStartSent || of !== bootId) return this.#finish('unknown', null);
    const state = await this.#insist(() => engine.inspect(process, this.#name));
    if (state.type !== 'created') return this.#supervise(state, started);
    await this.#insist(() => engine.remove(process, this.#name));
    return this.#finish('unknown', null);
  }

  /** Again and again, by the engine and by host pid where that does not answer. */
  async #kill(): Promise<void> {
    const { process, engine, groups } = this.#tools;
    if (this.#isKilling) return;
    this.#isKilling = true;
    let isAsking = false;
    let hasRefused = false;
    const ask = async (): Promise<void> => {
      isAsking = true;
      try {
        await engine.kill(process, this.#name);
      } catch (error) {
        if (!(error instanceof NoAnswer)) throw error;
        hasRefused = true;
      }
      isAsking = false;
    };
    while (!this.#isEnded) {
      if (!isAsking) void ask();
      if (this.#isUrgent || hasRefused) this.#killByPid(groups);
      await process.pass(this.#isUrgent ? URGENT_MS : RETRY_MS);
    }
  }

  #killByPid(groups: SimulatedGroups): void {
    const { cgroup } = this.#record;
    if (cgroup !== null) groups.signalAll(cgroup);
  }

  async #finish(reason: Exit['reason'], exitCode: number | null): Promise<void> {
    const { groups, process, files } = this.#tools;
    const { cgroup } = this.#record;
    this.#isEnded = true;
    // What was put into its group from outside may be there all the same [EMPTY].
    const isLeft = (): boolean => cgroup !== null && this.#record.isStartSent && groups.isOccupied(cgroup);
    while (isLeft()) {
      this.#killByPid(groups);
      await process.pass(2);
    }
    const { taskId, assignment, attempt, session, term, fencingToken, isLeased } = this.view;
    const base = { taskId, assignment, attempt, session, term, fencingToken, isLeased };
    const view: AttemptView = { ...base, type: 'ended', exit: exitOf(reason, exitCode) };
    await files.writeRecord({ ...this.#record, view });
    this.#record = { ...this.#record, view };
    this.cleaned = this.#clean();
  }

  /** As `leftovers.ts` does it. */
  async #clean(): Promise<void> {
    const { process, engine, groups, guard } = this.#tools;
    const { cgroup } = this.#record;
    await this.#insist(() => engine.remove(process, this.#name));
    if (cgroup !== null) groups.remove(cgroup);
    // Only now: the engine has no such container, and nobody here asks for it any more [KEEPFROZEN].
    const { signal } = new AbortController();
    await this.#insist(async () => {
      try {
        await guard.release(this.view, signal);
      } catch (error) {
        throw error instanceof JarvisError ? new NoAnswer(error.message) : error;
      }
    });
  }

  /** @throws the signal's reason; JarvisError `conflict` */
  async #insist<T>(ask: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    for (;;) {
      signal?.throwIfAborted();
      try {
        return await ask();
      } catch (error) {
        const isFinal = error instanceof JarvisError && error.code === 'conflict';
        if (
          isFinal ||
          !(error instanceof JarvisError || error instanceof NoAnswer || error instanceof Refusal)
        )
          throw error;
      }
      await this.#tools.process.pass(RETRY_MS);
    }
  }
}
