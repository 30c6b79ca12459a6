/**
 * Raft's transport over gRPC: one stream per peer and direction. Incoming streams are admitted only from members of
 * this cluster that speak for themselves; everything refused is counted by its code.
 */
import * as grpc from '@grpc/grpc-js';

import type { Frame, FrameReply, Hello, HelloReply } from '../../generated/raft.ts';
import { ByteRate } from '../../lib/byte-rate.ts';
import type { Clock } from '../../lib/clock.ts';
import { FIRST_CLUSTER_VERSION } from '../../lib/cluster-version.ts';
import { JarvisError, messageOf } from '../../lib/errors.ts';
import { limits } from '../../lib/limits.ts';
import type { Log } from '../../lib/log.ts';
import { RepeatedLines } from '../../lib/repeated-lines.ts';
import type { Message, RaftId } from '../core/types.ts';
import type { Peer, Transport, TransportEvents } from '../ports.ts';
import {
  helloRefusal,
  helloTo,
  knownVersionOf,
  versionRefusal,
  type Acquaintance,
  type HelloRefusal,
  type TransportIdentity,
} from './hello.ts';
import { PeerStream } from './peer-stream.ts';
import { isDecided } from '../membership.ts';
import { RemovalWord } from './removal-word.ts';
import { sendSnapshotFile } from './snapshot-sender.ts';
import { messageFromWire } from './wire.ts';

/** Records a peer's start. @throws JarvisError conflict for a copied or restored data directory */
export type RecordStart = (incarnation: string, startCounter: number, startId: string) => Promise<void>;

/** With which a peer is connected to, by its name. */
export type PeerCredentials = (name: string) => grpc.ChannelCredentials;

type IncomingStream = grpc.ServerDuplexStream<Frame, FrameReply>;

export class GrpcTransport implements Transport {
  readonly #identity: TransportIdentity;
  readonly #recordStart: RecordStart;
  readonly #onRefused: (code: string, message: string) => void;
  readonly #credentials: PeerCredentials;
  readonly #channelOptions: grpc.ChannelOptions;
  readonly #clock: Clock;
  readonly #snapshotRate: ByteRate;
  readonly #log: Log;
  readonly #lines: RepeatedLines;
  readonly #streams = new Map<RaftId, PeerStream>();
  readonly #incoming = new Map<RaftId, IncomingStream>();
  readonly #refusals = new Map<string, number>();
  #peers = new Map<RaftId, Peer>();
  /** Members whose addition lies ahead in the log, as they present themselves; with the stream each goes. */
  readonly #strangers = new Map<RaftId, Peer>();
  readonly #removal = new RemovalWord();
  #membershipIndex = 0;
  /** Peers whose newest hello said so. */
  readonly #leaseKeepers = new Set<RaftId>();
  #events: TransportEvents | null = null;
  /** Of the cluster: a member that does not know it is spoken with no more. */
  #requiredVersion = FIRST_CLUSTER_VERSION;
  #closed = false;

