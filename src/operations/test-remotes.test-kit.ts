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
      const sent = (context: CallContext): CallContext => {
        const freshness = context.isStale === true ? node.freshness() : null;
        if (freshness !== null) context.onFreshness?.(freshness);
        return forwarded(context);
      };
      return {
        submitTasks: (request, context) => node.submitTasks(request, sent(context)),
        acceptTasks: (request, context) => node.acceptTasks(request, sent(context)),
        getTask: (request, context) => node.getTask(request, sent(context)),
        listTasks: (request, context) => node.listTasks(request, sent(context)),
        cancelTask: (request, context) => node.cancelTask(request, sent(context)),
        retryTask: (request, context) => node.retryTask(request, sent(context)),
        updateTask: (request, context) => node.updateTask(request, sent(context)),
        watchTask: (request, context) => node.watchTask(request, sent(context)),
        listNodes: (context) => node.listNodes(sent(context)),
        explainTask: (request, context) => node.explainTask(request, sent(context)),
        planTasks: (request, context) => node.planTasks(request, sent(context)),
        getNode: (request, context) => node.getNode(request, sent(context)),
        cordonNode: (request, context) => node.cordonNode(request, sent(context)),
        drainNode: (request, context) => node.drainNode(request, sent(context)),
        undrainNode: (request, context) => node.undrainNode(request, sent(context)),
        labelNode: (request, context) => node.labelNode(request, sent(context)),
        removeNode: (request, context) => node.removeNode(request, sent(context)),
        getCluster: (request, context) => node.getCluster(request, sent(context)),
        changeMember: (request, context) => node.changeMember(request, sent(context)),
        transferLeadership: (request, context) => node.transferLeadership(request, sent(context)),
        saveSnapshot: (context) => node.saveSnapshot(sent(context)),
        getConfig: (context) => node.getConfig(sent(context)),
        setConfig: (request, context) => node.setConfig(request, sent(context)),
        createJoinToken: (request, context) => node.createJoinToken(request, sent(context)),
        listJoinTokens: (context) => node.listJoinTokens(sent(context)),
        getJoinToken: (request, context) => node.getJoinToken(request, sent(context)),
        deleteJoinToken: (request, context) => node.deleteJoinToken(request, sent(context)),
        listAlerts: (request, context) => node.listAlerts(request, sent(context)),
        testAlert: (request, context) => node.testAlert(request, sent(context)),
        getAutoscaler: (request, context) => node.getAutoscaler(request, sent(context)),
        listScalingDecisions: (request, context) => node.listScalingDecisions(request, sent(context)),
        submitBatch: (request, context) => node.submitBatch(request, sent(context)),
        getBatch: (request, context) => node.getBatch(request, sent(context)),
        listBatches: (request, context) => node.listBatches(request, sent(context)),
        cancelBatch: (request, context) => node.cancelBatch(request, sent(context)),
        retryBatch: (request, context) => node.retryBatch(request, sent(context)),
        submitDag: (request, context) => node.submitDag(request, sent(context)),
        getDag: (request, context) => node.getDag(request, sent(context)),
        listDags: (request, context) => node.listDags(request, sent(context)),
        cancelDag: (request, context) => node.cancelDag(request, sent(context)),
        retryDag: (request, context) => node.retryDag(request, sent(context)),
        createToken: (request, context) => node.createToken(request, sent(context)),
        listTokens: (context) => node.listTokens(sent(context)),
        revokeToken: (request, context) => node.revokeToken(request, sent(context)),
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
