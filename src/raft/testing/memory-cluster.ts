/** RaftNodes over stores and a network in memory, with time that passes only when it is told to. */
import { silentLog } from '../../lib/log.ts';
import { seededRandom } from '../../lib/random.ts';
import { VirtualClock } from '../../lib/testing/virtual-clock.ts';
import { limits } from '../../lib/limits.ts';
import type { SnapshotBounds } from '../applier.ts';
import { RaftCore } from '../core/raft-core.ts';
import type { Message, RaftId } from '../core/types.ts';
import { foundingMembership, replayMembership } from '../membership.ts';
import { RaftNode } from '../node.ts';
import type { Peer, Transport, TransportEvents } from '../ports.ts';
import { StorageError } from '../storage-error.ts';
import { LogDisk, MemoryLog, MemorySnapshots, MemoryState, turn } from './memory-stores.ts';

/** Turns of the event loop in one tick: room for a message to go to a peer's disk and back. */
const TURNS_PER_TICK = 12;
const UNTIL_TICKS = 2000;

class MemoryNetwork {
  readonly #transports = new Map<RaftId, MemoryTransport>();
  readonly #cut = new Set<RaftId>();
  /** Called before a snapshot is handed over; a transfer takes as long as that. */
  onSnapshot: (message: Message, signal: AbortSignal) => void | Promise<void> = () => {};
  /** Whether a message does not arrive. */
  loses: (message: Message) => boolean = () => false;

  attach(id: RaftId, snapshots: MemorySnapshots): MemoryTransport {
    const transport = new MemoryTransport(id, this, snapshots);
    this.#transports.set(id, transport);
    return transport;
  }

  /** Nothing reaches it and nothing comes from it. */
  cut(id: RaftId): void {
    this.#cut.add(id);
  }

  heal(): void {
    this.#cut.clear();
  }

  reaches(message: Message): MemoryTransport | null {
    if (this.#cut.has(message.from) || this.#cut.has(message.to)) return null;
    if (this.loses(message)) return null;
    const target = this.#transports.get(message.to);
    return target === undefined || target.events === null ? null : target;
  }
}

class MemoryTransport implements Transport {
  readonly #network: MemoryNetwork;
  readonly #snapshots: MemorySnapshots;
  readonly id: RaftId;
  events: TransportEvents | null = null;
  peers: readonly Peer[] = [];
  /** Everything that this node has said. */
  readonly sent: Message[] = [];

  constructor(id: RaftId, network: MemoryNetwork, snapshots: MemorySnapshots) {
    this.id = id;
    this.#network = network;
    this.#snapshots = snapshots;
  }

  start(events: TransportEvents): void {
    this.events = events;
  }

  setPeers(peers: readonly Peer[]): void {
    this.peers = peers;
  }

  send(messages: readonly Message[]): void {
    this.sent.push(...messages);
    setImmediate(() => {
      for (const message of messages) {
        const target = this.#network.reaches(message);
        if (target === null) this.events?.unreachable(message.to);
        else target.events?.receive(message);
      }
    });
  }

  async sendSnapshot(message: Message, file: string, signal: AbortSignal): Promise<void> {
    const isDamaged = this.#snapshots.damaged.has(file);
    const copyTo = this.#snapshots.open(file);
    await this.#network.onSnapshot(message, signal);
    await turn();
    const target = this.#network.reaches(message);
    if (target === null) throw new Error('unreachable');
    // The receiver finds that out.
    if (isDamaged) throw new StorageError('snapshot_corrupt', file, 'damaged');
    copyTo(target.#snapshots);
    target.events?.receive(message);
  }

  async close(): Promise<void> {
    this.events = null;
  }
}

export interface MemoryMember {
  readonly id: RaftId;
  readonly node: RaftNode;
  readonly core: RaftCore;
  readonly log: MemoryLog;
  readonly state: MemoryState;
  readonly snapshots: MemorySnapshots;
  readonly transport: MemoryTransport;
}

interface Stores {
  readonly disk: LogDisk;
  readonly state: MemoryState;
  readonly snapshots: MemorySnapshots;
}

function blank(): Stores {
  return { disk: new LogDisk(), state: new MemoryState(), snapshots: new MemorySnapshots() };
}

export class MemoryCluster {
  readonly clock = new VirtualClock();
  readonly network = new MemoryNetwork();
  readonly #members = new Map<RaftId, MemoryMember>();
  readonly #size: number;
  readonly #snapshotBounds: SnapshotBounds | undefined;

  constructor(options: { size: number; snapshotBounds?: SnapshotBounds }) {
    this.#size = options.size;
    this.#snapshotBounds = options.snapshotBounds;
    for (let id = 1; id <= options.size; id += 1) {
      this.#open(id, blank());
    }
  }

