/** Other nodes as the operations use them: what a caller asked of this node is sent on, marked as such. */
import { ClusterService } from '../generated/cluster.ts';
import { NodeLogsService } from '../generated/worker.ts';
import { limits } from '../lib/limits.ts';
import type { Remotes } from '../operations/node-port.ts';
import type { CallContext, RemoteOperations } from '../operations/port.ts';
import type { ChannelPool } from './channel.ts';
import type { Method } from './client.ts';
import { streamCall, unaryCall } from './client.ts';
import { forwarded } from './forwarded.ts';
import { SubmitStreams } from './submit-streams.ts';

/** Closed before its pool: it holds streams open. */
export function createRemotes(pool: ChannelPool): Remotes & { readonly close: () => void } {
  const submits = new SubmitStreams(pool);
  return {
    operations: (address) => remoteOperations({ pool, submits }, address),
    close: () => submits.close(),
    nodeUsage: (address, request, context) =>
      unaryTo(pool, address)(ClusterService.getNodeUsage, false)(request, context),
    logLevel: (address) => {
      const unary = unaryTo(pool, address);
      return { get: unary(ClusterService.getLogLevel, false), set: unary(ClusterService.setLogLevel, true) };
    },
    readLog: (address, request, context) =>
      streamCall({
        pool,
        address,
        method: NodeLogsService.read,
        request,
        metadata: forwarded(context),
        signal: context.signal,
      }),
  };
}

/** Calls of that node with one answer each. */
function unaryTo(pool: ChannelPool, address: string) {
  return <Request, Response>(method: Method<Request, Response>, write: boolean) =>
    (request: Request, context: CallContext): Promise<Response> =>
      unaryCall({
        pool,
        address,
        method,
        request,
        metadata: forwarded(context),
        signal: context.signal,
        timeoutMs: timeoutOf(context),
        write,
      });
}

function remoteOperations(
  { pool, submits }: { readonly pool: ChannelPool; readonly submits: SubmitStreams },
  address: string,
): RemoteOperations {
  const unary = unaryTo(pool, address);
  const listNodes = unary(ClusterService.listNodes, false);
  const listTokens = unary(ClusterService.listTokens, false);
  const getConfig = unary(ClusterService.getConfig, false);
  const listJoinTokens = unary(ClusterService.listJoinTokens, false);
  return {
    submitTasks: unary(ClusterService.submitTasks, true),
    acceptTasks: (request, context) => submits.accept(address, request, context),
    cancelTask: unary(ClusterService.cancelTask, true),
    retryTask: unary(ClusterService.retryTask, true),
    updateTask: unary(ClusterService.updateTask, true),
    getTask: unary(ClusterService.getTask, false),
    explainTask: unary(ClusterService.explainTask, false),
    planTasks: unary(ClusterService.planTasks, false),
    listTasks: unary(ClusterService.listTasks, false),
    getNode: unary(ClusterService.getNode, false),
    listNodes: (context) => listNodes({}, context),
    cordonNode: unary(ClusterService.cordonNode, true),
    drainNode: unary(ClusterService.drainNode, true),
    undrainNode: unary(ClusterService.undrainNode, true),
    labelNode: unary(ClusterService.labelNode, true),
    removeNode: unary(ClusterService.removeNode, true),
    getCluster: unary(ClusterService.getCluster, false),
    changeMember: unary(ClusterService.changeMember, true),
    transferLeadership: unary(ClusterService.transferLeadership, true),
    getConfig: (context) => getConfig({}, context),
    setConfig: unary(ClusterService.setConfig, true),
    createJoinToken: unary(ClusterService.createJoinToken, true),
    listJoinTokens: (context) => listJoinTokens({}, context),
    getJoinToken: unary(ClusterService.getJoinToken, false),
    deleteJoinToken: unary(ClusterService.deleteJoinToken, true),
    listAlerts: unary(ClusterService.listAlerts, false),
    testAlert: unary(ClusterService.testAlert, true),
    getAutoscaler: unary(ClusterService.getAutoscaler, false),
    listScalingDecisions: unary(ClusterService.listScalingDecisions, false),
    submitBatch: unary(ClusterService.submitBatch, true),
    getBatch: unary(ClusterService.getBatch, false),
    listBatches: unary(ClusterService.listBatches, false),
    cancelBatch: unary(ClusterService.cancelBatch, true),
    retryBatch: unary(ClusterService.retryBatch, true),
    submitDag: unary(ClusterService.submitDag, true),
    getDag: unary(ClusterService.getDag, false),
    listDags: unary(ClusterService.listDags, false),
    cancelDag: unary(ClusterService.cancelDag, true),
    retryDag: unary(ClusterService.retryDag, true),
    saveSnapshot: (context) =>
      streamCall({
        pool,
        address,
        method: ClusterService.saveSnapshot,
        request: {},
        metadata: forwarded(context),
        signal: context.signal,
      }),
    watchTask: (request, context) =>
      streamCall({
        pool,
        address,
        method: ClusterService.watchTask,
        request,
        metadata: forwarded(context),
        signal: context.signal,
      }),
    createToken: unary(ClusterService.createToken, true),
    listTokens: (context) => listTokens({}, context),
    revokeToken: unary(ClusterService.revokeToken, true),
  };
}

/** Never longer than its caller waits. */
function timeoutOf({ deadlineMs = Infinity }: CallContext): number {
  return Math.min(limits.forwardTimeoutMs, Math.max(0, deadlineMs - Date.now()));
}
