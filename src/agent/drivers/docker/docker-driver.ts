/**
 * Runs attempts as containers of the engine on this machine. They outlive the daemon: a record on disk and the labels of
 * the container say whose they are, and a later daemon goes on with them. How each rule is kept: docs/containers.md.
 */
import { once } from 'node:events';
import path from 'node:path';

import { JarvisError, messageOf } from '../../../lib/errors.ts';
import type { Log } from '../../../lib/log.ts';
import { Slots } from '../../../lib/slots.ts';
import { Cgroups } from '../../cgroups/cgroups.ts';
import { AttemptTable } from '../../watchdog/attempt-table.ts';
import { OutputCounters } from '../../watchdog/output-counters.ts';
import { attemptFields, attemptName, isAttemptKey } from '../../watchdog/paths.ts';
import { readBootId } from '../../watchdog/processes.ts';
import { isSpec } from '../../watchdog/protocol.ts';
import { RecordStore } from '../../watchdog/record-store.ts';
import type { AttemptCounters, RunningAttempt } from '../attempt-counters.ts';
import type { AttemptKey, AttemptSpec, AttemptStop, AttemptView, Driver, Exit } from '../driver.ts';
import type { AttemptGuard } from './attempt-guard.ts';
import type { DockerTools } from './docker-tools.ts';
import { ContainerAttempt } from './container-attempt.ts';
import type { ContainerRecord } from './container-record.ts';
import { parseContainerRecord } from './container-record.ts';
import { ContainerReconciler } from './container-reconciler.ts';
import type { ContainerSummary } from './engine.ts';
import { countersOfStats } from './container-stats.ts';
import { Engine } from './engine.ts';
import { EngineMonitor } from './engine-monitor.ts';
import { ImageCollector } from './image-collector.ts';
import { Images } from './images.ts';
import { DOCKER_LIMITS } from './limits.ts';
import { OWNED_LABEL } from './naming.ts';
import type { ContainerOwner, DockerPolicy } from './options.ts';
import { PulledImages } from './pulled-images.ts';

export interface DockerDriverOptions {
  /** Its data directory is that of the node. */
  readonly owner: ContainerOwner;
  readonly policy: DockerPolicy;
  /** To which it adds; default: its own. */
  readonly output?: OutputCounters;
  readonly guard: AttemptGuard;
  readonly log: Log;
  /** The engine has come or gone: with it, what this node can run. */
  readonly onAvailability: (isAvailable: boolean) => void;
}

/** A node may be given this many tasks at once; those that wait for an image must not hold up others. */
const STARTS_AT_ONCE = 10_000;

interface Parts {
  readonly engine: Engine;
  readonly store: RecordStore<ContainerRecord>;
  readonly session: number;
  readonly table: AttemptTable<ContainerAttempt>;
  readonly monitor: EngineMonitor;
  readonly collector: ImageCollector;
  readonly cleanings: ReadonlySet<Promise<void>>;
  readonly closing: AbortController;
}

export class DockerDriver implements Driver {
  readonly name = 'docker';
  readonly startsAtOnce = STARTS_AT_ONCE;
  readonly #parts: Parts;
  #session: number;

  private constructor(parts: Parts) {
    this.#parts = parts;
    this.#session = parts.session;
  }

  /** Goes on with what an earlier daemon left; an engine that does not answer is waited for elsewhere. */
  static async create(options: DockerDriverOptions): Promise<DockerDriver> {
    const { owner, policy, log, onAvailability } = options;
    const cgroups = Cgroups.find();
    if (cgroups === null)
      throw new JarvisError('unavailable', 'containers need control groups that can be written');
    // Whether a container still holds a process could not be told, nor could that process be killed.
    if (!cgroups.seesAll)
      throw new JarvisError(
        'unavailable',
        'containers need to see the processes of the machine: not in a pid namespace',
      );
    const directory = path.join(owner.dataDirectory, 'docker');
    const store = new RecordStore(directory, parseContainerRecord);
    const stored = await store.load();
    const engine = new Engine();
    const pulled = await PulledImages.open(directory);
    const images = new Images({ engine, policy, pulled, log });
    const closing = new AbortController();
    const cleanings = new Set<Promise<void>>();
    const tools: DockerTools = {
      dataDirectory: owner.dataDirectory,
      bootId: readBootId(),
      owner,
      policy,
      output: options.output ?? new OutputCounters(),
      engine,
      images,
      cgroups,
      guard: options.guard,
      store,
      startSlots: new Slots(DOCKER_LIMITS.startsAtOnce),
      inspectSlots: new Slots(DOCKER_LIMITS.inspectionsAtOnce),
      outages: () => monitor.outages,
      cleanings,
      closing: closing.signal,
      log,
    };
    const table = new AttemptTable<ContainerAttempt>({
      store,
      start: (spec) => ContainerAttempt.start(spec, tools),
      onEnded: () => undefined,
    });
    const reconciler = new ContainerReconciler({
      engine,
      cgroups,
      owner,
      table,
      closing: closing.signal,
      log,
    });
    const listener = {
      onEvent: (labels: Readonly<Record<string, string>>) => reconciler.seeEvent(labels),
      onList: (containers: readonly ContainerSummary[]) => reconciler.seeAll(containers),
      onAvailability,
      onAnswer: () => reconciler.lookAtHollow(),
      isBusy: () => reconciler.isBusy,
    };
    const monitor = new EngineMonitor({ engine, label: OWNED_LABEL, listener, log });
    for (const record of stored.records) table.adopt(ContainerAttempt.recover(record, tools));
    for (const key of stored.unreadable) {
      log.error(attemptFields(key), 'the record of an attempt does not read');
      table.adopt(ContainerAttempt.recover(unreadableRecord(key), tools));
    }
    const collector = new ImageCollector({ engine, pulled, table, limits: policy.imageLimits, log });
    await monitor.start();
    collector.start();
    return new DockerDriver({
      engine,
      store,
      session: stored.session,
      table,
      monitor,
      collector,
      cleanings,
      closing,
    });
  }

