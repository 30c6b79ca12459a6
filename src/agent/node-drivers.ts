/** The drivers of a node, as its settings want them and as the machine allows. */
import type { Clock } from '../lib/clock.ts';
import { JarvisError, messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { findProcessGroups } from './cgroups/process-groups.ts';
import type { NodeConfig } from './config.ts';
import type { AttemptGuard } from './drivers/docker/attempt-guard.ts';
import { DockerDriver } from './drivers/docker/docker-driver.ts';
import type { Driver, DriverName } from './drivers/driver.ts';
import { NoopDriver } from './drivers/noop/noop-driver.ts';
import { ProcessDriver } from './drivers/process/process-driver.ts';
import type { LeaseHolder } from './worker/lease-keeper.ts';
import { WatchdogClient } from './watchdog/client.ts';

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
  readonly #watchdog: WatchdogClient;
  readonly #docker: DockerDriver | null;

  private constructor(options: {
    readonly all: readonly Driver[];
    readonly isolation: Isolation;
    readonly watchdog: WatchdogClient;
    readonly docker: DockerDriver | null;
  }) {
    this.all = options.all;
    this.isolation = options.isolation;
    this.#watchdog = options.watchdog;
    this.#docker = options.docker;
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
    const isolation = groups === null ? 'none' : (`cgroup${groups.version}` as const);
    const docker = wanted.includes('docker') ? await createDocker(options, isolation, watchdog) : null;
    const all = wanted.flatMap((name): readonly Driver[] => {
      if (name === 'process') return [new ProcessDriver(watchdog, config.policy.shared)];
      if (name === 'noop') return [new NoopDriver(clock)];
      return docker === null ? [] : [docker];
    });
    return new NodeDrivers({ all, isolation, watchdog, docker });
  }

  /** Those that can run something at present. */
  get available(): readonly DriverName[] {
    return this.all
      .filter((driver) => driver !== this.#docker || this.#docker.isAvailable)
      .map(({ name }) => name);
  }

  /** Whoever keeps the lease: also where nothing runs as a process. */
  get lease(): LeaseHolder {
    return this.#watchdog;
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
  isolation: Isolation,
  guard: AttemptGuard,
): Promise<DockerDriver | null> {
  const owner = { node: config.name, incarnation, dataDirectory: config.dataDir };
  try {
    if (isolation === 'none')
      throw new JarvisError('unavailable', 'containers need control groups that this node can use');
    return await DockerDriver.create({
      owner,
      policy: config.policy,
      guard,
      log: log.child({ driver: 'docker' }),
      onAvailability: onChange,
    });
  } catch (error) {
    if (config.drivers !== null) throw error;
    log.info({ reason: messageOf(error) }, 'this node offers no containers');
    return null;
  }
}
