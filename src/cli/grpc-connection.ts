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
 * @throws JarvisError invalid for TLS files that cannot be used: better no connection than one without what was asked for
 */
export function dialGrpc(
  address: string,
  { token, tls }: Credentials = NO_CREDENTIALS,
  { stale = false }: DialOptions = {},
): ClusterConnection {
  const pool = new ChannelPool(tls === null ? insecureChannels : channelsOf(tls));
  const calls = new Calls({ pool, address, token, stale });
  return {
    address,
    connect: (timeoutMs, signal) => connected(pool.client(address), { address, timeoutMs, signal, pool }),
    problem: () => pool.problemAt(address),
    freshness: () => calls.freshness,
    ...callsOfTasks(calls),
    ...callsOfNodes(calls),
    ...callsOfCluster(calls),
    close: () => pool.close(),
  };
}

class Calls {
  readonly #options: {
    readonly pool: ChannelPool;
    readonly address: string;
    readonly token: string | null;
    readonly stale: boolean;
  };
  /** Of the newest answer to a read. */
  freshness: Freshness | null = null;

  constructor(options: {
    readonly pool: ChannelPool;
    readonly address: string;
    readonly token: string | null;
    readonly stale: boolean;
  }) {
    this.#options = options;
  }

  ask<Q, A>(method: Method<Q, A>, write = false): (request: Q, signal: AbortSignal) => Promise<A> {
    return (request, signal) =>
      unaryCall({
        ...this.#target(),
        method,
        request,
        signal,
        write,
        timeoutMs: clientLimits.callTimeoutMs,
      });
  }

  read<Q extends { consistency?: string | undefined }, A>(
    method: Method<Q, A>,
  ): (request: Q, signal: AbortSignal) => Promise<A> {
    return (request, signal) =>
      unaryCall({
        ...this.#target(),
        method,
        request: this.#options.stale ? { ...request, consistency: 'stale' } : request,
        signal,
        write: false,
        timeoutMs: clientLimits.callTimeoutMs,
        onMetadata: (metadata) => (this.freshness = freshnessOf(metadata)),
      });
  }

  stream<Q, A>(method: Method<Q, A>): (request: Q, signal: AbortSignal) => AsyncIterable<A> {
    return (request, signal) => streamCall({ ...this.#target(), method, request, signal });
  }

  #target() {
    const { pool, address, token } = this.#options;
    // Metadata for each call: grpc-js adds to what it is given.
    return { pool, address, ...(token === null ? {} : { metadata: bearer(token) }) };
  }
}

function callsOfTasks(calls: Calls) {
  return {
    submitTasks: calls.ask(methods.submitTasks, true),
    getTask: calls.read(methods.getTask),
    explainTask: calls.read(methods.explainTask),
    planTasks: calls.ask(methods.planTasks),
    listTasks: calls.read(methods.listTasks),
    cancelTask: calls.ask(methods.cancelTask, true),
    retryTask: calls.ask(methods.retryTask, true),
    updateTask: calls.ask(methods.updateTask, true),
    watchTask: calls.stream(methods.watchTask),
    readLogs: calls.stream(methods.readLogs),
    getTaskUsage: calls.ask(methods.getTaskUsage),
    submitBatch: calls.ask(methods.submitBatch, true),
    getBatch: calls.read(methods.getBatch),
    listBatches: calls.read(methods.listBatches),
    cancelBatch: calls.ask(methods.cancelBatch, true),
    retryBatch: calls.ask(methods.retryBatch, true),
    submitDag: calls.ask(methods.submitDag, true),
    getDag: calls.read(methods.getDag),
    listDags: calls.read(methods.listDags),
    cancelDag: calls.ask(methods.cancelDag, true),
    retryDag: calls.ask(methods.retryDag, true),
  };
}

function callsOfNodes(calls: Calls) {
  const listNodes = calls.read(methods.listNodes);
  return {
    getNode: calls.read(methods.getNode),
    listNodes: (signal: AbortSignal) => listNodes({}, signal),
    getNodeUsage: calls.ask(methods.getNodeUsage),
    getLogLevel: calls.ask(methods.getLogLevel),
    setLogLevel: calls.ask(methods.setLogLevel, true),
    cordonNode: calls.ask(methods.cordonNode, true),
    drainNode: calls.ask(methods.drainNode, true),
    undrainNode: calls.ask(methods.undrainNode, true),
    labelNode: calls.ask(methods.labelNode, true),
    removeNode: calls.ask(methods.removeNode, true),
  };
}

function callsOfCluster(calls: Calls) {
  const getConfig = calls.read(methods.getConfig);
  const listJoinTokens = calls.ask(methods.listJoinTokens);
  const listTokens = calls.ask(methods.listTokens);
  const version = calls.ask(methods.getVersion);
  const saveSnapshot = calls.stream(methods.saveSnapshot);
  return {
    watchEvents: calls.stream(methods.watchEvents),
    getCluster: calls.read(methods.getCluster),
    changeMember: calls.ask(methods.changeMember, true),
    transferLeadership: calls.ask(methods.transferLeadership, true),
    saveSnapshot: (signal: AbortSignal) => saveSnapshot({}, signal),
    getConfig: (signal: AbortSignal) => getConfig({}, signal),
    setConfig: calls.ask(methods.setConfig, true),
    createJoinToken: calls.ask(methods.createJoinToken, true),
    listJoinTokens: (signal: AbortSignal) => listJoinTokens({}, signal),
    deleteJoinToken: calls.ask(methods.deleteJoinToken, true),
    listAlerts: calls.ask(methods.listAlerts),
    testAlert: calls.ask(methods.testAlert, true),
    getAutoscaler: calls.read(methods.getAutoscaler),
    listScalingDecisions: calls.read(methods.listScalingDecisions),
    createToken: calls.ask(methods.createToken, true),
    listTokens: (signal: AbortSignal) => listTokens({}, signal),
    revokeToken: calls.ask(methods.revokeToken, true),
    version: (signal: AbortSignal) => version({}, signal),
  };
}

/** As the files are now: a command does not outlast them. @throws JarvisError invalid */
function channelsOf({ ca, cert, key }: NonNullable<Credentials['tls']>): ChannelSecurity {
  const material = readTlsFilesSync({ certificate: cert, key, authorities: ca }, Date.now());
  return new TlsChannels({ current: material, onChange: () => () => {} });
}
