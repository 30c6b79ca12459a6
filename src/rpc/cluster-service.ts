/** The services for clients and for other nodes' clients: parse, call, map errors. */
import type { ClusterServer, Refusal } from '../generated/cluster.ts';
import { ClusterService } from '../generated/cluster.ts';
import type { NodeLogsServer } from '../generated/worker.ts';
import { NodeLogsService } from '../generated/worker.ts';
import { JarvisError, messageOf } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { Log } from '../lib/log.ts';
import type { Guard } from '../operations/guard.ts';
import type { LocalLogs } from '../operations/node-port.ts';
import type { ClusterOperations } from '../operations/port.ts';
import { streamHandler, unaryHandler } from './handlers.ts';
import { pipelinedHandler } from './pipelined.ts';
import type { Service } from './server.ts';
import { readHandler, refuseStale } from './stale-reads.ts';

/** @param guard absent: whoever calls is let in */
export function clusterService(
  operations: ClusterOperations,
  log: Log,
  guard: Pick<Guard, 'admit'> | null = null,
): Service {
  const read = { log, freshness: () => operations.freshness() };
  const handlers: ClusterServer = {
    submitTasks: unaryHandler((request, context) => operations.submitTasks(request, context), log),
    streamSubmits: pipelinedHandler(
      {
        answer: async (request, context) => {
          const { taskIds } = await operations.acceptTasks(request, context);
          return { task_ids: [...taskIds] };
        },
        refuse: (error) => ({ task_ids: [], refusal: refusalOf(error) }),
        admit: guard === null ? undefined : (context) => guard.admit('acceptTasks', null, context),
        window: limits.submitsPerStream,
      },
      log,
    ),
    getTask: readHandler((request, context) => operations.getTask(request, context), read),
    explainTask: readHandler((request, context) => operations.explainTask(request, context), read),
    planTasks: unaryHandler((request, context) => operations.planTasks(request, context), log),
    listTasks: readHandler((request, context) => operations.listTasks(request, context), read),
    cancelTask: unaryHandler((request, context) => operations.cancelTask(request, context), log),
    retryTask: unaryHandler((request, context) => operations.retryTask(request, context), log),
    updateTask: unaryHandler((request, context) => operations.updateTask(request, context), log),
    watchTask: streamHandler((request, context) => {
      refuseStale(request);
      return operations.watchTask(request, context);
    }, log),
    readLogs: streamHandler((request, context) => operations.readLogs(request, context), log),
    watchEvents: streamHandler((request, context) => operations.watchEvents(request, context), log),
    listNodes: readHandler((_request, context) => operations.listNodes(context), read),
    getNode: readHandler((request, context) => operations.getNode(request, context), read),
    getLogLevel: unaryHandler((request, context) => operations.getLogLevel(request, context), log),
    setLogLevel: unaryHandler((request, context) => operations.setLogLevel(request, context), log),
    getNodeUsage: unaryHandler((request, context) => operations.getNodeUsage(request, context), log),
    getTaskUsage: unaryHandler((request, context) => operations.getTaskUsage(request, context), log),
    cordonNode: unaryHandler((request, context) => operations.cordonNode(request, context), log),
    drainNode: unaryHandler((request, context) => operations.drainNode(request, context), log),
    undrainNode: unaryHandler((request, context) => operations.undrainNode(request, context), log),
    labelNode: unaryHandler((request, context) => operations.labelNode(request, context), log),
    removeNode: unaryHandler((request, context) => operations.removeNode(request, context), log),
    getCluster: readHandler((request, context) => operations.getCluster(request, context), read),
    changeMember: unaryHandler((request, context) => operations.changeMember(request, context), log),
    transferLeadership: unaryHandler(
      (request, context) => operations.transferLeadership(request, context),
      log,
    ),
    saveSnapshot: streamHandler((_request, context) => operations.saveSnapshot(context), log),
    getConfig: readHandler((_request, context) => operations.getConfig(context), read),
    setConfig: unaryHandler((request, context) => operations.setConfig(request, context), log),
    getVersion: unaryHandler(() => operations.version(), log),
    createJoinToken: unaryHandler((request, context) => operations.createJoinToken(request, context), log),
    listJoinTokens: readHandler((_request, context) => operations.listJoinTokens(context), read),
    getJoinToken: readHandler((request, context) => operations.getJoinToken(request, context), read),
    deleteJoinToken: unaryHandler((request, context) => operations.deleteJoinToken(request, context), log),
    listAlerts: readHandler((request, context) => operations.listAlerts(request, context), read),
    getAutoscaler: readHandler((request, context) => operations.getAutoscaler(request, context), read),
    listScalingDecisions: readHandler(
      (request, context) => operations.listScalingDecisions(request, context),
      read,
    ),
    testAlert: unaryHandler((request, context) => operations.testAlert(request, context), log),
    submitBatch: unaryHandler((request, context) => operations.submitBatch(request, context), log),
    getBatch: readHandler((request, context) => operations.getBatch(request, context), read),
    listBatches: readHandler((request, context) => operations.listBatches(request, context), read),
    cancelBatch: unaryHandler((request, context) => operations.cancelBatch(request, context), log),
    retryBatch: unaryHandler((request, context) => operations.retryBatch(request, context), log),
    submitDag: unaryHandler((request, context) => operations.submitDag(request, context), log),
    getDag: readHandler((request, context) => operations.getDag(request, context), read),
    listDags: readHandler((request, context) => operations.listDags(request, context), read),
    cancelDag: unaryHandler((request, context) => operations.cancelDag(request, context), log),
    createToken: unaryHandler((request, context) => operations.createToken(request, context), log),
    listTokens: readHandler((_request, context) => operations.listTokens(context), read),
    revokeToken: unaryHandler((request, context) => operations.revokeToken(request, context), log),
    retryDag: unaryHandler((request, context) => operations.retryDag(request, context), log),
  };
  return { definition: ClusterService, handlers };
}

function refusalOf(error: unknown): Refusal {
  const known = error instanceof JarvisError ? error : new JarvisError('internal', messageOf(error));
  return { code: known.code, message: known.message, faults: [...known.faults] };
}

/**
 * Nodes read here for callers, whose token comes along.
 * @param guard absent: whoever calls is let in
 */
export function nodeLogsService(
  logs: LocalLogs,
  log: Log,
  guard: Pick<Guard, 'stream'> | null = null,
): Service {
  const handlers: NodeLogsServer = {
    read: streamHandler(
      (request, context) =>
        guard === null
          ? logs.read(request, context.signal)
          : guard.stream('readLogs', request, context, ({ signal }) => logs.read(request, signal)),
      log,
    ),
  };
  return { definition: NodeLogsService, handlers };
}
