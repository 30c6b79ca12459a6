/** For tests: how the nodes of a cluster in this process reach each other. */
import { JarvisError } from '../lib/errors.ts';
import type { Remotes } from './node-port.ts';
import type { CallContext } from './port.ts';
import type { RoutingOperations } from './router.ts';

/** The nodes reach each other by a call, as if forwarded. */
export function inProcessRemotes(nodes: ReadonlyMap<string, RoutingOperations>): Remotes {
  return {
    operations: (address) => {
      const node = nodes.get(address);
      if (node === undefined) throw new JarvisError('unavailable', `${address} cannot be reached`);
      return {
        submitTasks: (request, context) => node.submitTasks(request, forwarded(context)),
        acceptTasks: (request, context) => node.acceptTasks(request, forwarded(context)),
        getTask: (request, context) => node.getTask(request, forwarded(context)),
        listTasks: (request, context) => node.listTasks(request, forwarded(context)),
        cancelTask: (request, context) => node.cancelTask(request, forwarded(context)),
        retryTask: (request, context) => node.retryTask(request, forwarded(context)),
        updateTask: (request, context) => node.updateTask(request, forwarded(context)),
        watchTask: (request, context) => node.watchTask(request, forwarded(context)),
        listNodes: (context) => node.listNodes(forwarded(context)),
        explainTask: (request, context) => node.explainTask(request, forwarded(context)),
        planTasks: (request, context) => node.planTasks(request, forwarded(context)),
        getNode: (request, context) => node.getNode(request, forwarded(context)),
        cordonNode: (request, context) => node.cordonNode(request, forwarded(context)),
        drainNode: (request, context) => node.drainNode(request, forwarded(context)),
        undrainNode: (request, context) => node.undrainNode(request, forwarded(context)),
        labelNode: (request, context) => node.labelNode(request, forwarded(context)),
        removeNode: (request, context) => node.removeNode(request, forwarded(context)),
        getCluster: (request, context) => node.getCluster(request, forwarded(context)),
        changeMember: (request, context) => node.changeMember(request, forwarded(context)),
        transferLeadership: (request, context) => node.transferLeadership(request, forwarded(context)),
        saveSnapshot: (context) => node.saveSnapshot(forwarded(context)),
        getConfig: (context) => node.getConfig(forwarded(context)),
        setConfig: (request, context) => node.setConfig(request, forwarded(context)),
        createJoinToken: (request, context) => node.createJoinToken(request, forwarded(context)),
        listJoinTokens: (context) => node.listJoinTokens(forwarded(context)),
        getJoinToken: (request, context) => node.getJoinToken(request, forwarded(context)),
        deleteJoinToken: (request, context) => node.deleteJoinToken(request, forwarded(context)),
        listAlerts: (request, context) => node.listAlerts(request, forwarded(context)),
        testAlert: (request, context) => node.testAlert(request, forwarded(context)),
        getAutoscaler: (request, context) => node.getAutoscaler(request, forwarded(context)),
        listScalingDecisions: (request, context) => node.listScalingDecisions(request, forwarded(context)),
        submitBatch: (request, context) => node.submitBatch(request, forwarded(context)),
        getBatch: (request, context) => node.getBatch(request, forwarded(context)),
        listBatches: (request, context) => node.listBatches(request, forwarded(context)),
        cancelBatch: (request, context) => node.cancelBatch(request, forwarded(context)),
        retryBatch: (request, context) => node.retryBatch(request, forwarded(context)),
        submitDag: (request, context) => node.submitDag(request, forwarded(context)),
        getDag: (request, context) => node.getDag(request, forwarded(context)),
        listDags: (request, context) => node.listDags(request, forwarded(context)),
        cancelDag: (request, context) => node.cancelDag(request, forwarded(context)),
        retryDag: (request, context) => node.retryDag(request, forwarded(context)),
        createToken: (request, context) => node.createToken(request, forwarded(context)),
        listTokens: (context) => node.listTokens(forwarded(context)),
        revokeToken: (request, context) => node.revokeToken(request, forwarded(context)),
      };
    },
    nodeUsage: async (address, request, context) => {
      const node = nodes.get(address);
      if (node === undefined) throw new JarvisError('unavailable', `${address} cannot be reached`);
      return await node.getNodeUsage(request, forwarded(context));
    },
    logLevel: (address) => {
      const node = nodes.get(address);
      if (node === undefined) throw new JarvisError('unavailable', `${address} cannot be reached`);
      return {
        get: (request, context) => node.getLogLevel(request, forwarded(context)),
        set: (request, context) => node.setLogLevel(request, forwarded(context)),
      };
    },
    events: (address, request, context) => {
      const node = nodes.get(address);
      if (node === undefined) throw new JarvisError('unavailable', `${address} cannot be reached`);
      return node.watchEvents(request, forwarded(context));
    },
    identify: (address) => {
      throw new JarvisError('unavailable', `${address} cannot be reached`);
    },
    readLog: (address) => {
      throw new JarvisError('unavailable', `${address} cannot be reached`);
    },
  };
}

/** The node at that address takes every call and answers none; the others are reached as by `others`. */
export function silentAt(address: string, others: Remotes): Remotes {
  return {
    operations: (asked) => {
      const real = others.operations(asked);
      if (asked !== address) return real;
      return {
        ...real,
        submitTasks: (_request, { signal }) => neverAnswered(signal, 'outcome_unknown'),
        getTask: (_request, { signal }) => neverAnswered(signal, 'timeout'),
      };
    },
    nodeUsage: (...args) => others.nodeUsage(...args),
    logLevel: (asked) => others.logLevel(asked),
    readLog: (...args) => others.readLog(...args),
    events: (...args) => others.events(...args),
    identify: (...args) => others.identify(...args),
  };
}

function neverAnswered(signal: AbortSignal, code: 'outcome_unknown' | 'timeout'): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(new JarvisError(code, 'given up')));
  });
}

function forwarded(context: CallContext): CallContext {
  return { ...context, forwarded: true };
}