  constructor(options: {
    identity: TransportIdentity;
    recordStart: RecordStart;
    /** A peer refuses this node, with one of the codes of {@link HelloReply}; as removed once that is to be believed. */
    onRefused?: (code: string, message: string) => void;
    credentials: PeerCredentials;
    channelOptions: grpc.ChannelOptions;
    clock: Clock;
    log: Log;
    /** Of all snapshots that this node sends, together; default: as in `limits`. */
    snapshotBytesPerSecond?: number;
  }) {
    this.#identity = options.identity;
    this.#recordStart = options.recordStart;
    this.#onRefused = options.onRefused ?? (() => {});
    this.#credentials = options.credentials;
    this.#channelOptions = options.channelOptions;
    this.#clock = options.clock;
    this.#snapshotRate = new ByteRate({
      clock: options.clock,
      bytesPerSecond: options.snapshotBytesPerSecond ?? limits.snapshotBytesPerSecond,
      burstBytes: limits.snapshotWindowBytes,
    });
    this.#log = options.log;
    this.#lines = new RepeatedLines({
      clock: options.clock,
      intervalMs: limits.repeatedLineMs,
      kindsKept: limits.repeatedLineKinds,
    });
  }

  start(events: TransportEvents): void {
    this.#events = events;
  }

  setPeers(peers: readonly Peer[], index: number): void {
    const others = peers.filter((peer) => peer.raftId !== this.#identity.raftId);
    this.#membershipIndex = index;
    for (const id of this.#strangers.keys()) if (isDecided(id, index)) this.#strangers.delete(id);
    this.#peers = new Map([...this.#strangers.values(), ...others].map((peer) => [peer.raftId, peer]));
    this.#connect();
  }

  /** Streams to all peers, and to nobody else. */
  #connect(): void {
    for (const [raftId, stream] of this.#streams) {
      const peer = this.#peers.get(raftId);
      if (peer !== undefined && peer.address === stream.peer.address) continue;
      stream.close();
      this.#streams.delete(raftId);
    }
    for (const peer of this.#peers.values()) {
      if (!this.#streams.has(peer.raftId)) this.#streams.set(peer.raftId, this.#open(peer));
    }
    for (const [raftId, incoming] of this.#incoming) {
      if (!this.#peers.has(raftId)) incoming.end();
    }
  }

  /** Connects to all peers anew: with other credentials than before. */
  renew(): void {
    for (const stream of this.#streams.values()) stream.close();
    this.#streams.clear();
    if (!this.#closed) this.#connect();
  }

  /** What the process at the other end of the stream to a member has said that it knows; null: there is none. */
  versionOf(raftId: RaftId): number | null {
    return this.#streams.get(raftId)?.version ?? null;
  }

  /** The cluster is at that version: whoever does not know it gets nothing of the log any more. It never goes back. */
  requireVersion(version: number): void {
    if (version <= this.#requiredVersion) return;
    this.#requiredVersion = version;
    for (const [raftId, stream] of this.#streams) {
      if (stream.version === null || stream.version >= version) continue;
      stream.close();
      this.#streams.delete(raftId);
    }
    if (!this.#closed) this.#connect();
  }

  send(messages: readonly Message[]): void {
    for (const message of messages) this.#streams.get(message.to)?.send(message);
    for (const stream of this.#streams.values()) stream.flush();
  }

  async sendSnapshot(
    message: Message,
    file: string,
    signal: AbortSignal,
    onProgress: (takenBytes: number, totalBytes: number) => void = () => {},
  ): Promise<void> {
    const stream = this.#streams.get(message.to);
    if (stream === undefined) throw new Error(`no peer with Raft id ${message.to}`);
    const hello = helloTo(message.to, this.#identity);
    const rate = this.#snapshotRate;
    await sendSnapshotFile({ client: stream.client, hello, message, file, signal, rate, onProgress });
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const stream of this.#streams.values()) stream.close();
    this.#streams.clear();
    for (const incoming of this.#incoming.values()) incoming.end();
    this.#incoming.clear();
  }

  /** A message that came by another way than the sender's stream: that of a received snapshot. */
  deliver(message: Message): void {
    if (message.to === this.#identity.raftId) this.#events?.receive(message);
    else this.count('misaddressed');
  }

  /** Whether every other member has said that it keeps the promises on which lease reads rest. */
  everyoneKeepsLeases(): boolean {
    return [...this.#peers.keys()].every((id) => this.#leaseKeepers.has(id));
  }

  /** Refused hellos by code, since the start. */
  refusals(): ReadonlyMap<string, number> {
    return this.#refusals;
  }

  /** The handler of `Raft.Messages`. */
  accept(stream: IncomingStream): void {
    if (this.#closed) {
      endWith(stream, grpc.status.UNAVAILABLE, 'this node is stopping');
      return;
    }
    let from: RaftId | null = null;
    let isOver = false;
    const ended = (): void => {
      isOver = true;
      cancelDeadline();
      if (from === null || this.#incoming.get(from) !== stream) return;
      this.#incoming.delete(from);
      this.#forget(from);
      this.#events?.streamReset(from);
    };
    const cancelDeadline = this.#clock.after(limits.peerHelloTimeoutMs, () => {
      ended();
      endWith(stream, grpc.status.DEADLINE_EXCEEDED, 'no hello came in time');
    });
    const refuse = (error: unknown): void => {
      if (isOver) return;
      const isMalformed = error instanceof JarvisError && error.code === 'malformed';
      if (isMalformed) this.count('malformed');
      this.#lines.write(`ended ${from}`, (heldBack) =>
        this.#log.warn({ from, error: messageOf(error), heldBack }, 'ended the stream of a peer'),
      );
      ended();
      const code = isMalformed ? grpc.status.INVALID_ARGUMENT : grpc.status.INTERNAL;
      endWith(stream, code, messageOf(error));
    };
    const greet = async (hello: Hello): Promise<void> => {
      cancelDeadline();
      // Nothing more is read before it is known who speaks.
      stream.pause();
      const reply = await this.admit(hello);
      // A stream that broke meanwhile must not take the place of the one that came after it.
      if (isOver) return;
      stream.write({ hello: reply });
      if (!reply.accepted || this.#closed) {
        isOver = true;
        stream.end();
        return;
      }
      from = hello.raft_id;
      this.#incoming.get(from)?.end();
      this.#incoming.set(from, stream);
      this.#meet(hello);
      stream.resume();
    };
    stream.on('data', (frame: Frame) => {
      if (isOver) return;
      try {
        if (from !== null) this.#take(stream, from, frame);
        else if (frame.kind?.$case === 'hello') greet(frame.kind.value).catch(refuse);
        else throw new JarvisError('malformed', 'a frame before its hello');
      } catch (error) {
        refuse(error);
      }
    });
    stream.on('end', () => {
      stream.end();
      ended();
    });
    stream.on('cancelled', ended);
    stream.on('close', ended);
    stream.on('error', (error) => {
      this.#log.debug({ from, error: messageOf(error) }, 'incoming peer stream failed');
      ended();
    });
  }

  /** @throws JarvisError malformed */
  #take(stream: IncomingStream, from: RaftId, frame: Frame): void {
    if (frame.kind?.$case !== 'batch') throw new JarvisError('malformed', 'a second hello');
    this.#receive(stream, from, frame.kind.value.messages.map(messageFromWire));
  }

  /** Whether the sender of a hello may speak here; its start is on record when it may. */
  async admit(hello: Hello): Promise<HelloReply> {
    const refusal = helloRefusal(hello, this.#acquaintance()) ?? (await this.#startRefusal(hello));
    if (refusal === null && hello.keeps_leases) this.#leaseKeepers.add(hello.raft_id);
    else this.#leaseKeepers.delete(hello.raft_id);
    const leads = this.#events?.leads?.() === true;
    const known_version = knownVersionOf(this.#identity);
    if (refusal === null) return { accepted: true, code: '', message: '', leads, known_version };
    this.count(refusal.code);
    this.#lines.write(`refused ${hello.raft_id} ${refusal.code}`, (heldBack) =>
      this.#log.warn({ raftId: hello.raft_id, ...refusal, heldBack }, 'peer refused'),
    );
    return { accepted: false, ...refusal, leads, known_version };
  }

  async #startRefusal(hello: Hello): Promise<HelloRefusal | null> {
    try {
      await this.#recordStart(hello.incarnation, hello.start_counter, hello.start_id);
      return null;
    } catch (error) {
      if (error instanceof JarvisError && error.code === 'conflict')
        return { code: 'old_copy', message: error.message };
      throw error;
    }
  }

  #acquaintance(): Acquaintance {
    return {
      identity: this.#identity,
      peers: this.#peers,
      membershipIndex: this.#membershipIndex,
      hasRoom: this.#strangers.size < limits.strangers,
      requiredVersion: this.#requiredVersion,
    };
  }

  /** Answers a stranger for as long as its stream lasts. */
  #meet({ raft_id: raftId, incarnation, name, address }: Hello): void {
    if (this.#peers.has(raftId)) return;
    const stranger = { raftId, name, incarnation, address };
    this.#strangers.set(raftId, stranger);
    this.#peers.set(raftId, stranger);
    this.#connect();
  }

  #forget(raftId: RaftId): void {
    if (!this.#strangers.delete(raftId)) return;
    this.#peers.delete(raftId);
    this.#connect();
  }

  #receive(stream: IncomingStream, from: RaftId, messages: readonly Message[]): void {
    const events = this.#events;
    if (events === null || this.#incoming.get(from) !== stream) return;
    for (const message of messages) {
      if (message.from === from && message.to === this.#identity.raftId) events.receive(message);
      else this.count('misaddressed');
    }
  }

  /** Something that a peer sent was refused. */
  count(code: string): void {
    this.#refusals.set(code, (this.#refusals.get(code) ?? 0) + 1);
  }

  #otherMembers(): readonly RaftId[] {
    return [...this.#peers.keys()].filter((id) => !this.#strangers.has(id));
  }

  #open(peer: Peer): PeerStream {
    return new PeerStream({
      peer,
      hello: helloTo(peer.raftId, this.#identity),
      credentials: this.#credentials(peer.name),
      channelOptions: this.#channelOptions,
      clock: this.#clock,
      log: this.#log,
      refusal: (version) => versionRefusal(peer.name, version, this.#requiredVersion),
      events: {
        unreachable: () => this.#events?.unreachable(peer.raftId),
        accepted: () => this.#removal.takenBack(peer.raftId),
        refused: ({ code, message, leads }) => {
          this.#lines.write(`refused by ${peer.raftId} ${code}`, (heldBack) =>
            this.#log.warn({ peer: peer.name, code, message, heldBack }, 'refused by peer'),
          );
          if (code !== 'removed_member' || this.#removal.isBelieved(peer.raftId, leads, this.#otherMembers()))
            this.#onRefused(code, message);
        },
        reset: () => this.#events?.streamReset(peer.raftId),
      },
    });
  }
}

/** So that the peer hears of it: a stream that is only destroyed stays open at its other end. */
function endWith(stream: IncomingStream, code: grpc.status, details: string): void {
  stream.emit('error', { code, details });
}
