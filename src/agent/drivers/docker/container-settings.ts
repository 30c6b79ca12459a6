/**
 * What the engine is asked to create for an attempt. Pure: the same attempt and policy give the same settings. Whatever
 * the policy does not give is taken away: capabilities, new privileges, the namespaces and paths of the host.
 */
import type { Mount } from '../../../model/task.ts';
import type { AttemptSpec } from '../driver.ts';
import type { ContainerSettings } from './engine.ts';
import { DOCKER_LIMITS } from './limits.ts';
import { containerNameOf, labelsOf } from './naming.ts';
import type { ContainerOwner, DockerPolicy } from './options.ts';

/** Where a container finds what is its own of the attempt's directory; no mount of a task may cover it. */
const EXCHANGE_TARGET = '/run/jarvis';
export const ERROR_FILE = 'error.json';
export const RESULT_FILE = 'result.json';

/** Weight of one core, as control groups count it. */
/** A tenth of what a group has by default, such as that of the daemon, for each core that is set aside. */
const SHARES_PER_CORE = 102;
const LEAST_SHARES = 2;
const CPU_PERIOD_US = 100_000;

export interface SettingsOptions {
  readonly spec: AttemptSpec;
  readonly owner: ContainerOwner;
  readonly policy: DockerPolicy;
  /** By its id, so that what runs is what was looked at. */
  readonly imageId: string;
  readonly cgroupParent: string;
  /** Of the node; {@link EXCHANGE_TARGET} in the container. */
  readonly exchangeDirectory: string;
  /** Their sources without links. */
  readonly mounts: readonly Mount[];
}

export function containerSettings(options: SettingsOptions): ContainerSettings {
  const { spec, owner, imageId } = options;
  return {
    name: containerNameOf(owner, spec),
    Image: imageId,
    Env: environmentOf(spec),
    Labels: labelsOf(owner, spec),
    ...(spec.command.length > 0 ? { Cmd: [...spec.command] } : {}),
    ...(spec.workingDir === null ? {} : { WorkingDir: spec.workingDir }),
    ...(typeof spec.container?.user === 'string' ? { User: spec.container.user } : {}),
    // A task has no terminal and no input; a health check of the image's would be work nobody asked for.
    Tty: false,
    OpenStdin: false,
    Healthcheck: { Test: ['NONE'] },
    HostConfig: hostConfig(options),
  };
}

/** What `env` must not change comes last. */
function environmentOf(spec: AttemptSpec): string[] {
  const own = {
    JARVIS_TASK_ID: spec.taskId,
    JARVIS_ATTEMPT: String(spec.attempt),
    JARVIS_FENCING_TOKEN: spec.fencingToken,
    JARVIS_ERROR_FILE: `${EXCHANGE_TARGET}/${ERROR_FILE}`,
    JARVIS_RESULT_FILE: `${EXCHANGE_TARGET}/${RESULT_FILE}`,
  };
  return Object.entries({ ...spec.env, ...own }).map(([name, value]) => `${name}=${value}`);
}

function hostConfig(options: SettingsOptions): NonNullable<ContainerSettings['HostConfig']> {
  const { spec, policy, exchangeDirectory, mounts } = options;
  const exchange: Mount = { source: exchangeDirectory, target: EXCHANGE_TARGET, readOnly: false };
  return {
    NetworkMode: spec.container?.network ?? 'bridge',
    CgroupParent: options.cgroupParent,
    ...resourceSettings(spec),
    Privileged: false,
    CapDrop: ['ALL'],
    CapAdd: [...policy.capabilities],
    SecurityOpt: ['no-new-privileges'],
    IpcMode: 'private',
    Devices: policy.devices.map((device) => ({
      PathOnHost: device,
      PathInContainer: device,
      CgroupPermissions: 'rwm',
    })),
    Mounts: [exchange, ...mounts].map(({ source, target, readOnly }) => ({
      Type: 'bind',
      Source: source,
      Target: target,
      ReadOnly: readOnly,
      BindOptions: { Propagation: 'rprivate' },
    })),
    // The engine's usual driver, json-file, does not keep bytes that are no UTF-8.
    LogConfig: {
      Type: 'local',
      Config: {
        compress: 'false',
        'max-size': String(DOCKER_LIMITS.engineLogFileBytes),
        'max-file': String(DOCKER_LIMITS.engineLogFiles),
      },
    },
    // Whether it runs again is for the cluster to say.
    RestartPolicy: { Name: 'no' },
    AutoRemove: false,
  };
}

function resourceSettings({ resources, limits }: AttemptSpec): NonNullable<ContainerSettings['HostConfig']> {
  const { cpuMillis, memoryBytes, pids } = limits;
  return {
    CpuShares: Math.max(LEAST_SHARES, Math.round((resources.cpuMillis * SHARES_PER_CORE) / 1000)),
    MemoryReservation: Math.min(resources.memoryBytes, memoryBytes ?? resources.memoryBytes),
    ...(cpuMillis === null
      ? {}
      : { CpuPeriod: CPU_PERIOD_US, CpuQuota: Math.round((cpuMillis * CPU_PERIOD_US) / 1000) }),
    // Without swap: a limit that swap extends is none.
    ...(memoryBytes === null ? {} : { Memory: memoryBytes, MemorySwap: memoryBytes }),
    ...(pids === null ? {} : { PidsLimit: pids }),
  };
}
