/**
 * How nodes and clients connect to each other: the settings of every channel and server, and the pool of channels.
 * TLS will change `channelCredentials` and `serverCredentials`, and nothing else.
 */
import * as grpc from '@grpc/grpc-js';

import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';

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

export function channelCredentials(): grpc.ChannelCredentials {
  return grpc.credentials.createInsecure();
}

export function serverCredentials(): grpc.ServerCredentials {
  return grpc.ServerCredentials.createInsecure();
}

/** One client per address; calls of all services share its connection. Bounded: the longest unused ones are closed. */
export class ChannelPool {
  readonly #clients = new Map<string, grpc.Client>();
  #closed = false;

  /** @param address `host:port` */
  client(address: string): grpc.Client {
    if (this.#closed) throw new JarvisError('unavailable', 'this node is stopping');
    const known = this.#clients.get(address);
    const client = known ?? new grpc.Client(address, channelCredentials(), channelOptions);
    // The map's order is the order of use.
    this.#clients.delete(address);
    this.#clients.set(address, client);
    const [oldest] = this.#clients;
    if (this.#clients.size > limits.rpcPooledChannels && oldest !== undefined) {
      oldest[1].close();
      this.#clients.delete(oldest[0]);
    }
    return client;
  }

  close(): void {
    this.#closed = true;
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
  }
}
