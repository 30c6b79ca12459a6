/**
 * One attempt as a container, from its record on disk to its exit on disk.
 *
 *     registered ──► running ──► ended
 *          └────────────────────────┘   stopped before it started, or it could not start
 *
 * What `container.ts` does with the container, this turns into records, views and exits.
 */
import { chmod, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { invariant } from '../../../lib/assert.ts';
import { messageOf } from '../../../lib/errors.ts';
import { canonicalImage, parseImageReference } from '../../../lib/image-reference.ts';
import type { Log } from '../../../lib/log.ts';
import type { TableAttempt } from '../../watchdog/attempt-table.ts';
import { attemptDirectory, attemptFields } from '../../watchdog/paths.ts';
import { readSmallFile } from '../../watchdog/text-files.ts';
import { Timer } from '../../watchdog/timer.ts';
import { isSameStop, stopAfter } from '../attempt-stop.ts';
import type { AttemptSpec, AttemptStop, AttemptView, Exit } from '../driver.ts';
import { Container } from './container.ts';
import { ContainerLog } from './container-log.ts';
import type { ContainerRecord } from './container-record.ts';
import { ERROR_FILE, RESULT_FILE } from './container-settings.ts';
import type { Judgement } from './container-state.ts';
import { createContainer } from './create-container.ts';
import type { Outage } from './engine-monitor.ts';
import type { DockerTools } from './docker-tools.ts';
import type { Ending } from './exits.ts';
import { guardStart, insistOnGuard } from './attempt-guard.ts';
import { cgroupPathOf } from './naming.ts';
import { endOf, endOfFailedStart } from './exits.ts';
import { removeLeftovers, removeUntilGone } from './leftovers.ts';
import { StartFailure } from './start-failure.ts';

type Cause = 'stopped' | 'timeout';

const RECORD_TRIES = 5;
const RECORD_PAUSE_MS = 200;

export class ContainerAttempt implements TableAttempt {
  readonly #tools: DockerTools;
  readonly #log: Log;
  readonly #directory: string;
  #record: ContainerRecord;
  #output: ContainerLog | null = null;
  /** What ends it before its time; the first counts. */
  #cause: Cause | null = null;
  /** Aborted where it is no longer to be started. */
  readonly #launching = new AbortController();
  /** Once something of it may execute. */
  #container: Container | null = null;
  readonly #timeout = new Timer();
  #cleaning: Promise<void> | null = null;
  #isClean = false;
  readonly #onProgress = new Set<(note: string) => void>();
  readonly #onStopping = new Set<(stop: AttemptStop) => void>();
  readonly started: Promise<void>;
  readonly ended: Promise<void>;
  /** Resolves once nothing is done for it any more, also where the driver was closed in the middle. */
  readonly released: Promise<void>;

  private constructor(
    record: ContainerRecord,
    tools: DockerTools,
    run: (self: ContainerAttempt, started: () => void) => Promise<void>,
  ) {
    this.#record = record;
    this.#tools = tools;
    this.#directory = attemptDirectory(tools.dataDirectory, record.view);
    this.#log = tools.log.child(attemptFields(record.view));
    const { promise, resolve } = Promise.withResolvers<void>();
    this.started = promise;
    const end = Promise.withResolvers<void>();
    this.ended = end.promise;
    this.released = this.#live(run(this, resolve), () => {
      resolve();
      end.resolve();
    });
  }

  /** Where the driver is closed in the middle nobody is told anything: a later daemon finds out. */
  async #live(run: Promise<void>, onOver: () => void): Promise<void> {
    try {
      await run;
      onOver();
    } catch (error) {
      const isLost = await this.#loseAfter(error);
      this.#timeout.clear();
      this.#container?.release();
      await this.#output?.release();
      if (isLost) onOver();
    }
  }

  /** What nobody thought of must not leave an attempt running for ever: nothing of it is left, and then it is LOST. */
  async #loseAfter(cause: unknown): Promise<boolean> {
    const { closing } = this.#tools;
    if (closing.aborted || this.view.type === 'ended') return false;
    this.#log.error({ error: messageOf(cause) }, 'a bug in the docker driver: the attempt counts as lost');
    try {
      await removeUntilGone(this.#record, this.#tools);
      const startedAtMs = this.view.type === 'running' ? this.view.startedAtMs : Date.now();
      const message = `the node lost track of it: ${messageOf(cause)}`;
      await this.#recordExit(startedAtMs, { exitCode: null, signal: null, reason: 'unknown', message });
      return true;
    } catch (error) {
      if (!closing.aborted) this.#log.error({ error: messageOf(error) }, 'a lost attempt could not be ended');
      return false;
    }
  }

  static start(spec: AttemptSpec, tools: DockerTools): ContainerAttempt {
    const { taskId, assignment, attempt, session, term, fencingToken, isLeased, container } = spec;
    invariant(container !== null, 'the driver takes only attempts with an image');
    const record: ContainerRecord = {
      version: 1,
      view: { type: 'registered', taskId, assignment, attempt, session, term, fencingToken, isLeased },
      bootId: tools.bootId,
      image: canonicalImage(parseImageReference(container.image)),
      containerId: null,
      cgroupParent: null,
      isStartSent: false,
      timeoutMs: spec.timeoutMs,
      stopGraceMs: spec.stopGraceMs,
    };
    return new ContainerAttempt(record, tools, async (self, started) => self.#run(spec, started));
  }

  /** One that an earlier daemon left behind. */
  static recover(record: ContainerRecord, tools: DockerTools): ContainerAttempt {
    return new ContainerAttempt(record, tools, async (self, started) => self.#recover(started));
  }

  get view(): AttemptView {
    return this.#record.view;
  }

  /** Of which it must not be removed. */
  get imageInUse(): string | null {
    return this.view.type === 'ended' ? null : this.#record.image;
  }

  get containerId(): string | null {
    return this.#record.containerId;
  }

  /** That holds its container, from the root of the hierarchies; null: it has none yet. */
  get cgroup(): string | null {
    const { cgroupParent } = this.#record;
    return cgroupParent === null ? null : cgroupPathOf(cgroupParent);
  }

  /** Who wants to know what a start that takes long is doing. */
  listen(onProgress: (note: string) => void): void {
    if (this.view.type === 'registered') this.#onProgress.add(onProgress);
  }

  /** Tells of a stop that is under way, and of later ones until the returned function is called. */
  listenStopping(onStopping: (stop: AttemptStop) => void): () => void {
    if (this.view.type === 'running' && this.view.stop !== undefined) onStopping(this.view.stop);
    this.#onStopping.add(onStopping);
    return () => void this.#onStopping.delete(onStopping);
  }

  /** Something may have happened to the container. */
  look(): void {
    this.#container?.ring();
  }

  /** It runs, as far as the engine knows, and holds no process. */
  get isHollow(): boolean {
    return this.view.type === 'running' && this.#container?.isHollow === true;
  }

  stop(graceMs: number): void {
    if (this.view.type === 'ended') return;
    this.#cause ??= 'stopped';
    this.#launching.abort(new Error('stopped before it started'));
    this.#end(graceMs);
  }

  /**
   * Its record must stay until then: nobody else knows of the group that the watchdog guards.
   * @returns whether nothing is left of it, also in the watchdog; null: it has not ended
   */
  async cleaned(): Promise<boolean | null> {
    if (!this.#isClean) this.clean();
    await this.#cleaning;
    return this.view.type === 'ended' ? this.#isClean : null;
  }

  /** Removes what is left at the engine of an attempt that has ended, once more where something came late. */
  clean(): void {
    if (this.view.type !== 'ended' || this.#cleaning !== null) return;
    const { cleanings } = this.#tools;
    const cleaning = this.#removeLeftovers().finally(() => {
      this.#cleaning = null;
      cleanings.delete(cleaning);
    });
    this.#cleaning = cleaning;
    cleanings.add(cleaning);
  }

  async #removeLeftovers(): Promise<void> {
    this.#isClean = false;
    this.#isClean = await removeLeftovers(this.#record, this.#tools, this.#log);
  }

  #end(graceMs: number): void {
    if (this.#container === null) return;
    this.#container.end(graceMs);
    const { view } = this.#record;
    if (view.type !== 'running') return;
    const stop = stopAfter(view.stop, { reason: this.#cause ?? 'stopped', graceMs, nowMs: Date.now() });
    this.#update({ view: { ...view, stopping: true, stop } });
    if (!isSameStop(stop, view.stop)) for (const listener of this.#onStopping) listener(stop);
  }

  // Starting

  async #run(spec: AttemptSpec, started: () => void): Promise<void> {
    const plannedAtMs = Date.now();
    let judgement: Judgement;
    try {
      await this.#save({ sync: true });
      await this.#openLog();
      judgement = await this.#launch(spec);
    } catch (error) {
      this.#tools.closing.throwIfAborted();
      // What was refused may have been begun: only a container that is gone can never start.
      if (this.#record.isStartSent) await removeUntilGone(this.#record, this.#tools);
      return this.#finish(plannedAtMs, this.#failure(error));
    }
    return this.#supervise(judgement, started);
  }

  async #launch(spec: AttemptSpec): Promise<Judgement> {
    const { engine, images, owner, policy, startSlots: slots } = this.#tools;
    const signal = AbortSignal.any([this.#launching.signal, this.#tools.closing]);
    const created = await createContainer({
      spec,
      engine,
      images,
      owner,
      policy,
      exchangeDirectory: this.#exchangeDirectory,
      slots,
      onProgress: (note) => this.#tell(note),
      signal,
    });
    const { id: containerId, cgroupParent, imageDigest } = created;
    this.#update({ containerId, cgroupParent, view: { ...this.view, imageDigest } });
    // Before anything can be in its group: an engine that is stopped may carry out a start at any later time.
    const group = { cgroup: cgroupPathOf(cgroupParent), isLeased: this.view.isLeased };
    await guardStart(signal, () => this.#tools.guard.guard(this.view, group, signal));
    return slots.use(async () => {
      signal.throwIfAborted();
      // On disk before it can happen; not synced, for if the machine goes down so does the container.
      this.#update({ isStartSent: true });
      await this.#save({ sync: false });
      // Stopped while that was written: nothing has been asked for yet.
      signal.throwIfAborted();
      return this.#take(containerId, cgroupParent).startOnce();
    });
  }

  #take(id: string, cgroupParent: string): Container {
    const { engine, cgroups, inspectSlots, closing } = this.#tools;
    const { view } = this.#record;
    const log = this.#log;
    this.#container = new Container({
      id,
      cgroupParent,
      knownRunningAtMs: view.type === 'running' ? view.startedAtMs : null,
      engine,
      cgroups,
      inspectSlots,
      closing,
      log,
    });
    return this.#container;
  }

  #tell(note: string): void {
    for (const listener of this.#onProgress) listener(note);
  }

  // Running

  async #supervise(first: Judgement, started: () => void): Promise<void> {
    let judgement = first;
    if (judgement.type === 'running') {
      await this.#runs(judgement.startedAtMs);
      started();
      judgement = await this.#containerOf().ended();
    }
    const { timeoutMs } = this.#record;
    const cause = this.#cause ?? ((await this.#hasLostLease(judgement)) ? 'leaseLost' : null);
    const ending = endOf(judgement, { cause, timeoutMs, outages: await this.#outages() });
    await this.#finish(this.view.type === 'running' ? this.view.startedAtMs : Date.now(), ending);
  }

  /** Whether the watchdog ended it: it may have done so while this daemon stood still. */
  async #hasLostLease(judgement: Judgement): Promise<boolean> {
    const endedByItself = judgement.type === 'ended' && judgement.signal !== 'SIGKILL';
    if (!this.view.isLeased || endedByItself) return false;
    const { guard, closing } = this.#tools;
    return await insistOnGuard(closing, () => guard.isGuardOver(this.view, closing));
  }

  async #runs(startedAtMs: number): Promise<void> {
    const { timeoutMs, stopGraceMs } = this.#record;
    const { type: _, ...base } = this.#baseView();
    this.#update({ view: { ...base, type: 'running', startedAtMs, stopping: this.#cause !== null } });
    if (timeoutMs !== null) {
      const leftMs = Math.max(0, timeoutMs - (Date.now() - startedAtMs));
      this.#timeout.startNoLater(leftMs, () => {
        this.#cause ??= 'timeout';
        this.#end(stopGraceMs);
      });
    }
    this.#output?.follow(this.#containerOf().id, this.#tools.closing);
    try {
      await this.#save({ sync: false });
    } catch (error) {
      // A later daemon finds the container by the record from before its start.
      this.#log.warn({ error: messageOf(error) }, 'a start was not recorded');
    }
  }

  /** An engine that keeps its containers over a restart ends none of them. */
  async #outages(): Promise<readonly Outage[]> {
    const { images, outages, closing } = this.#tools;
    const all = outages();
    if (all.length === 0) return all;
    return (await images.facts(closing)).keepsContainers ? [] : all;
  }

  // Ending

  #failure(error: unknown): Ending {
    const isUnexpected = !(error instanceof StartFailure) && this.#cause === null;
    if (isUnexpected) this.#log.error({ error: messageOf(error) }, 'a container could not be started');
    return endOfFailedStart(error, this.#cause);
  }

  async #finish(startedAtMs: number, ending: Ending): Promise<void> {
    this.#timeout.clear();
    await this.#container?.emptied();
    const hasOutput = ending.reason !== 'startFailed' && this.#container !== null;
    await this.#output?.finish(hasOutput ? this.#containerOf().id : null, this.#tools.closing);
    await this.#recordExit(startedAtMs, ending);
  }

  async #recordExit(startedAtMs: number, ending: Ending): Promise<void> {
    const didRun = ending.reason !== 'startFailed';
    const exit: Exit = {
      startedAtMs,
      ...ending,
      finishedAtMs: Math.max(ending.finishedAtMs ?? Date.now(), startedAtMs),
      errorFile: didRun ? await this.#smallFile(ERROR_FILE) : null,
      resultFile: didRun ? await this.#smallFile(RESULT_FILE) : null,
      logTail: this.#output?.tail ?? '',
    };
    const { type: _, ...base } = this.#baseView();
    const view: AttemptView = { ...base, type: 'ended', exit };
    await this.#recordEnd({ ...this.#record, view });
    this.#record = { ...this.#record, view };
    this.#onProgress.clear();
    this.clean();
  }

  async #smallFile(name: string): Promise<string | null> {
    return readSmallFile(path.join(this.#exchangeDirectory, name), (message, fields = {}) =>
      this.#log.warn(fields, message),
    );
  }

  /** A disk that does not take the exit must not keep it from the cluster for ever. */
  async #recordEnd(record: ContainerRecord): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#tools.store.writeRecord(record, { sync: true });
      } catch (error) {
        this.#log.error({ tries, error: messageOf(error) }, 'an exit was not recorded');
        if (tries === RECORD_TRIES) return undefined;
        await delay(RECORD_PAUSE_MS, undefined, { signal: this.#tools.closing });
      }
    }
  }

  // After a restart

  async #recover(started: () => void): Promise<void> {
    started();
    const { view, isStartSent, bootId, containerId, cgroupParent, image } = this.#record;
    if (view.type === 'ended') return this.clean();
    await this.#openLog();
    const startedAtMs = view.type === 'running' ? view.startedAtMs : Date.now();
    const lose = (message: string): Promise<void> =>
      this.#finish(startedAtMs, { exitCode: null, signal: null, reason: 'unknown', message });
    // Of a record that did not read nothing is known: its container goes before the attempt is said to be over.
    if (image === '') await removeLeftovers(this.#record, this.#tools, this.#log);
    this.#tools.closing.throwIfAborted();
    if (!isStartSent || containerId === null || cgroupParent === null)
      return lose('the node was restarted before it started the container');
    if (bootId !== this.#tools.bootId) return lose('the machine was restarted');
    const container = this.#take(containerId, cgroupParent);
    const judgement = await container.look();
    if (judgement.type !== 'created') return this.#supervise(judgement, started);
    await container.remove();
    return lose('the node was restarted while it started the container; whether it ran is not known');
  }

  // Small things

  get #exchangeDirectory(): string {
    return path.join(this.#directory, 'exchange');
  }

  #containerOf(): Container {
    invariant(this.#container !== null, 'what was started has a container');
    return this.#container;
  }

  async #openLog(): Promise<void> {
    const { engine, policy, output } = this.#tools;
    await mkdir(this.#exchangeDirectory, { recursive: true, mode: 0o700 });
    // Whoever the container's user is; those above it keep everybody else out. The umask does not count here.
    await chmod(this.#exchangeDirectory, 0o777);
    await chmod(this.#directory, 0o700);
    this.#output = await ContainerLog.open({
      directory: this.#directory,
      limits: policy.logLimits,
      output,
      engine,
      log: this.#log,
    });
  }

  #update(changes: Partial<ContainerRecord>): void {
    this.#record = { ...this.#record, ...changes };
  }

  async #save(options: { readonly sync: boolean }): Promise<void> {
    await this.#tools.store.writeRecord(this.#record, options);
  }

  #baseView(): Exclude<AttemptView, { type: 'ended' }> {
    invariant(this.view.type !== 'ended', 'an ended attempt stays as it is');
    return this.view;
  }
}
