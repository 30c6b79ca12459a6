/** Members that speak over real gRPC on loopback: transport and service, with ears in place of a Raft node. */
import { EventEmitter, once } from 'node:events';

import * as grpc from '@grpc/grpc-js';

import { RaftService } from '../../generated/raft.ts';
import { systemClock, type Clock } from '../../lib/clock.ts';
import { silentLog, type Log } from '../../lib/log.ts';
import type { Message, RaftId } from '../core/types.ts';
import { channelOptions, serverOptions } from '../../rpc/channel.ts';
import { ClusterFormation } from '../form-cluster.ts';
import type { Peer, TransportEvents } from '../ports.ts';
import type { StorageError } from '../storage-error.ts';
import type { SnapshotFiles } from '../snapshots/snapshot-files.ts';
import { GrpcTransport, type RecordStart } from '../transport/grpc-transport.ts';
import type { TransportIdentity } from '../transport/hello.ts';
import { RaftPeerService } from '../transport/raft-service.ts';

const DEADLINE_MS = 10_000;
export const CLUSTER_ID = '6f1c2d3e-0000-4000-8000-000000000001';

/** What a transport tells, in order; a test waits for what it wants to hear. */
class Ears implements TransportEvents {
  readonly messages: Message[] = [];
  readonly resets: RaftId[] = [];
  readonly unreachables: RaftId[] = [];
  isLeader = false;
  readonly #emitter = new EventEmitter();

  receive(message: Message): void {
    this.messages.push(message);
    this.#emitter.emit('heard');
  }

  streamReset(raftId: RaftId): void {
    this.resets.push(raftId);
    this.#emitter.emit('heard');
  }

  leads(): boolean {
    return this.isLeader;
  }

  unreachable(raftId: RaftId): void {
    this.unreachables.push(raftId);
    this.#emitter.emit('heard');
  }

  /** @throws after ten seconds */
  async until(condition: () => boolean): Promise<void> {
    const signal = AbortSignal.timeout(DEADLINE_MS);
    while (!condition()) await once(this.#emitter, 'heard', { signal });
  }
}

/** For what no event tells. @throws after ten seconds */
export async function eventually(condition: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + DEADLINE_MS;
  while (!condition()) {
    if (performance.now() > deadlineMs) throw new Error('the condition did not come true');
    await new Promise((resolve) => {
      setTimeout(resolve, 5);
    });
  }
}

export function message(from: RaftId, to: RaftId, fields: Partial<Message> = {}): Message {
  return {
    type: 'heartbeat',
    from,
    to,
    term: 1,
    logTerm: 0,
    index: 0,
    entries: [],
    commit: 0,
    vote: 0,
    reject: false,
    rejectHint: 0,
    snapshot: null,
    context: '',
    ...fields,
  };
}

export interface GrpcMemberOptions {
  readonly raftId: RaftId;
  readonly identity?: Partial<TransportIdentity>;
  readonly recordStart?: RecordStart;
  readonly snapshots?: SnapshotFiles;
  /** Default: the system's. */
  readonly clock?: Clock;
  readonly log?: Log;
  readonly snapshotBytesPerSecond?: number;
  /** Of an earlier one, to come back at its address. */
  readonly port?: number;
}

interface ServiceEvents {
  snapshotStream: () => void;
}

export class GrpcMember {
  readonly raftId: RaftId;
  readonly peer: Peer;
  readonly ears = new Ears();
  /** What it could not keep of the snapshots that it was sent. */
  readonly unwritable: StorageError[] = [];
  /** Codes with which it was refused, where they are to be believed. */
  readonly refused: string[] = [];
  readonly transport: GrpcTransport;
  readonly port: number;
  readonly #server: grpc.Server;
  readonly #service: ServiceEvents;

  private constructor(
    options: GrpcMemberOptions,
    parts: { server: grpc.Server; port: number; service: RaftPeerService; events: ServiceEvents },
  ) {
    const { raftId } = options;
    this.raftId = raftId;
    this.port = parts.port;
    this.#server = parts.server;
    this.#service = parts.events;
    this.peer = peerOf(raftId, parts.port);
    this.transport = new GrpcTransport({
      identity: {
        clusterId: CLUSTER_ID,
        name: this.peer.name,
        address: this.peer.address,
        raftId,
        incarnation: this.peer.incarnation,
        startCounter: 1,
        startId: `start-${raftId}`,
        ...options.identity,
      },
      recordStart: options.recordStart ?? (async () => {}),
      onRefused: (code) => this.refused.push(code),
      credentials: () => grpc.credentials.createInsecure(),
      channelOptions,
      clock: options.clock ?? systemClock,
      log: options.log ?? silentLog,
      ...(options.snapshotBytesPerSecond === undefined
        ? {}
        : { snapshotBytesPerSecond: options.snapshotBytesPerSecond }),
    });
    parts.service.join({
      transport: this.transport,
      snapshots: options.snapshots as SnapshotFiles,
      onUnwritable: (error) => this.unwritable.push(error),
    });
    this.transport.start(this.ears);
  }

  static async open(options: GrpcMemberOptions): Promise<GrpcMember> {
    const { raftId } = options;
    const service = new RaftPeerService({
      formation: formation(`n${raftId}`),
      join: () => undefined,
      log: silentLog,
      clock: options.clock ?? systemClock,
    });
    const server = new grpc.Server(serverOptions);
    const events: ServiceEvents = { snapshotStream: () => {} };
    const installSnapshot: typeof service.handlers.installSnapshot = (call) => {
      events.snapshotStream();
      service.handlers.installSnapshot(call);
    };
    server.addService(RaftService, { ...service.handlers, installSnapshot });
    const port = await new Promise<number>((resolve, reject) => {
      const credentials = grpc.ServerCredentials.createInsecure();
      server.bindAsync(`127.0.0.1:${options.port ?? 0}`, credentials, (error, bound) => {
        if (error === null) resolve(bound);
        else reject(error);
      });
    });
    return new GrpcMember(options, { server, port, service, events });
  }

  /** Called when a snapshot begins to arrive. */
  onSnapshotStream(callback: () => void): void {
    this.#service.snapshotStream = callback;
  }

  /** As a process that is killed: connections break. */
  kill(): void {
    this.#server.forceShutdown();
    void this.transport.close();
  }

  async close(): Promise<void> {
    await this.transport.close();
    this.#server.forceShutdown();
  }
}

export function peerOf(raftId: RaftId, port: number): Peer {
  return { raftId, name: `n${raftId}`, incarnation: `incarnation-${raftId}`, address: `127.0.0.1:${port}` };
}

function formation(name: string): ClusterFormation {
  const self = { name, incarnation: `of ${name}`, peers: [], config: '{}' };
  return new ClusterFormation({ self, formed: null, log: silentLog });
}

/** Members that know each other and whose streams are established. */
export async function connect(...members: readonly GrpcMember[]): Promise<void> {
  const peers = members.map(({ peer }) => peer);
  for (const { transport } of members) transport.setPeers(peers, 0);
  for (const from of members) {
    for (const to of members) if (from !== to) await established(from, to);
  }
}

/** Resolves once something that `from` sends arrives at `to`. */
export async function established(from: GrpcMember, to: GrpcMember): Promise<void> {
  const context = `probe of ${from.raftId}`;
  await eventually(() => {
    from.transport.send([message(from.raftId, to.raftId, { context })]);
    return to.ears.messages.some((heard) => heard.context === context);
  });
  await eventually(() => {
    from.transport.send([message(from.raftId, to.raftId, { context: `${context}, last` })]);
    return to.ears.messages.some((heard) => heard.context === `${context}, last`);
  });
}
