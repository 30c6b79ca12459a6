/** The docker driver as tests make it, on the engine of a bed. */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { attemptSpec } from '../../src/agent/drivers/driver-contract.test-kit.ts';
import type {
  AttemptContainer,
  AttemptKey,
  AttemptSpec,
  AttemptView,
  Exit,
} from '../../src/agent/drivers/driver.ts';
import type { AttemptGuard } from '../../src/agent/drivers/docker/attempt-guard.ts';
import { DockerDriver } from '../../src/agent/drivers/docker/docker-driver.ts';
import { containerNameOf } from '../../src/agent/drivers/docker/naming.ts';
import type { ContainerOwner, DockerPolicy } from '../../src/agent/drivers/docker/options.ts';
import { DEFAULT_IMAGE_LIMITS } from '../../src/agent/drivers/docker/options.ts';
import { readLog } from '../../src/agent/watchdog/attempt-log.ts';
import { DEFAULT_LOG_LIMITS } from '../../src/agent/watchdog/limits.ts';
import { attemptDirectory } from '../../src/agent/watchdog/paths.ts';
import { silentLog } from '../../src/lib/log.ts';
import { DEFAULT_POLICY } from '../../src/model/policy.ts';
import { cgroupFolders, findCgroupsBeginning } from './docker-bed/cgroups.ts';
import { IMAGES } from './docker-bed/docker-bed.ts';
import type { DockerBed } from './docker-bed/docker-bed.ts';
import { waitFor } from './wait.ts';

const SESSION = 5;
export const never = new AbortController().signal;

export interface TestDriver {
  readonly driver: DockerDriver;
  readonly owner: ContainerOwner;
}

export interface TestDriverOptions {
  readonly policy?: Partial<DockerPolicy>;
  /** Absent: a new one. */
  readonly incarnation?: string;
  readonly onAvailability?: (isAvailable: boolean) => void;
  readonly guard?: AttemptGuard;
  /** Absent: the bed's own. */
  readonly dockerHost?: string;
}

export interface RestartOptions {
  readonly session?: number;
  readonly dockerHost?: string;
}

/** As where no lease ever runs out. */
const unguarded: AttemptGuard = {
  guard: async () => {},
  isGuardOver: async () => false,
  release: async () => {},
};

export async function createTestDriver(
  bed: DockerBed,
  dataDirectory: string,
  options: TestDriverOptions = {},
): Promise<TestDriver> {
  process.env['DOCKER_HOST'] = options.dockerHost ?? bed.dockerHost;
  const owner = { node: 'n1', incarnation: options.incarnation ?? randomUUID(), dataDirectory };
  const driver = await DockerDriver.create({
    owner,
    policy: {
      shared: DEFAULT_POLICY,
      capabilities: [],
      devices: [],
      credentialFiles: new Map(),
      logLimits: DEFAULT_LOG_LIMITS,
      imageLimits: DEFAULT_IMAGE_LIMITS,
      ...options.policy,
    },
    guard: options.guard ?? unguarded,
    log: silentLog,
    onAvailability: options.onAvailability ?? (() => undefined),
  });
  return { driver, owner };
}

/** Containers and control groups of that node's that are there. */
export async function tracesOfOwner(
  bed: DockerBed,
  { incarnation }: ContainerOwner,
): Promise<readonly string[]> {
  const containers = (await bed.engine.api.list())
    .filter(({ Labels }) => Labels['io.jarvis.incarnation'] === incarnation)
    .map(({ Names, State }) => `container ${Names.join(' ')} (${State})`);
  const groups = findCgroupsBeginning(`jarvis-${incarnation.slice(0, 8)}-`).flatMap(cgroupFolders);
  return [...containers, ...groups];
}

/** A driver with a data directory of its own, and what tests ask of it; `dispose` checks that nothing is left. */
export class DriverBench {
  readonly directory: string;
  readonly #bed: DockerBed;
  readonly #options: TestDriverOptions;
  #current: TestDriver;
  #tasks = 0;

  private constructor(bed: DockerBed, directory: string, options: TestDriverOptions, current: TestDriver) {
    this.#bed = bed;
    this.directory = directory;
    this.#options = options;
    this.#current = current;
  }

  static async open(bed: DockerBed, options: TestDriverOptions = {}): Promise<DriverBench> {
    const directory = mkdtempSync(path.join(tmpdir(), 'jarvis-docker-'));
    const current = await createTestDriver(bed, directory, options);
    await current.driver.open(SESSION, never);
    return new DriverBench(bed, directory, options, current);
  }

  get driver(): DockerDriver {
    return this.#current.driver;
  }

  get owner(): ContainerOwner {
    return this.#current.owner;
  }

  /** As a new start of the daemon: in a higher session. */
  async restart({ session = SESSION + 1, dockerHost }: RestartOptions = {}): Promise<void> {
    const { driver, owner } = this.#current;
    await driver.close();
    this.#current = await createTestDriver(this.#bed, this.directory, {
      ...this.#options,
      incarnation: owner.incarnation,
      ...(dockerHost === undefined ? {} : { dockerHost }),
    });
    await this.driver.open(session, never);
  }

  /** Of a task of its own; the image is `hello` of the open registry. */
  spec(
    command: readonly string[],
    changes: Partial<Omit<AttemptSpec, 'container'>> & {
      readonly container?: Partial<AttemptContainer>;
    } = {},
  ): AttemptSpec {
    this.#tasks += 1;
    const { container, ...others } = changes;
    const image = this.#bed.openRegistry.reference(IMAGES.hello);
    return attemptSpec({
      taskId: `task-${this.#tasks}`,
      session: SESSION,
      command,
      env: {},
      ...others,
      container: {
        image,
        user: null,
        mounts: [],
        network: 'none',
        pullPolicy: 'if_not_present',
        labels: {},
        ...container,
      },
    });
  }

  /** From its start to its end. */
  async run(spec: AttemptSpec): Promise<Exit> {
    await this.driver.start(spec, never);
    return this.driver.wait(spec, never);
  }

  /** What it wrote, in order. */
  async output(key: AttemptKey): Promise<string> {
    const chunks: Buffer[] = [];
    for await (const { data } of readLog(attemptDirectory(this.directory, key))) chunks.push(data);
    return Buffer.concat(chunks).toString();
  }

  container(key: AttemptKey): string {
    return containerNameOf(this.owner, key);
  }

  async view(key: AttemptKey): Promise<AttemptView | null> {
    const views = await this.driver.list(never);
    return (
      views.find(({ taskId, assignment }) => taskId === key.taskId && assignment === key.assignment) ?? null
    );
  }

  /** @throws Error naming what is left at the engine or in the control groups */
  async dispose(): Promise<void> {
    await this.#bed.engine.heal();
    await this.driver.killAll(AbortSignal.timeout(60_000));
    await waitFor('nothing to be left', async () => {
      const traces = await tracesOfOwner(this.#bed, this.owner);
      if (traces.length > 0) throw new Error(traces.join(', '));
      return true;
    });
    await this.driver.close();
    rmSync(this.directory, { recursive: true });
  }
}
