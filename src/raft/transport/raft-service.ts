/**
 * The gRPC service `Raft`: peers' message streams, received snapshots, and the questions of the bootstrap. It is there
 * before the node belongs to a cluster, and takes streams only once it does.
 */
import * as grpc from '@grpc/grpc-js';

import {
  RaftService as definition,
  type BootstrapReply,
  type BootstrapRequest,
  type Frame,
  type FrameReply,
  type JoinReply,
  type JoinRequest,
  type SnapshotChunk,
  type SnapshotHeader,
  type SnapshotProgress,
} from '../../generated/raft.ts';
import { pause } from '../../lib/backoff.ts';
import { systemClock, type Clock } from '../../lib/clock.ts';
import { JarvisError, messageOf } from '../../lib/errors.ts';
import { limits } from '../../lib/limits.ts';
import type { Log } from '../../lib/log.ts';
import { RepeatedLines } from '../../lib/repeated-lines.ts';
import type { Message } from '../core/types.ts';
import type { ClusterFormation } from '../form-cluster.ts';
import type { SnapshotFiles } from '../snapshots/snapshot-files.ts';
import type { SnapshotReceiver } from '../snapshots/snapshot-receiver.ts';
import { isStorageError, type StorageError } from '../storage-error.ts';
import type { GrpcTransport } from './grpc-transport.ts';
import { messageFromWire } from './wire.ts';

export interface RaftServiceMember {
  readonly transport: GrpcTransport;
  readonly snapshots: SnapshotFiles;
  /** A snapshot from another node cannot be kept; the node goes on without it. */
  readonly onUnwritable: (error: StorageError) => void;
}

type SnapshotCall = grpc.ServerDuplexStream<SnapshotChunk, SnapshotProgress>;

export class RaftPeerService {
  readonly definition = definition;
  readonly handlers: {
    readonly messages: grpc.handleBidiStreamingCall<Frame, FrameReply>;
    readonly installSnapshot: grpc.handleBidiStreamingCall<SnapshotChunk, SnapshotProgress>;
    readonly bootstrap: grpc.handleUnaryCall<BootstrapRequest, BootstrapReply>;
    readonly join: grpc.handleUnaryCall<JoinRequest, JoinReply>;
  };
  readonly #formation: ClusterFormation;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #lines: RepeatedLines;
  #member: RaftServiceMember | null = null;

