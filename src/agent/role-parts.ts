/** What a node has and does in either role. */
import type { RoutingOperations } from '../operations/router.ts';
import { drainBeforeExit } from './exit-drain.ts';
import { CLOSE_GRACE_MS } from './listeners.ts';
import type { LogsCluster } from './logs/logs-cluster.ts';
import { NodeLogs } from './logs/node-logs.ts';
import type { NodeParts } from './node-parts.ts';
import type { Entered } from './node-role.ts';

export function nodeLogs(
  { config, clock, log }: NodeParts,
  { directory, cluster: { clusterId }, pool }: Entered,
  cluster: LogsCluster,
): NodeLogs {
  return new NodeLogs({
    dataDirectory: config.dataDir,
    clusterId,
    incarnation: directory.identity.incarnation,
    mayBeSilent: config.drivers?.includes('noop') === true,
    cluster,
    pool,
    clock,
    log,
  });
}

/** Its worker runs. Callers are let go of first of all, while everything that the requests under way need is there. */
export async function keepLogs(
  { closing }: NodeParts,
  { http, rpc }: Entered,
  logs: NodeLogs,
): Promise<void> {
  closing('logs', () => logs.close());
  await logs.start();
  closing('HTTP', () => http.close(CLOSE_GRACE_MS));
  closing('streams', () => rpc.endStreams());
}

/** See {@link drainBeforeExit}. */
export async function drainNode(
  { config, clock, log }: NodeParts,
  { directory }: Entered,
  operations: RoutingOperations,
  signal: AbortSignal,
): Promise<void> {
  const { name, drainDeadlineMs: deadlineMs } = config;
  await drainBeforeExit({ name, startId: directory.startId, deadlineMs, operations, clock, log }, signal);
}
