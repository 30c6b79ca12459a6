/** How many nodes there are as the autoscaler counts them: one rule for whoever decides, and for `apply`. */
import type { NodeRow } from '../../model/node.ts';
import type { InstanceRow } from '../../model/scaling.ts';

export interface ScalingSize {
  /** That work, or will once they are heard of again: what is being drained or is OFFLINE is none. */
  readonly active: number;
  /** Asked for, and not at work yet. */
  readonly joining: number;
  /** That were asked for, and are on their way out. */
  readonly leaving: number;
}

interface ScalingRows {
  readonly nodes: ReadonlyMap<string, NodeRow>;
  readonly instances: ReadonlyMap<string, InstanceRow>;
}

export function scalingSizeOf({ nodes, instances }: ScalingRows): ScalingSize {
  let active = 0;
  for (const node of nodes.values()) active += Number(isActive(node));
  let [joining, leaving] = [0, 0];
  for (const { phase, node } of instances.values()) {
    if (phase === 'DRAINING' || phase === 'LEAVING' || phase === 'TERMINATING') leaving += 1;
    const isComing = phase === 'REQUESTED' || phase === 'CREATED';
    if (isComing && !isActive(nodes.get(node))) joining += 1;
  }
  return { active, joining, leaving };
}

function isActive(node: NodeRow | undefined): boolean {
  return node?.status === 'AVAILABLE' || node?.status === 'UNHEALTHY';
}