  constructor(options: {
    formation: ClusterFormation;
    join: grpc.handleUnaryCall<JoinRequest, JoinReply>;
    log: Log;
    /** Default: the system's. */
    clock?: Clock;
  }) {
    this.#formation = options.formation;
    this.#log = options.log;
    this.#clock = options.clock ?? systemClock;
    this.#lines = new RepeatedLines({
      clock: this.#clock,
      intervalMs: limits.repeatedLineMs,
      kindsKept: limits.repeatedLineKinds,
    });
    this.handlers = {
      messages: (call) => {
        if (this.#member === null) refuse(call, 'this node is not part of a cluster yet');
        else this.#member.transport.accept(call);
      },
      installSnapshot: (call) => {
        if (this.#member === null) refuse(call, 'this node is not part of a cluster yet');
        else void this.#receiveSnapshot(call, this.#member);
      },
      bootstrap: (call, callback) => callback(null, this.#formation.answer(call.request)),
      join: options.join,
    };
  }

  /** From now on peers may speak to it. */
  join(member: RaftServiceMember): void {
    this.#member = member;
  }

  async #receiveSnapshot(call: SnapshotCall, member: RaftServiceMember): Promise<void> {
    call.on('error', (error) => this.#log.debug({ error: messageOf(error) }, 'snapshot stream failed'));
    try {
      const message = await receive(call, member, this.#clock);
      // The core is told only now: the file that its message speaks of is verified and durable.
      member.transport.deliver(message);
      call.write({ next_offset: 0, installed: true });
      call.end();
    } catch (error) {
      this.#lines.write(messageOf(error), (heldBack) =>
        this.#log.warn({ error: messageOf(error), heldBack }, 'receiving a snapshot failed'),
      );
      if (isStorageError(error, 'snapshot_unwritable')) {
        member.transport.count(error.kind);
        member.onUnwritable(error);
      }
      call.emit('error', { code: statusOf(error), details: messageOf(error) });
    }
  }
}

/** Chunk by chunk, at the pace of the disk; resolves with the sender's message. @throws JarvisError, StorageError */
async function receive(call: SnapshotCall, member: RaftServiceMember, clock: Clock): Promise<Message> {
  let receiver: SnapshotReceiver | null = null;
  let message: Message | null = null;
  // Leaving the loop must not end the call: the sender still waits for the word that the file is installed.
  const chunks: AsyncIterator<SnapshotChunk> = call.iterator({ destroyOnReturn: false });
  for (;;) {
    const { done, value: chunk } = await nextChunk(chunks, clock);
    if (done === true) break;
    if (receiver === null) {
      ({ receiver, message } = await begin(chunk.header, member));
    } else {
      await receiver.write(chunk.offset, chunk.data);
    }
    call.write({ next_offset: receiver.nextOffset, installed: false });
    if (receiver.isComplete) break;
  }
  if (receiver === null || message === null || !receiver.isComplete) {
    throw new JarvisError('unavailable', 'the sender ended the stream before the snapshot was whole');
  }
  await finish(call, receiver, clock);
  return message;
}

/** Reading gigabytes again takes longer than the sender waits for a word. */
async function finish(call: SnapshotCall, receiver: SnapshotReceiver, clock: Clock): Promise<void> {
  const over = new AbortController();
  const saying = sayAlive(call, receiver.nextOffset, clock, over.signal);
  try {
    await receiver.finish();
  } finally {
    over.abort();
    await saying;
  }
}

async function sayAlive(
  call: SnapshotCall,
  offset: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const endMs = clock.monotonicMs() + limits.snapshotVerifyMs;
  while (clock.monotonicMs() < endMs) {
    await pause(clock, limits.snapshotAliveMs, signal);
    if (signal.aborted || call.cancelled) return;
    call.write({ next_offset: offset, installed: false });
  }
}

/**
 * A sender that falls silent, and whose connection stays, must not hold the call and the file for ever. What came of it is
 * kept: it, or another that sends the same, begins there.
 */
async function nextChunk(
  chunks: AsyncIterator<SnapshotChunk>,
  clock: Clock,
): Promise<IteratorResult<SnapshotChunk>> {
  const { promise: stalled, reject } = Promise.withResolvers<never>();
  const cancel = clock.after(limits.snapshotStallMs, () =>
    reject(new JarvisError('timeout', `nothing came of a snapshot for ${limits.snapshotStallMs} ms`)),
  );
  try {
    return await Promise.race([chunks.next(), stalled]);
  } finally {
    cancel();
  }
}

async function begin(
  header: SnapshotHeader | undefined,
  member: RaftServiceMember,
): Promise<{ receiver: SnapshotReceiver; message: Message }> {
  if (header?.hello === undefined || header.message === undefined) {
    throw new JarvisError('malformed', 'a snapshot begins with its header');
  }
  const reply = await member.transport.admit(header.hello);
  if (!reply.accepted) throw new JarvisError('forbidden', `${reply.code}: ${reply.message}`);
  const message = messageFromWire(header.message);
  if (message.snapshot === null || message.type !== 'snap' || message.from !== header.hello.raft_id) {
    throw new JarvisError('malformed', 'the header of a snapshot carries another message');
  }
  const receiver = await member.snapshots.receive({
    meta: message.snapshot,
    fileBytes: header.file_bytes,
    sender: header.hello.incarnation,
  });
  return { receiver, message };
}

function statusOf(error: unknown): grpc.status {
  if (isStorageError(error, 'snapshot_unwritable')) return grpc.status.RESOURCE_EXHAUSTED;
  if (isStorageError(error, 'snapshot_corrupt')) return grpc.status.DATA_LOSS;
  return error instanceof JarvisError ? grpc.status.FAILED_PRECONDITION : grpc.status.INTERNAL;
}

function refuse(call: { emit(event: 'error', status: object): boolean }, why: string): void {
  call.emit('error', { code: grpc.status.UNAVAILABLE, details: why });
}
