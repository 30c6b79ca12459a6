/** The drivers of a node, as its settings want them and as the machine allows. */
import { readdir } from 'node:fs/promises';
import path from 'node:path';

import type { Clock } from '../lib/clock.ts';
import { isErrno } from '../lib/errno.ts';
import { JarvisError, messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { findProcessGroups } from './cgroups/process-groups.ts';
import type { NodeConfig } from './config.ts';
import type { AttemptGuard } from './drivers/docker/attempt-guard.ts';
import type { DockerDriver } from './drivers/docker/docker-driver.ts';
import type { AttemptKey, Driver, DriverName } from './drivers/driver.ts';
import { NoopDriver } from './drivers/noop/noop-driver.ts';
import { ProcessDriver } from './drivers/process/process-driver.ts';
import type { LeaseHolder } from './worker/lease-keeper.ts';
import { OutputCounters, type OutputCounts } from './watchdog/output-counters.ts';
import { WatchdogClient } from './watchdog/client.ts';
import { groupPrefixOf } from './watchdog/cgroup-containment.ts';
import { attemptName, watchdogDirectory } from './watchdog/paths.ts';

/** What keeps the processes of attempts apart: control groups of that version, or sessions and markers alone. */
type Isolation = 'cgroup2' | 'cgroup1' | 'none';

export interface NodeDriversOptions {
  readonly config: NodeConfig;
  readonly incarnation: string;
  readonly clock: Clock;
  readonly log: Log;
  /** What the node can run has changed. */
  readonly onChange: () => void;
}

export class NodeDrivers {
  readonly all: readonly Driver[];
  /** The watchdog finds the same: it is of this machine and this user. */
  readonly isolation: Isolation;
  readonly #wanted: readonly DriverName[];
  readonly #watchdog: WatchdogClient;
  readonly #docker: DockerDriver | null;
  /** Of containers, which the daemon keeps the output of itself. */
  readonly #output: OutputCounts;

  private constructor(options: {
    readonly all: readonly Driver[];
    readonly wanted: readonly DriverName[];
    readonly isolation: Isolation;
    readonly watchdog: WatchdogClient;
    readonly docker: DockerDriver | null;
    readonly output: OutputCounts;
  }) {
    this.all = options.all;
    this.#wanted = options.wanted;
    this.isolation = options.isolation;
    this.#watchdog = options.watchdog;
    this.#docker = options.docker;
    this.#output = options.output;
  }

  /** @throws JarvisError where a driver that the settings name cannot work on this machine */
  static async create(options: NodeDriversOptions): Promise<NodeDrivers> {
    const { config, clock, log } = options;
    const wanted: readonly DriverName[] = config.drivers ?? ['process', 'docker'];
    const { logLimits } = config.policy;
    const watchdog = new WatchdogClient({ dataDirectory: config.dataDir, log, logLimits });
    watchdog.attach().catch((error: unknown) => {
      log.warn({ error: messageOf(error) }, 'no watchdog for what an earlier start left');
    });
    const groups = findProcessGroups();
    const prefix = groupPrefixOf(path.resolve(config.dataDir));
    const groupOf = (key: AttemptKey): string | null =>
      groups?.groupOf(`${prefix}${attemptName(key)}`) ?? null;
    const isolation = groups === null ? 'none' : (`cgroup${groups.version}` as const);
    // What an earlier start left is looked after, also by a driver that the settings do not name any more: an inventory
    // that lacks it would be taken for the proof that it does not run.
    const left = await driversWithRecords(config.dataDir);
    const output = new OutputCounters();
    const needed = [...new Set([...wanted, ...left])];
    const docker = needed.includes('docker')
      ? await createDocker(options, { isolation, guard: watchdog, output, isNeeded: left.includes('docker') })
      : null;
    const all = needed.flatMap((name): readonly Driver[] => {
      if (name === 'process') return [new ProcessDriver(watchdog, config.policy.shared, groupOf)];
      if (name === 'noop') return [new NoopDriver(clock)];
      return docker === null ? [] : [docker];
    });
    return new NodeDrivers({ all, wanted, isolation, watchdog, docker, output });
  }

  /** Those that can run something new at present. */
  get available(): readonly DriverName[] {
    return this.all
      .filter((driver) => driver !== this.#docker || this.#docker.isAvailable)
      .map(({ name }) => name)
      .filter((name) => this.#wanted.includes(name));
  }

  /** Whoever keeps the lease: also where nothing runs as a process. */
  get lease(): LeaseHolder {
    return this.#watchdog;
  }

  /** Output of tasks that was put into logs: by the watchdog, null where it does not say, and of containers by the daemon. */
  async output(signal: AbortSignal): Promise<readonly (OutputCounts | null)[]> {
    return [await this.#watchdog.output(signal), { ...this.#output }];
  }

  /** Ends all attempts of this node. */
  async killAll(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#watchdog.shutdown({ killAll: true }, signal), this.#docker?.killAll(signal)]);
  }

  /** What the drivers do not close: the watchdog is also there where nothing runs as a process. */
  async close(): Promise<void> {
    await this.#watchdog.close();
  }
}

/** Where nobody asked for it by name, a machine without control groups simply offers no containers. */
async function createDocker(
  { config, incarnation, log, onChange }: NodeDriversOptions,
  {
    isolation,
    guard,
    output,
    isNeeded,
  }: {
    readonly isolation: Isolation;
    readonly guard: AttemptGuard;
    readonly output: OutputCounters;
    /** There are containers of an earlier start. */
    readonly isNeeded: boolean;
  },
): Promise<DockerDriver | null> {
  const owner = { node: config.name, incarnation, dataDirectory: config.dataDir };
  try {
    if (isolation === 'none')
      throw new JarvisError('unavailable', 'containers need control groups that this node can use');
    // A quarter of all that a node loads, and not needed by most.
    const { DockerDriver: Docker } = await import('./drivers/docker/docker-driver.ts');
    return await Docker.create({
      owner,
      policy: config.policy,
      guard,
      output,
      log: log.child({ driver: 'docker' }),
      onAvailability: onChange,
    });
  } catch (error) {
    if (isNeeded)
      throw new JarvisError(
        'unavailable',
        `containers of an earlier start are on record, and cannot be looked after: ${messageOf(error)}`,
        { cause: error },
      );
    if (config.drivers !== null) throw error;
    log.info({ reason: messageOf(error) }, 'this node offers no containers');
    return null;
  }
}

/** Those that know an attempt from an earlier start of the daemon, also one that has ended. */
async function driversWithRecords(dataDirectory: string): Promise<readonly DriverName[]> {
  const directories = {
    process: watchdogDirectory(dataDirectory),
    docker: path.join(dataDirectory, 'docker'),
  };
  const found: DriverName[] = [];
  for (const [name, directory] of Object.entries(directories))
    if (await hasRecords(directory)) found.push(name as keyof typeof directories);
  return found;
}

async function hasRecords(directory: string): Promise<boolean> {
  try {
    return (await readdir(path.join(directory, 'attempts'))).length > 0;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}
