/** The one fit function: the planner and apply both ask it, so that they cannot disagree (nomad#9506). */
import type { NodeRow } from '../../../model/node.ts';
import type { Resources } from '../../../model/task.ts';

/** Whether a node takes new work at all. @returns why not, or null */
export function takesWork(node: NodeRow): string | null {
  if (node.status !== 'AVAILABLE') return `node ${node.name} is ${node.status}`;
  if (!node.schedulable) return `node ${node.name} is cordoned`;
  if (!node.sessionOpen || !node.reconciled) return `node ${node.name} is registering`;
  return null;
}

/** @param allocated what is set aside there already @returns why the request does not fit the node, or null */
export function fits(request: Resources, node: NodeRow, allocated: Resources): string | null {
  const closed = takesWork(node);
  if (closed !== null) return closed;
  const cpuLeft = node.capacity.cpuMillis - allocated.cpuMillis;
  if (request.cpuMillis > cpuLeft) return `node ${node.name} lacks ${request.cpuMillis - cpuLeft}m cpu`;
  const memoryLeft = node.capacity.memoryBytes - allocated.memoryBytes;
  if (request.memoryBytes > memoryLeft) {
    return `node ${node.name} lacks ${request.memoryBytes - memoryLeft} bytes of memory`;
  }
  return null;
}
