/** What control groups leave of the machine to a node, and what of them is its own. */
import { availableParallelism, cpus, totalmem } from 'node:os';

import { allowedCpus, Confinement, type Bounds } from './cgroups/confinement.ts';
import { cgroupPrefixesOf } from './drivers/docker/naming.ts';
import type { ContainerOwner } from './drivers/docker/options.ts';
import { groupPrefixOf } from './watchdog/cgroup-containment.ts';

export function nodeConfinement(owner: ContainerOwner): Confinement {
  const prefixes = [groupPrefixOf(owner.dataDirectory), ...cgroupPrefixesOf(owner)];
  return new Confinement({ prefixes, machine: machine() });
}

/** Of any node that is started here. */
export function boundsHere(): Bounds {
  return new Confinement({ prefixes: [], machine: machine() }).bounds();
}

/** All that there is where no group confines; Node counts a quota as missing processors. */
function machine(): { readonly cpuMillis: number; readonly memoryBytes: number } {
  const all = cpus().length || availableParallelism();
  return { cpuMillis: allowedCpus(all) * 1000, memoryBytes: totalmem() };
}
