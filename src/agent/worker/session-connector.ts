/**
 * How a worker reaches the leader: through any node of the cluster, for followers forward a session. The port, and its
 * implementation over gRPC.
 */
import type * as grpc from '@grpc/grpc-js';

import type { LeaderMessage, WorkerMessage } from '../../generated/worker.ts';
import { WorkerClient } from '../../generated/worker.ts';
import { messageOf } from '../../lib/errors.ts';

export interface SessionStreamEvents {
  message(message: LeaderMessage): void;
  /** Once; nothing comes after it. */
  ended(reason: string): void;
}

export interface SessionStream {
  /** Which node answers; for logs. */
  readonly address: string;
  send(message: WorkerMessage): void;
  /** Ends the stream at once; `ended` is not called. */
  close(): void;
}

export interface SessionConnector {
  /** Opens a stream to the next address to try. What fails is told through `ended`, later. */
  connect(events: SessionStreamEvents): SessionStream;
}

export interface GrpcSessionConnectorOptions {
  /** Where the leader may be reached, the likeliest first: the leader itself, then whoever forwards. Never empty. */
  readonly addresses: () => readonly string[];
  /** As of now: a stream keeps those that it was opened with. */
  readonly credentials: () => grpc.ChannelCredentials;
  readonly channelOptions: grpc.ChannelOptions;
}

export class GrpcSessionConnector implements SessionConnector {
  readonly #options: GrpcSessionConnectorOptions;
  /** Streams in a row on which nothing was heard: each moves on to the next address. */
  #failures = 0;

  constructor(options: GrpcSessionConnectorOptions) {
    this.#options = options;
  }

  connect(events: SessionStreamEvents): SessionStream {
    const addresses = this.#options.addresses();
    const address = addresses[this.#failures % addresses.length] ?? '';
    // A channel of its own for each stream: a shared one would keep the backoff of an earlier failure.
    const client = new WorkerClient(address, this.#options.credentials(), {
      ...this.#options.channelOptions,
      'grpc.use_local_subchannel_pool': 1,
    });
    const call = client.session();
    let isOver = false;
    this.#failures += 1;
    const finish = (reason: string | null): void => {
      if (isOver) return;
      isOver = true;
      call.cancel();
      client.close();
      if (reason !== null) events.ended(reason);
    };
    call.on('data', (message: LeaderMessage) => {
      if (isOver) return;
      this.#failures = 0;
      events.message(message);
    });
    call.on('error', (error) => finish(messageOf(error)));
    call.on('end', () => finish('ended by the peer'));
    return {
      address,
      send: (message) => void (isOver || call.write(message)),
      close: () => finish(null),
    };
  }
}