  /** A node that has joined and knows nothing yet. */
  join(id: RaftId): MemoryMember {
    const member = this.#open(id, blank());
    member.node.start();
    return member;
  }

  /** Its process is gone, and nothing of it is left. */
  async lose(id: RaftId): Promise<void> {
    this.network.cut(id);
    await this.member(id).node.stop();
    this.#members.delete(id);
  }

  member(id: RaftId): MemoryMember {
    const member = this.#members.get(id);
    if (member === undefined) throw new Error(`no member ${id}`);
    return member;
  }

  get members(): readonly MemoryMember[] {
    return [...this.#members.values()];
  }

  start(): void {
    for (const { node } of this.members) node.start();
  }

  /** Passes time until the condition holds. @throws where it does not in a bounded time */
  async until(condition: () => boolean, what = 'the condition'): Promise<void> {
    for (let tick = 0; tick < UNTIL_TICKS; tick += 1) {
      for (let count = 0; count < TURNS_PER_TICK; count += 1) {
        if (condition()) return;
        await turn();
      }
      await this.clock.advance(limits.tickMs);
    }
    throw new Error(`${what} did not come true`);
  }

  /** One tick. */
  async pass(): Promise<void> {
    for (let count = 0; count < TURNS_PER_TICK; count += 1) await turn();
    await this.clock.advance(limits.tickMs);
  }

  /** The member that leads and may be asked, once there is one. */
  async leader(): Promise<MemoryMember> {
    const leading = (): MemoryMember | undefined =>
      this.members.find(({ node }) => node.leadership().isLeader);
    await this.until(() => leading() !== undefined, 'a leader');
    const leader = leading();
    if (leader === undefined) throw new Error('the leader is gone again');
    return leader;
  }

  async propose(member: MemoryMember, text: string): Promise<unknown> {
    let result: { outcome: unknown } | { error: unknown } | null = null;
    member.node.propose(Buffer.from(text)).then(
      (outcome) => (result = { outcome }),
      (error: unknown) => (result = { error }),
    );
    await this.until(() => result !== null, 'an outcome');
    const settled = result as { outcome: unknown } | { error: unknown } | null;
    if (settled !== null && 'outcome' in settled) return settled.outcome;
    throw settled?.error;
  }

  /** As after a kill: a new node on what the disks of the old one hold. The old one must have been stopped. */
  restart(id: RaftId): MemoryMember {
    const { log, state, snapshots } = this.member(id);
    const member = this.#open(id, { disk: log.disk, state: state.reopened(), snapshots });
    member.node.start();
    return member;
  }

  async stop(): Promise<void> {
    for (const { node } of this.members) await node.stop();
  }

  #open(id: RaftId, stores: Stores): MemoryMember {
    const { disk, state, snapshots } = stores;
    const peers = Array.from({ length: this.#size }, (_, at) => ({
      raftId: at + 1,
      name: `n${at + 1}`,
      incarnation: `i${at + 1}`,
      address: `host${at + 1}:7101`,
    }));
    const founding = foundingMembership(peers);
    const core = new RaftCore(
      {
        id,
        electionTicks: limits.electionTicks,
        heartbeatTicks: limits.heartbeatTicks,
        random: seededRandom(id),
        maxInflightMessages: limits.inflightMessages,
        maxInflightBytes: limits.inflightBytes,
        maxMessageBytes: limits.messageBytes,
        maxUncommittedBytes: limits.uncommittedBytes,
        maxCommittedBytesPerReady: limits.committedBytesPerReady,
        preVote: true,
        breaksTies: true,
        checkQuorum: true,
        stepDownOnRemoval: true,
      },
      {
        hardState: disk.hardState,
        snapshot: disk.snapshot ?? { index: 0, term: 0, confState: founding.confState },
        entries: disk.entries,
        applied: state.appliedIndex,
      },
    );
    const file = snapshots.newestFirst.find(({ meta }) => meta.index <= state.appliedIndex);
    const log = new MemoryLog(disk);
    const transport = this.network.attach(id, snapshots);
    const node = new RaftNode({
      core,
      log,
      stateMachine: state,
      snapshots,
      transport,
      clock: this.clock,
      random: seededRandom(id),
      logger: silentLog,
      membership: replayMembership(
        file === undefined
          ? founding
          : { index: file.meta.index, confState: file.meta.confState, peers: file.peers },
        disk.entries,
        state.appliedIndex,
      ),
      ...(this.#snapshotBounds === undefined ? {} : { snapshotBounds: this.#snapshotBounds }),
    });
    const member = { id, node, core, log, state, snapshots, transport };
    this.#members.set(id, member);
    return member;
  }
}
