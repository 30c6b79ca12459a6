/**
 * What nodes are like that could be added, as far as that is known before there is one: work that none of them and no node that there
 * is could hold is not scaled for. Pure.
 */
import { unreachable } from '../../lib/assert.ts';
import type { Autoscaling, ScalingCapacity } from '../../model/autoscaling.ts';
import { statedCapacityOf } from '../../model/earlier-rows.ts';
import type { NodeRow } from '../../model/node.ts';
import type { Resources } from '../../model/task.ts';
import type { StateView } from '../../scheduler/core/state-view.ts';

const DOCKER = 'docker';

/** @returns rows without a name; none where nothing is known but what the nodes show that there are */
export function newNodes(
  { nodes, instances }: Pick<StateView, 'instances' | 'nodes'>,
  settings: Autoscaling,
): readonly NodeRow[] {
  const { provider } = settings;
  const stated = statedCapacityOf(settings, provider);
  const working = [...nodes.values()].filter(({ status }) => status === 'AVAILABLE');
  const [like] = working;
  if (like === undefined || (stated.cpuMillis === null && stated.memoryBytes === null)) return [];
  switch (provider) {
    case 'process': {
      // Each is like the node that makes it, which is none of those that were made.
      const made = new Set([...instances.values()].map(({ node }) => node));
      return working
        .filter(({ name }) => !made.has(name))
        .map((host) => ({ ...host, name: '', capacity: filledIn(stated, host.capacity) }));
    }
    case 'docker': {
      // Nodes that are containers themselves offer no others [NODOCKER].
      const drivers = like.drivers.filter((driver) => driver !== DOCKER);
      return [{ ...like, name: '', labels: [], drivers, capacity: filledIn(stated, largest(working)) }];
    }
    case 'aws':
    case 'command': {
      const drivers = [...new Set(working.flatMap((node) => node.drivers))];
      return [{ ...like, name: '', labels: [], drivers, capacity: filledIn(stated, largest(working)) }];
    }
    default:
      return unreachable(provider);
  }
}

function filledIn({ cpuMillis, memoryBytes }: ScalingCapacity, otherwise: Resources): Resources {
  return {
    cpuMillis: cpuMillis ?? otherwise.cpuMillis,
    memoryBytes: memoryBytes ?? otherwise.memoryBytes,
  };
}

/** Of what is not said the most that any has. */
function largest(nodes: readonly NodeRow[]): Resources {
  return {
    cpuMillis: Math.max(...nodes.map(({ capacity }) => capacity.cpuMillis)),
    memoryBytes: Math.max(...nodes.map(({ capacity }) => capacity.memoryBytes)),
  };
}
