/**
 * Which T and L hold at present, as the replicated state says (docs/leases.md). A shorter L counts from the entry that
 * shortens it, a shorter T only once whatever was granted before is over [SHORTWAIT]; so T is never shorter than what
 * the longest lease that may be held somewhere calls for, whoever leads [SHORTNEW].
 */
import type { ClusterConfig, ClusterRow } from './cluster.ts';
import { graceOf, settlingOf } from './earlier-rows.ts';
import { leaseMsOf } from './lease.ts';
import type { NodeRow } from './node.ts';

type Heartbeat = ClusterConfig['heartbeat'];

/** T of a node: so long it may be silent. */
export function timeoutMsOf(cluster: ClusterRow, node: NodeRow): number {
  return Math.max(clusterTimeoutMs(cluster), graceOf(node)?.timeoutMs ?? 0);
}

/** T of nodes without a longer one of their own. */
export function clusterTimeoutMs(cluster: ClusterRow): number {
  return Math.max(cluster.config.heartbeat.timeoutMs, settlingOf(cluster)?.timeoutMs ?? 0);
}

/** L: how long an answer to a heartbeat lets the node run tasks. Only of applied state [EXTCOMMIT]. */
export function grantedMs(cluster: ClusterRow, node: NodeRow): number {
  const { timeoutMs } = cluster.config.heartbeat;
  return leaseMsOf(isRestarting(node) ? Math.max(timeoutMs, graceOf(node)?.timeoutMs ?? 0) : timeoutMs);
}

/** Its daemon has said, in the session that stands, that it stops and will be started again. */
export function isRestarting(node: NodeRow): boolean {
  return node.sessionOpen && graceOf(node)?.session === node.session;
}

/** The longest that anything granted so far may last, on a leader's clock. */
export function longestTimeoutMs(cluster: ClusterRow, nodes: Iterable<NodeRow>): number {
  let longestMs = clusterTimeoutMs(cluster);
  for (const node of nodes) longestMs = Math.max(longestMs, timeoutMsOf(cluster, node));
  return longestMs;
}

const LEAST_INTERVAL_MS = 100;
/** A day: longer than that nobody waits for a node, and sums of such times stay far below what a number holds. */
const MOST_TIMEOUT_MS = 24 * 3_600_000;

/** What is wrong with such settings, for people; null where they are allowed. */
export function heartbeatFault({ intervalMs, warningMs, timeoutMs }: Heartbeat): string | null {
  const isAllowed =
    intervalMs >= LEAST_INTERVAL_MS &&
    intervalMs * 2 <= warningMs &&
    warningMs < timeoutMs &&
    timeoutMs <= MOST_TIMEOUT_MS;
  if (isAllowed) return null;
  return (
    `interval ${intervalMs} ms, warning ${warningMs} ms, timeout ${timeoutMs} ms; allowed: an interval of at least ` +
    `${LEAST_INTERVAL_MS}ms, a warning of at least two intervals, a timeout above the warning and of a day at most`
  );
}
