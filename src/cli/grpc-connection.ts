/** {@link ClusterConnection} over gRPC. */
import { ClusterService } from '../generated/cluster.ts';
import { readTlsFilesSync } from '../lib/tls-files.ts';
import { ChannelPool } from '../rpc/channel.ts';
import { insecureChannels, TlsChannels, type ChannelSecurity } from '../rpc/channel-security.ts';
import type { Method } from '../rpc/client.ts';
import { connected, streamCall, unaryCall } from '../rpc/client.ts';
import { bearer } from '../rpc/forwarded.ts';
import type { ClusterConnection } from './connection.ts';
import type { Credentials } from './context.ts';
import { clientLimits } from './limits.ts';

const methods = ClusterService;
const NO_CREDENTIALS: Credentials = { token: null, tls: null };

/** @param address `host:port`; nothing is sent before the first call */
export function dialGrpc(address: string, { token, tls }: Credentials = NO_CREDENTIALS): ClusterConnection {
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
  const listNodes = ask(methods.listNodes);
  const getConfig = ask(methods.getConfig);
  const listJoinTokens = ask(methods.listJoinTokens);
  const listTokens = ask(methods.listTokens);
  const version = ask(methods.getVersion);
  return {
    address,
    connect: (timeoutMs, signal) => connected(pool.client(address), { address, timeoutMs, signal, pool }),
    problem: () => pool.problemAt(address),
    submitTasks: ask(methods.submitTasks, true),
    getTask: ask(methods.getTask),
    explainTask: ask(methods.explainTask),
    planTasks: ask(methods.planTasks),
    listTasks: ask(methods.listTasks),
    cancelTask: ask(methods.cancelTask, true),
    retryTask: ask(methods.retryTask, true),
    updateTask: ask(methods.updateTask, true),
    watchTask: (request, signal) =>
      streamCall({ pool, address, method: methods.watchTask, request, ...own(), signal }),
    readLogs: (request, signal) =>
      streamCall({ pool, address, method: methods.readLogs, request, ...own(), signal }),
    watchEvents: (request, signal) =>
      streamCall({ pool, address, method: methods.watchEvents, request, ...own(), signal }),
    getNode: ask(methods.getNode),
    cordonNode: ask(methods.cordonNode, true),
    drainNode: ask(methods.drainNode, true),
    undrainNode: ask(methods.undrainNode, true),
    labelNode: ask(methods.labelNode, true),
    removeNode: ask(methods.removeNode, true),
    listNodes: (signal) => listNodes({}, signal),
    getCluster: ask(methods.getCluster),
    changeMember: ask(methods.changeMember, true),
    transferLeadership: ask(methods.transferLeadership, true),
    submitBatch: ask(methods.submitBatch, true),
    getBatch: ask(methods.getBatch),
    listBatches: ask(methods.listBatches),
    cancelBatch: ask(methods.cancelBatch, true),
    retryBatch: ask(methods.retryBatch, true),
    submitDag: ask(methods.submitDag, true),
    getDag: ask(methods.getDag),
    listDags: ask(methods.listDags),
    cancelDag: ask(methods.cancelDag, true),
    retryDag: ask(methods.retryDag, true),
    saveSnapshot: (signal) =>
      streamCall({ pool, address, method: methods.saveSnapshot, request: {}, ...own(), signal }),
    getConfig: (signal) => getConfig({}, signal),
    setConfig: ask(methods.setConfig, true),
    createJoinToken: ask(methods.createJoinToken, true),
    listJoinTokens: (signal) => listJoinTokens({}, signal),
    deleteJoinToken: ask(methods.deleteJoinToken, true),
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
