/**
 * The outgoing half of the connection to one peer: one long-lived stream, a hello, then frames of whatever is due.
 * Bounded: while the peer cannot be reached messages are dropped and reported, as Raft expects of its network.
 */
import * as grpc from '@grpc/grpc-js';

import type { Frame, FrameReply, Hello, HelloReply } from '../../generated/raft.ts';
import { RaftClient } from '../../generated/raft.ts';
import { versionTold } from '../../lib/cluster-version.ts';
import { messageOf } from '../../lib/errors.ts';
import type { Clock } from '../../lib/clock.ts';
import { limits } from '../../lib/limits.ts';
import type { Log } from '../../lib/log.ts';
import type { Message } from '../core/types.ts';
import type { Peer } from '../ports.ts';
import { messageBytes, messageToWire } from './wire.ts';

export interface PeerStreamEvents {
  /** Messages to the peer were dropped. */
  unreachable(): void;
  /** The peer refused the hello; it stays refused until something changes there. */
  refused(reply: HelloReply): void;
  /** The peer takes this node for a member. */
  accepted(): void;
  /** The connection broke after it had been established: the peer's process ended or the path was reset. */
  reset(): void;
}

type MessageStream = grpc.ClientDuplexStream<Frame, FrameReply>;

export class PeerStream {
  readonly peer: Peer;
  readonly client: RaftClient;
  readonly #hello: Hello;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #events: PeerStreamEvents;
  readonly #refusal: (version: number) => { code: string; message: string } | null;
  #stream: MessageStream | null = null;
  #established = false;
  #version: number | null = null;
  #writable = true;
  #queue: Message[] = [];
  #queuedBytes = 0;
  #backoffMs: number = limits.peerReconnectMinMs;
  #cancelTimer: (() => void) | null = null;
  #closed = false;

  constructor(options: {
    peer: Peer;
    hello: Hello;
    credentials: grpc.ChannelCredentials;
    channelOptions: grpc.ChannelOptions;
    clock: Clock;
    log: Log;
    /** Why this node does not speak with a peer that knows no later cluster version than that, or null where it does. */
    refusal: (version: number) => { code: string; message: string } | null;
    events: PeerStreamEvents;
  }) {
    this.peer = options.peer;
    this.#hello = options.hello;
    this.#clock = options.clock;
    this.#log = options.log.child({ peer: options.peer.name });
    this.#events = options.events;
    this.#refusal = options.refusal;
    this.client = new RaftClient(options.peer.address, options.credentials, options.channelOptions);
    this.#connect();
  }

  /** The newest cluster version that the peer's process knows; null while there is no connection. */
  get version(): number | null {
    return this.#established ? this.#version : null;
  }

  send(message: Message): void {
    if (this.#closed) return;
    const bytes = messageBytes(message);
    if (!this.#established || this.#queuedBytes + bytes > limits.peerQueueBytes) {
      this.#events.unreachable();
      return;
    }
    this.#queue.push(message);
    this.#queuedBytes += bytes;
  }

  /** Writes what is queued as frames; called once per round of the node, so that a round's messages share a frame. */
  flush(): void {
    const stream = this.#stream;
    if (stream === null) return;
    while (this.#established && this.#writable && this.#queue.length > 0) {
      let bytes = 0;
      let count = 0;
      for (const message of this.#queue) {
        bytes += messageBytes(message);
        count += 1;
        if (bytes >= limits.frameBytes) break;
      }
      const messages = this.#queue.splice(0, count).map(messageToWire);
      this.#queuedBytes -= bytes;
      this.#writable = stream.write({ kind: { $case: 'batch', value: { messages } } });
    }
  }

  close(): void {
    this.#closed = true;
    this.#cancelTimer?.();
    this.#stream?.cancel();
    this.#stream = null;
    this.client.close();
  }

  #connect(): void {
    this.#cancelTimer = null;
    const stream = this.client.messages(new grpc.Metadata());
    this.#stream = stream;
    this.#writable = true;
    stream.on('data', (reply: FrameReply) => this.#onReply(stream, reply));
    stream.on('drain', () => {
      this.#writable = true;
      this.flush();
    });
    // A gRPC stream that fails emits both 'error' and 'end'; whichever comes first ends it for us.
    stream.on('error', (error) => {
      if (this.#stream === stream) this.#onError(error);
      this.#onEnd(stream, messageOf(error));
    });
    stream.on('end', () => this.#onEnd(stream, 'ended by the peer'));
    stream.write({ kind: { $case: 'hello', value: this.#hello } });
    this.#cancelTimer = this.#clock.after(limits.peerHelloTimeoutMs, () => {
      if (!this.#established && this.#stream === stream) stream.cancel();
    });
  }

  #onReply(stream: MessageStream, reply: FrameReply): void {
    if (this.#stream !== stream || reply.hello === undefined) return;
    this.#version = versionTold(reply.hello.known_version);
    const refusal = reply.hello.accepted ? this.#refusal(this.#version) : null;
    if (reply.hello.accepted && refusal === null) {
      this.#cancelTimer?.();
      this.#cancelTimer = null;
      this.#established = true;
      this.#backoffMs = limits.peerReconnectMinMs;
      this.#log.debug({}, 'peer stream established');
      this.#events.accepted();
      return;
    }
    this.#backoffMs = limits.peerReconnectMaxMs;
    this.#events.refused({ ...reply.hello, accepted: false, ...refusal });
    stream.cancel();
  }

  /** Its certificate is refused: there or here it is said why. */
  #onError(error: Error): void {
    const code = 'code' in error ? error.code : null;
    if (code !== grpc.status.UNAUTHENTICATED && code !== grpc.status.PERMISSION_DENIED) return;
    this.#backoffMs = limits.peerReconnectMaxMs;
    const reply = { accepted: false, code: 'certificate', message: messageOf(error), leads: false };
    this.#events.refused({ ...reply, known_version: 0 });
  }

  #onEnd(stream: MessageStream, reason: string): void {
    if (this.#stream !== stream) return;
    this.#stream = null;
    this.#cancelTimer?.();
    const wasEstablished = this.#established;
    this.#established = false;
    this.#queue = [];
    this.#queuedBytes = 0;
    if (this.#closed) return;
    this.#log.debug({ reason }, 'peer stream ended');
    this.#events.unreachable();
    if (wasEstablished) this.#events.reset();
    this.#cancelTimer = this.#clock.after(this.#backoffMs, () => this.#connect());
    this.#backoffMs = Math.min(this.#backoffMs * 2, limits.peerReconnectMaxMs);
  }
}
