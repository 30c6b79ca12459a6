/** Other nodes as the operations use them: what a caller asked of this node is sent on, marked as such. */
import type * as grpc from '@grpc/grpc-js';

import { CallersService } from '../generated/callers.ts';
import { ClusterService } from '../generated/cluster.ts';
import { NodeLogsService } from '../generated/worker.ts';
import { limits } from '../lib/limits.ts';
import type { Remotes } from '../operations/node-port.ts';
import type { CallContext, RemoteOperations } from '../operations/port.ts';
import type { ChannelPool } from './channel.ts';
import type { Method } from './client.ts';
import { streamCall, unaryCall } from './client.ts';
import { forwarded } from './forwarded.ts';
import { freshnessOf } from './freshness.ts';
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
    readLog: streamOf(pool, NodeLogsService.read),
    events: streamOf(pool, ClusterService.watchEvents),
    ...identifying(pool),
  };
}

/** Needs no more than that, and nothing of it is left open. */
export function identifying(pool: ChannelPool): Pick<Remotes, 'identify'> {
  return { identify: streamOf(pool, CallersService.identify) };
}

/** Calls of one node with many answers each. */
function streamOf<Request, Response>(pool: ChannelPool, method: Method<Request, Response>) {
  return (address: string, request: Request, context: CallContext): AsyncGenerator<Response, void> =>
    streamCall({ pool, address, method, request, metadata: forwarded(context), signal: context.signal });
}

/** What may be stale is marked so: that node is to answer, and not to look for the leader. */
function readsOf(unary: ReturnType<typeof unaryTo>) {
  return <Request extends { readonly consistency?: string | undefined }, Response>(
    method: Method<Request, Response>,
  ) => {
    const call = unary(method, false);
    return (request: Request, context: CallContext): Promise<Response> => {
      if (context.isStale !== true) return call(request, context);
      const onMetadata = (metadata: grpc.Metadata): void => {
        const freshness = freshnessOf(metadata);
        if (freshness !== null) context.onFreshness?.(freshness);
      };
      return call({ ...request, consistency: 'stale' }, context, onMetadata);
    };
  };
}

/** Calls of that node with one answer each. */
function unaryTo(pool: ChannelPool, address: string) {
  return <Request, Response>(method: Method<Request, Response>, write: boolean) =>
    (
      request: Request,
      context: CallContext,
      onMetadata?: (metadata: grpc.Metadata) => void,
    ): Promise<Response> =>
      unaryCall({
        pool,
        address,
        method,
        request,
        metadata: forwarded(context),
        signal: context.signal,
        timeoutMs: timeoutOf(context),
        write,
        ...(onMetadata === undefined ? {} : { onMetadata }),
      });
}

function remoteOperations(
  { pool, submits }: { readonly pool: ChannelPool; readonly submits: SubmitStreams },
  address: string,
): RemoteOperations {
  const unary = unaryTo(pool, address);
  const read = readsOf(unary);
  const listNodes = read(ClusterService.listNodes);
  const listTokens = read(ClusterService.listTokens);
  const getConfig = read(ClusterService.getConfig);
  const saveSnapshot = streamOf(pool, ClusterService.saveSnapshot);
  const watchTask = streamOf(pool, ClusterService.watchTask);
  const listJoinTokens = read(ClusterService.listJoinTokens);
  return {
    submitTasks: unary(ClusterService.submitTasks, true),
    acceptTasks: (request, context) => submits.accept(address, request, context),
    cancelTask: unary(ClusterService.cancelTask, true),
    retryTask: unary(ClusterService.retryTask, true),
    updateTask: unary(ClusterService.updateTask, true),
    getTask: read(ClusterService.getTask),
    explainTask: read(ClusterService.explainTask),
    planTasks: unary(ClusterService.planTasks, false),
    listTasks: read(ClusterService.listTasks),
    getNode: read(ClusterService.getNode),
    listNodes: (context) => listNodes({}, context),
    cordonNode: unary(ClusterService.cordonNode, true),
    drainNode: unary(ClusterService.drainNode, true),
    undrainNode: unary(ClusterService.undrainNode, true),
    labelNode: unary(ClusterService.labelNode, true),
    removeNode: unary(ClusterService.removeNode, true),
    getCluster: read(ClusterService.getCluster),
    changeMember: unary(ClusterService.changeMember, true),
    transferLeadership: unary(ClusterService.transferLeadership, true),
    getConfig: (context) => getConfig({}, context),
    setConfig: unary(ClusterService.setConfig, true),
    createJoinToken: unary(ClusterService.createJoinToken, true),
    listJoinTokens: (context) => listJoinTokens({}, context),
    getJoinToken: read(ClusterService.getJoinToken),
    deleteJoinToken: unary(ClusterService.deleteJoinToken, true),
    listAlerts: read(ClusterService.listAlerts),
    testAlert: unary(ClusterService.testAlert, true),
    getAutoscaler: read(ClusterService.getAutoscaler),
    listScalingDecisions: read(ClusterService.listScalingDecisions),
    submitBatch: unary(ClusterService.submitBatch, true),
    getBatch: read(ClusterService.getBatch),
    listBatches: read(ClusterService.listBatches),
    cancelBatch: unary(ClusterService.cancelBatch, true),
    retryBatch: unary(ClusterService.retryBatch, true),
    submitDag: unary(ClusterService.submitDag, true),
    getDag: read(ClusterService.getDag),
    listDags: read(ClusterService.listDags),
    cancelDag: unary(ClusterService.cancelDag, true),
    retryDag: unary(ClusterService.retryDag, true),
    saveSnapshot: (context) => saveSnapshot(address, {}, context),
    watchTask: (request, context) => watchTask(address, request, context),
    createToken: unary(ClusterService.createToken, true),
    listTokens: (context) => listTokens({}, context),
    revokeToken: unary(ClusterService.revokeToken, true),
  };
}

/** Never longer than its caller waits. */
function timeoutOf({ deadlineMs = Infinity }: CallContext): number {
  return Math.min(limits.forwardTimeoutMs, Math.max(0, deadlineMs - Date.now()));
}
