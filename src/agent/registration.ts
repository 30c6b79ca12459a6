/** What a node tells the cluster about itself at each registration. */
import { readFileSync } from 'node:fs';

import type { Policy, Register } from '../generated/worker.ts';
import type { NodePolicy } from '../model/policy.ts';
import type { DataDirectory } from '../raft/data-directory.ts';
import type { Bounds } from './cgroups/confinement.ts';
import type { NodeConfig } from './config.ts';
import type { NodeDrivers } from './node-drivers.ts';
import { measuredCapacity, nodeCapacity } from './worker/capacity.ts';

export function registrationOf(options: {
  readonly config: NodeConfig;
  readonly directory: DataDirectory;
  readonly version: string;
  readonly drivers: Pick<NodeDrivers, 'available' | 'isolation'>;
  readonly bounds: Bounds;
}): Register {
  const { config, directory, version, drivers, bounds } = options;
  const { capacity: stated, reserve } = config;
  const capacity = nodeCapacity({ stated, reserve, measured: measuredCapacity(bounds) });
  return {
    name: config.name,
    incarnation: directory.identity.incarnation,
    // A directory that was moved must not speak for the machine that it was on [MACHINE].
    machine_id: directory.machineId,
    boot_id: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    start_id: directory.startId,
    start_counter: directory.startCounter,
    cluster_id: directory.identity.cluster?.clusterId ?? '',
    version,
    address: config.advertise,
    http: config.http,
    labels: Object.fromEntries(config.labels),
    drivers: [...drivers.available],
    isolation: drivers.isolation,
    capacity: { cpu_millis: capacity.cpuMillis, memory_bytes: capacity.memoryBytes },
    policy: policyToWire(config.policy.shared),
  };
}

function policyToWire({ mounts, hostNetwork, users, registries }: NodePolicy): Policy {
  return {
    mounts: mounts.map(({ source, readOnly }) => ({ source, read_only: readOnly })),
    host_network: hostNetwork,
    users: users === null ? undefined : { names: [...users] },
    registries: registries === null ? undefined : { names: [...registries] },
  };
}