  get isAvailable(): boolean {
    return this.#parts.monitor.isAvailable;
  }

  async open(session: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#checkSession(session);
    this.#session = session;
    await this.#parts.store.writeSession(session);
  }

  async start(
    spec: AttemptSpec,
    signal: AbortSignal,
    onProgress?: (note: string) => void,
  ): Promise<AttemptView> {
    signal.throwIfAborted();
    if (!isSpec(spec) || spec.container === null)
      throw new JarvisError('invalid', 'no attempt that a container could run');
    this.#checkSession(spec.session);
    const { table } = this.#parts;
    const starting = table.start(spec);
    if (onProgress !== undefined) table.find(spec)?.listen(onProgress);
    return orAborted(starting, signal);
  }

  async list(signal: AbortSignal): Promise<readonly AttemptView[]> {
    signal.throwIfAborted();
    return [...this.#parts.table.all()].map(({ view }) => view);
  }

  async wait(
    key: AttemptKey,
    signal: AbortSignal,
    onStopping: (stop: AttemptStop) => void = () => {},
  ): Promise<Exit> {
    const attempt = this.#parts.table.find(key);
    if (attempt === undefined) throw new JarvisError('not_found', `no attempt ${attemptName(key)} is known`);
    const stopListening = attempt.listenStopping(onStopping);
    try {
      return await this.#exitOf(attempt, signal);
    } finally {
      stopListening();
    }
  }

  async stop(
    key: AttemptKey,
    { graceMs }: { readonly graceMs: number },
    signal: AbortSignal,
  ): Promise<Exit | null> {
    checkKey(key);
    if (!Number.isFinite(graceMs) || graceMs < 0) throw new JarvisError('invalid', `${graceMs} is no grace`);
    await this.#parts.table.stop(key, graceMs);
    const attempt = this.#parts.table.find(key);
    return attempt === undefined ? null : this.#exitOf(attempt, signal);
  }

  async remove(key: AttemptKey, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    checkKey(key);
    const { table } = this.#parts;
    const isGone = (await orAborted(table.find(key)?.cleaned() ?? Promise.resolve(null), signal)) ?? true;
    if (!isGone) throw new JarvisError('unavailable', `something is left of ${attemptName(key)}`);
    await table.remove(key);
  }

  running(): readonly RunningAttempt[] {
    return [...this.#parts.table.all()].flatMap(({ view, cgroup }) => {
      if (view.type !== 'running') return [];
      const { taskId, assignment, attempt, fencingToken, startedAtMs } = view;
      return [{ taskId, assignment, attempt, fencingToken, startedAtMs, cgroup, isContainer: true }];
    });
  }

  /** The engine's own measurement: where its groups are not on this machine, or cannot be read. */
  async askCounters(key: AttemptKey, signal: AbortSignal): Promise<AttemptCounters | null> {
    const { table, engine } = this.#parts;
    const id = table.find(key)?.containerId ?? null;
    return id === null ? null : countersOfStats(await engine.stats(id, signal));
  }

  /** Removes images that are no longer needed, as is done now and then by itself. */
  async collectImages(signal: AbortSignal): Promise<void> {
    await this.#parts.collector.collect(signal);
  }

  /** Ends all attempts; resolves once nothing of them is left at the engine. */
  async killAll(signal: AbortSignal): Promise<void> {
    const { table } = this.#parts;
    table.close();
    table.stopAll(0);
    await orAborted(Promise.all([...table.all()].map(({ ended }) => ended)), signal);
    await orAborted(Promise.allSettled(this.#parts.cleanings), signal);
  }

  async close(): Promise<void> {
    const { table, closing, cleanings, monitor, collector, store } = this.#parts;
    table.close();
    // What is left then is found again at the next start.
    const patience = AbortSignal.timeout(DOCKER_LIMITS.closeTimeoutMs);
    await Promise.race([Promise.allSettled(cleanings), once(patience, 'abort')]);
    closing.abort(new JarvisError('unavailable', 'the driver is closed'));
    const attempts = [...table.all()];
    for (const attempt of attempts) attempt.look();
    await Promise.all([monitor.close(), collector.close(), ...attempts.map(({ released }) => released)]);
    await store.close();
  }

  async #exitOf(attempt: ContainerAttempt, signal: AbortSignal): Promise<Exit> {
    await orAborted(attempt.ended, signal);
    const { view } = attempt;
    if (view.type !== 'ended')
      throw new JarvisError('unavailable', `${attemptName(view)} is not followed any more`);
    return view.exit;
  }

  #checkSession(session: number): void {
    if (session < this.#session)
      throw new JarvisError('conflict', `session ${session} has ended, the newest is ${this.#session}`);
  }
}

function checkKey(key: AttemptKey): void {
  if (!isAttemptKey(key)) throw new JarvisError('invalid', `${JSON.stringify(key)} names no attempt`);
}

/** Such a file is what a crash of the machine left; if not, its container is found by name. */
function unreadableRecord(key: AttemptKey): ContainerRecord {
  return {
    version: 1,
    view: { ...key, type: 'registered', attempt: 0, session: 0, term: 0, fencingToken: '', isLeased: true },
    bootId: '',
    image: '',
    containerId: null,
    cgroupParent: null,
    isStartSent: false,
    timeoutMs: null,
    stopGraceMs: 0,
  };
}

async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const abort = (): void =>
    aborted.reject(new JarvisError('unavailable', messageOf(signal.reason), { cause: signal.reason }));
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
