/**
 * How nodes and clients connect to each other: the settings of every channel and server, and the pool of channels.
 * What they are secured with is said by `channel-security.ts` and `tls-listener.ts`.
 */
import * as grpc from '@grpc/grpc-js';

import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { insecureChannels, type ChannelSecurity } from './channel-security.ts';

/**
 * grpc-js needed 14 s to come back after a 40 s one-way partition with its defaults, and about 1 s with these.
 * A proxy from the environment is never meant for the cluster's own addresses.
 */
export const channelOptions: grpc.ChannelOptions = {
  'grpc.keepalive_time_ms': limits.rpcKeepaliveMs,
  'grpc.keepalive_timeout_ms': limits.rpcKeepaliveMs,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': limits.peerReconnectMaxMs,
  'grpc.max_receive_message_length': limits.rpcMessageBytes,
  'grpc.max_send_message_length': limits.rpcMessageBytes,
  // Whoever calls knows whether a call may be repeated; grpc-js does not.
  'grpc.enable_retries': 0,
  'grpc.enable_http_proxy': 0,
  'grpc.service_config_disable_resolution': 1,
};

export const serverOptions: grpc.ServerOptions = {
  'grpc.max_receive_message_length': limits.rpcMessageBytes,
  'grpc.max_send_message_length': limits.rpcMessageBytes,
  'grpc.max_concurrent_streams': limits.rpcStreamsPerConnection,
  // A connection that carries no call, also one that never says anything, is closed.
  'grpc.max_connection_idle_ms': limits.rpcIdleConnectionMs,
  'grpc.keepalive_time_ms': limits.rpcServerKeepaliveMs,
  'grpc.keepalive_timeout_ms': limits.rpcServerKeepaliveMs,
};

/**
 * One client per address, and per node where it is said which one must be there; calls of all services share its
 * connection. Bounded: the longest unused ones are closed.
 */
export class ChannelPool {
  readonly #security: ChannelSecurity;
  readonly #unsubscribe: () => void;
  readonly #clients = new Map<string, grpc.Client>();
  readonly #former = new Map<NodeJS.Timeout, readonly grpc.Client[]>();
  #closed = false;

  constructor(security: ChannelSecurity = insecureChannels) {
    this.#security = security;
    this.#unsubscribe = security.onRenewal(() => this.#renew());
  }

  /**
   * @param address `host:port`
   * @param node who must be there, as far as certificates tell; undefined: any node of the cluster
   */
  client(address: string, node?: string): grpc.Client {
    if (this.#closed) throw new JarvisError('unavailable', 'this node is stopping');
    const key = node === undefined ? address : `${address} ${node}`;
    const known = this.#clients.get(key);
    const client = known ?? new grpc.Client(address, this.#security.credentials(node), channelOptions);
    // The map's order is the order of use.
    this.#clients.delete(key);
    this.#clients.set(key, client);
    const [oldest] = this.#clients;
    if (this.#clients.size > limits.rpcPooledChannels && oldest !== undefined) {
      oldest[1].close();
      this.#clients.delete(oldest[0]);
    }
    return client;
  }

  /** Why the last attempt to connect was given up, where certificates are to blame; else null. */
  problemAt(address: string): string | null {
    return this.#security.problemAt(address);
  }

  close(): void {
    this.#closed = true;
    this.#unsubscribe();
    for (const [timer, clients] of this.#former) {
      clearTimeout(timer);
      for (const client of clients) client.close();
    }
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
    this.#former.clear();
  }

  /** Calls to come go over new connections; those under way stay where they are. */
  #renew(): void {
    const clients = [...this.#clients.values()];
    this.#clients.clear();
    const timer = setTimeout(() => {
      this.#former.delete(timer);
      for (const client of clients) client.close();
    }, limits.forwardTimeoutMs);
    this.#former.set(timer, clients);
  }
}
