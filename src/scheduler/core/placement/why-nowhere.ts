/**
 * A task that no node of today could hold, were it empty, is accepted, for nodes may come; it says so until it is
 * placed (docs/contract.md, section 3).
 */
import { limits } from '../../../lib/limits.ts';
import type { ClusterRow } from '../../../model/cluster.ts';
import type { NodeRow } from '../../../model/node.ts';
import type { Resources } from '../../../model/task.ts';
import { firstBytes } from '../text.ts';
import type { Fitting, Misfit } from './fit.ts';
import { forbidden, kindOf, lacking, replicatedMemory, undriven, unwanted } from './fit.ts';

const NOTHING: Resources = { cpuMillis: 0, memoryBytes: 0 };

interface Excluded {
  count: number;
  nearest: Misfit | null;
}

/**
 * @param cluster whose members are to say it alike
 * @returns null where some node could hold the task
 */
export function whyNowhere(
  task: Omit<Fitting, 'batchId' | 'dagId'>,
  nodes: Iterable<NodeRow>,
  cluster: Pick<ClusterRow, 'version'> | null,
): string | null {
  const shown = replicatedMemory(cluster);
  const driver: Excluded = { count: 0, nearest: null };
  const policy: Excluded = { count: 0, nearest: null };
  const affinity: Excluded = { count: 0, nearest: null };
  const size: Excluded = { count: 0, nearest: null };
  for (const node of nodes) {
    const found =
      excludes(driver, undriven(task.needs, node)) ||
      excludes(policy, forbidden(task.needs, node)) ||
      excludes(affinity, unwanted(task, node)) ||
      excludes(size, lacking(task.resources, node, NOTHING, shown));
    if (!found) return null;
  }
  const all = driver.count + policy.count + affinity.count + size.count;
  if (all === 0) return 'no node is registered yet';
  const kind = kindOf(task.needs);
  if (driver.count === all) return `no node offers a driver for ${kind}`;
  if (policy.count === all) return shortened(`forbidden on every node; for instance ${reasonOf(policy)}`);
  if (affinity.count === all) return shortened(`no node has the labels; the nearest: ${reasonOf(affinity)}`);
  if (size.count === all) return `no node is large enough; the nearest: ${reasonOf(size)}`;
  const parts = [
    driver.count === 0 ? null : `${driver.count} without a driver for ${kind}`,
    policy.count === 0 ? null : `${policy.count} where it is forbidden (${reasonOf(policy)})`,
    affinity.count === 0 ? null : `${affinity.count} without the labels (${reasonOf(affinity)})`,
    size.count === 0 ? null : `${size.count} too small (${reasonOf(size)})`,
  ];
  return shortened(`no node can hold it: ${parts.filter((part) => part !== null).join('; ')}`);
}

function excludes(excluded: Excluded, misfit: Misfit | null): boolean {
  if (misfit === null) return false;
  excluded.count += 1;
  if (excluded.nearest === null || isNearer(misfit, excluded.nearest)) excluded.nearest = misfit;
  return true;
}

/** Of equals always the same one: the text is replicated, and replicas hold the nodes in different orders. */
function isNearer(one: Misfit, other: Misfit): boolean {
  return one.distance === other.distance ? one.reason < other.reason : one.distance < other.distance;
}

function reasonOf({ nearest }: Excluded): string {
  return nearest?.reason ?? '';
}

function shortened(reason: string): string {
  return firstBytes(reason, limits.errorMessageBytes);
}
