/** {@link ClusterConnection} over gRPC. */
import { ClusterService } from '../generated/cluster.ts';
import { readTlsFilesSync } from '../lib/tls-files.ts';
import { ChannelPool } from '../rpc/channel.ts';
import { insecureChannels, TlsChannels, type ChannelSecurity } from '../rpc/channel-security.ts';
import type { Freshness } from '../rpc/freshness.ts';
import type { Method } from '../rpc/client.ts';
import { connected, streamCall, unaryCall } from '../rpc/client.ts';
import { bearer } from '../rpc/forwarded.ts';
import { freshnessOf } from '../rpc/freshness.ts';
import type { ClusterConnection } from './connection.ts';
import type { Credentials, DialOptions } from './context.ts';
import { clientLimits } from './limits.ts';

const methods = ClusterService;
const NO_CREDENTIALS: Credentials = { token: null, tls: null };

/**
 * @param address `host:port`; nothing is sent before the first call
 * @param options.stale the peer answers reads from its own state, however old it is
 */
export function dialGrpc(
  address: string,
  { token, tls }: Credentials = NO_CREDENTIALS,
  { stale = false }: DialOptions = {},
): ClusterConnection {
  // Better no connection than one without what was asked for.
  // One for each call: grpc-js adds to what it is given.
  const own = () => (token === null ? {} : { metadata: bearer(token) });
  const pool = new ChannelPool(tls === null ? insecureChannels : channelsOf(tls));
  const ask =
    <Q, A>(method: Method<Q, A>, write = false) =>
    (request: Q, signal: AbortSignal): Promise<A> =>
      unaryCall({
        pool,
        address,
        method,
        request,
        ...own(),
        signal,
        write,
        timeoutMs: clientLimits.callTimeoutMs,
      });
  let freshness: Freshness | null = null;
  const read =
    <Q extends { consistency?: string | undefined }, A>(method: Method<Q, A>) =>
    (request: Q, signal: AbortSignal): Promise<A> =>
      unaryCall({
        pool,
        address,
        method,
        request: stale ? { ...request, consistency: 'stale' } : request,
        ...own(),
        signal,
        write: false,
        timeoutMs: clientLimits.callTimeoutMs,
        onMetadata: (metadata) => (freshness = freshnessOf(metadata)),
      });
  const listNodes = read(methods.listNodes);
  const getConfig = read(methods.getConfig);
  const listJoinTokens = ask(methods.listJoinTokens);
  const listTokens = ask(methods.listTokens);
  const version = ask(methods.getVersion);
  return {
    address,
    connect: (timeoutMs, signal) => connected(pool.client(address), { address, timeoutMs, signal, pool }),
    problem: () => pool.problemAt(address),
    freshness: () => freshness,
    submitTasks: ask(methods.submitTasks, true),
    getTask: read(methods.getTask),
    explainTask: read(methods.explainTask),
    planTasks: ask(methods.planTasks),
    listTasks: read(methods.listTasks),
    cancelTask: ask(methods.cancelTask, true),
    retryTask: ask(methods.retryTask, true),
    updateTask: ask(methods.updateTask, true),
    watchTask: (request, signal) =>
      streamCall({ pool, address, method: methods.watchTask, request, ...own(), signal }),
    readLogs: (request, signal) =>
      streamCall({ pool, address, method: methods.readLogs, request, ...own(), signal }),
    watchEvents: (request, signal) =>
      streamCall({ pool, address, method: methods.watchEvents, request, ...own(), signal }),
    getNode: read(methods.getNode),
    getNodeUsage: ask(methods.getNodeUsage),
    getLogLevel: ask(methods.getLogLevel),
    setLogLevel: ask(methods.setLogLevel, true),
    getTaskUsage: ask(methods.getTaskUsage),
    cordonNode: ask(methods.cordonNode, true),
    drainNode: ask(methods.drainNode, true),
    undrainNode: ask(methods.undrainNode, true),
    labelNode: ask(methods.labelNode, true),
    removeNode: ask(methods.removeNode, true),
    listNodes: (signal) => listNodes({}, signal),
    getCluster: read(methods.getCluster),
    changeMember: ask(methods.changeMember, true),
    transferLeadership: ask(methods.transferLeadership, true),
    submitBatch: ask(methods.submitBatch, true),
    getBatch: read(methods.getBatch),
    listBatches: read(methods.listBatches),
    cancelBatch: ask(methods.cancelBatch, true),
    retryBatch: ask(methods.retryBatch, true),
    submitDag: ask(methods.submitDag, true),
    getDag: read(methods.getDag),
    listDags: read(methods.listDags),
    cancelDag: ask(methods.cancelDag, true),
    retryDag: ask(methods.retryDag, true),
    saveSnapshot: (signal) =>
      streamCall({ pool, address, method: methods.saveSnapshot, request: {}, ...own(), signal }),
    getConfig: (signal) => getConfig({}, signal),
    setConfig: ask(methods.setConfig, true),
    createJoinToken: ask(methods.createJoinToken, true),
    listJoinTokens: (signal) => listJoinTokens({}, signal),
    deleteJoinToken: ask(methods.deleteJoinToken, true),
    listAlerts: ask(methods.listAlerts),
    testAlert: ask(methods.testAlert, true),
    getAutoscaler: read(methods.getAutoscaler),
    listScalingDecisions: read(methods.listScalingDecisions),
    createToken: ask(methods.createToken, true),
    listTokens: (signal) => listTokens({}, signal),
    revokeToken: ask(methods.revokeToken, true),
    version: (signal) => version({}, signal),
    close: () => pool.close(),
  };
}

/** As the files are now: a command does not outlast them. @throws JarvisError invalid */
function channelsOf({ ca, cert, key }: NonNullable<Credentials['tls']>): ChannelSecurity {
  const material = readTlsFilesSync({ certificate: cert, key, authorities: ca }, Date.now());
  return new TlsChannels({ current: material, onChange: () => () => {} });
}
