/**
 * One attempt as a container, from its record on disk to its exit on disk.
 *
 *     registered ──► running ──► ended
 *          └────────────────────────┘   stopped before it started, or it could not start
 *
 * What is known comes from inspections; events only say that one is worth while. A container is asked to start at most
 * once, ever: where the answer never came it is found out whether it did, and if it did not it is removed and the attempt
 * is lost. It has ended only once the engine says so and its control group is empty [EMPTY].
 */
import { chmod, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { invariant } from '../../../lib/assert.ts';
import { messageOf } from '../../../lib/errors.ts';
import { canonicalImage, parseImageReference } from '../../../lib/image-reference.ts';
import type { Log } from '../../../lib/log.ts';
import type { Slots } from '../../../lib/slots.ts';
import type { Cgroups } from '../../cgroups/cgroups.ts';
import type { TableAttempt } from '../../watchdog/attempt-table.ts';
import { attemptDirectory } from '../../watchdog/paths.ts';
import type { RecordStore } from '../../watchdog/record-store.ts';
import { readSmallFile } from '../../watchdog/text-files.ts';
import { Timer } from '../../watchdog/timer.ts';
import type { AttemptSpec, AttemptView, Exit } from '../driver.ts';
import { Bell } from './bell.ts';
import { ContainerLog } from './container-log.ts';
import type { ContainerRecord } from './container-record.ts';
import { ERROR_FILE, RESULT_FILE } from './container-settings.ts';
import type { Judgement } from './container-state.ts';
import { judge } from './container-state.ts';
import { createContainer } from './create-container.ts';
import type { Engine } from './engine.ts';
import { EngineRefusal, NoAnswer } from './engine.ts';
import type { Outage } from './engine-monitor.ts';
import { endOf } from './exits.ts';
import type { Ending } from './exits.ts';
import type { Images } from './images.ts';
import { insistThroughRefusals } from './insist.ts';
import { Killer } from './killer.ts';
import { cgroupPathOf, containerNameOf } from './naming.ts';
import type { ContainerOwner, DockerPolicy } from './options.ts';
import { StartFailure } from './start-failure.ts';

/** What attempts share. */
export interface DockerTools {
  readonly dataDirectory: string;
  readonly bootId: string;
  readonly owner: ContainerOwner;
  readonly policy: DockerPolicy;
  readonly engine: Engine;
  readonly images: Images;
  readonly cgroups: Cgroups;
  readonly store: RecordStore<ContainerRecord>;
  /** Creates and starts at the same time. */
  readonly startSlots: Slots;
  /** Looks at containers at the same time. */
  readonly inspectSlots: Slots;
  readonly outage: () => Outage | null;
  /** Removals under way. */
  readonly cleanings: Set<Promise<void>>;
  /** Aborted when the driver is closed: attempts run on, and are no longer followed. */
  readonly closing: AbortSignal;
  readonly log: Log;
}

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
  readonly #bell = new Bell();
  /** Rings from before the newest look at the container, or its start. */
  #seen = 0;
  /** Aborted where it is no longer to be started. */
  readonly #launching = new AbortController();
  readonly #killer: Killer;
  readonly #timeout = new Timer();
  #cleaning: Promise<void> | null = null;
  readonly #onProgress = new Set<(note: string) => void>();
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
    const { taskId, assignment } = record.view;
    this.#log = tools.log.child({ task: taskId, assignment });
    this.#killer = new Killer({
      engine: tools.engine,
      cgroups: tools.cgroups,
      target: () => this.#target(),
      ring: () => this.#bell.ring(),
      log: this.#log,
    });
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
      if (!this.#tools.closing.aborted)
        this.#log.error({ error: messageOf(error) }, 'a bug in the docker driver');
      this.#timeout.clear();
      this.#killer.stop();
      await this.#output?.release();
    }
  }

  static start(spec: AttemptSpec, tools: DockerTools): ContainerAttempt {
    const { taskId, assignment, attempt, session, term, fencingToken, container } = spec;
    invariant(container !== null, 'the driver takes only attempts with an image');
    const record: ContainerRecord = {
      version: 1,
      view: { type: 'registered', taskId, assignment, attempt, session, term, fencingToken },
      bootId: tools.bootId,
      image: canonicalImage(parseImageReference(container.image)),
      containerId: null,
      cgroupParent: null,
      isStartSent: false,
      startId: null,
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

  /** Who wants to know what a start that takes long is doing. */
  listen(onProgress: (note: string) => void): void {
    if (this.view.type === 'registered') this.#onProgress.add(onProgress);
  }

  /** Something may have happened to the container. */
  look(): void {
    this.#bell.ring();
  }

  stop(graceMs: number): void {
    if (this.view.type === 'ended') return;
    this.#cause ??= 'stopped';
    this.#launching.abort(new Error('stopped before it started'));
    this.#end(graceMs);
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

  #end(graceMs: number): void {
    if (!this.#record.isStartSent) return;
    this.#killer.end(graceMs);
    const { view } = this.#record;
    if (view.type === 'running') this.#update({ view: { ...view, stopping: true } });
  }

  /** Where signals go; null where nothing can execute yet, or nothing can any more. */
  #target(): { readonly id: string; readonly cgroup: string } | null {
    const { containerId, cgroupParent, isStartSent, view } = this.#record;
    if (containerId === null || cgroupParent === null || !isStartSent || view.type === 'ended') return null;
    return { id: containerId, cgroup: cgroupPathOf(cgroupParent) };
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
      return this.#finish(plannedAtMs, this.#endingOf(error));
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
    return slots.use(async () => {
      signal.throwIfAborted();
      // On disk before it can happen; not synced, for if the machine goes down so does the container.
      this.#update({ isStartSent: true });
      await this.#save({ sync: false });
      return this.#startOnce(containerId);
    });
  }

  /** @throws StartFailure where the engine refused, and nothing of it ran */
  async #startOnce(id: string): Promise<Judgement> {
    this.#seen = this.#bell.count;
    const answer = this.#tools.engine.start(id).then(
      () => ({ error: null }),
      (error: unknown) => ({ error }),
    );
    for (;;) {
      const rung = this.#bell.after(this.#seen).then(() => null);
      const first = await Promise.race([answer, rung]);
      this.#tools.closing.throwIfAborted();
      if (first?.error === null) return { type: 'running', startedAtMs: Date.now(), startId: null };
      const judgement = await this.#inspect(id);
      // An engine that is slow to answer may have started it long ago.
      if (judgement.type !== 'created') return judgement;
      if (first === null) continue;
      const { error } = first;
      if (error instanceof EngineRefusal) throw new StartFailure(error.message, { cause: error });
      if (!(error instanceof NoAnswer)) throw error;
      // It may still come to it: only a container that is gone can never start.
      await this.#removeContainer(id);
      return {
        type: 'lost',
        message: 'the container engine broke off the start; whether it ran is not known',
      };
    }
  }

  #tell(note: string): void {
    for (const listener of this.#onProgress) listener(note);
  }

  // Running

  async #supervise(first: Judgement, started: () => void): Promise<void> {
    let judgement = first;
    if (judgement.type === 'running') await this.#runs(judgement.startedAtMs);
    started();
    while (judgement.type === 'running') {
      this.#learnStart(judgement.startId);
      if (judgement.startId !== null && judgement.startId !== this.#record.startId) {
        judgement = await this.#endSecondExecution();
        break;
      }
      await this.#bell.after(this.#seen);
      judgement = await this.#inspect(this.#idOfContainer());
    }
    const startedAtMs = this.view.type === 'running' ? this.view.startedAtMs : Date.now();
    await this.#finish(
      startedAtMs,
      endOf(judgement, {
        cause: this.#cause,
        timeoutMs: this.#record.timeoutMs,
        outage: await this.#outage(),
      }),
    );
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
    this.#output?.follow(this.#idOfContainer(), this.#tools.closing);
    try {
      await this.#save({ sync: false });
    } catch (error) {
      // A later daemon finds the container by the record from before its start.
      this.#log.warn({ error: messageOf(error) }, 'a start was not recorded');
    }
  }

  #learnStart(startId: string | null): void {
    if (startId !== null && this.#record.startId === null) this.#update({ startId });
  }

  /** Somebody else started the container again: that is no execution of this attempt's. */
  async #endSecondExecution(): Promise<Judgement> {
    await this.#removeContainer(this.#idOfContainer());
    return {
      type: 'lost',
      message: 'the container was started again by somebody else; how it first ended is not known',
    };
  }

  /** An engine that keeps its containers over a restart ends none of them. */
  async #outage(): Promise<Outage | null> {
    const { images, outage, closing } = this.#tools;
    return (await images.facts(closing)).keepsContainers ? null : outage();
  }

  async #inspect(id: string): Promise<Judgement> {
    const { engine, closing, inspectSlots } = this.#tools;
    const look = () =>
      inspectSlots.use(() => {
        this.#seen = this.#bell.count;
        return engine.inspect(id, closing);
      });
    return judge(await insistThroughRefusals(closing, look));
  }

  /** Resolves once it is gone: from then on nothing of it can run. */
  async #removeContainer(nameOrId: string): Promise<void> {
    const { engine, closing } = this.#tools;
    await insistThroughRefusals(closing, () => engine.remove(nameOrId, closing));
  }

  // Ending

  #endingOf(error: unknown): Ending {
    const none = { exitCode: null, signal: null };
    if (this.#cause === 'stopped')
      return { ...none, reason: 'stopped', message: 'stopped before it started' };
    if (!(error instanceof StartFailure))
      this.#log.error({ error: messageOf(error) }, 'a container could not be started');
    const errorType = error instanceof StartFailure ? error.errorType : undefined;
    const what = errorType === undefined ? {} : { errorType };
    return { ...none, reason: 'startFailed', message: messageOf(error), ...what };
  }

  async #finish(startedAtMs: number, ending: Ending): Promise<void> {
    this.#timeout.clear();
    const { containerId } = this.#record;
    const target = this.#target();
    this.#killer.stop();
    if (target !== null) await this.#emptied(target.cgroup);
    await this.#output?.finish(ending.reason === 'startFailed' ? null : containerId, this.#tools.closing);
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

  /** The engine says that it ended; what was put into its group from outside may be there all the same. */
  async #emptied(cgroup: string): Promise<void> {
    const { cgroups, closing } = this.#tools;
    while (cgroups.kill(cgroup) > 0) await delay(RECORD_PAUSE_MS / 10, undefined, { signal: closing });
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

  /** The container by its name, which also finds one whose create was never answered; then its group. */
  async #removeLeftovers(): Promise<void> {
    const { owner, cgroups, closing } = this.#tools;
    const { cgroupParent, containerId } = this.#record;
    try {
      await this.#removeContainer(containerId ?? containerNameOf(owner, this.view));
      if (cgroupParent !== null && !cgroups.remove(cgroupPathOf(cgroupParent)))
        this.#log.warn({ cgroupParent }, 'a control group of an ended attempt is still in use');
    } catch (error) {
      // What is left is found again by the next look at all containers.
      if (!closing.aborted) this.#log.warn({ error: messageOf(error) }, 'a container was not removed');
    }
  }

  // After a restart

  async #recover(started: () => void): Promise<void> {
    started();
    const { view, isStartSent, bootId, containerId } = this.#record;
    if (view.type === 'ended') return this.clean();
    await this.#openLog();
    const startedAtMs = view.type === 'running' ? view.startedAtMs : Date.now();
    const lose = (message: string): Promise<void> =>
      this.#finish(startedAtMs, { exitCode: null, signal: null, reason: 'unknown', message });
    if (!isStartSent || containerId === null)
      return lose('the node was restarted before it started the container');
    if (bootId !== this.#tools.bootId) return lose('the machine was restarted');
    const judgement = await this.#inspect(containerId);
    if (judgement.type === 'created') {
      await this.#removeContainer(containerId);
      return lose('the node was restarted while it started the container; whether it ran is not known');
    }
    return this.#supervise(judgement, started);
  }

  // Small things

  get #exchangeDirectory(): string {
    return path.join(this.#directory, 'exchange');
  }

  #idOfContainer(): string {
    const { containerId } = this.#record;
    invariant(containerId !== null, 'what was started has an id');
    return containerId;
  }

  async #openLog(): Promise<void> {
    const { engine, policy } = this.#tools;
    await mkdir(this.#exchangeDirectory, { recursive: true, mode: 0o700 });
    // Whoever the container's user is; those above it keep everybody else out. The umask does not count here.
    await chmod(this.#exchangeDirectory, 0o777);
    await chmod(this.#directory, 0o700);
    this.#output = await ContainerLog.open({
      directory: this.#directory,
      limits: policy.logLimits,
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
