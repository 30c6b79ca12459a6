/** Everything of one run: machines, network, time, and what is known of all of them together. */
import { limits } from '../../src/lib/limits.ts';
import type { RaftConfig } from '../../src/raft/core/raft-core.ts';
import type { ConfState, Message, RaftId, SoftState } from '../../src/raft/core/types.ts';
import type { ClusterConfig } from '../../src/model/cluster.ts';
import { Chance } from './chance.ts';
import { Checks, decides } from './checks.ts';
import type { Disk, Start } from './disk.ts';
import { CORE_SETTINGS, Machine } from './machine.ts';
import type { Member } from './member.ts';
import { Network } from './network.ts';
import { Registers } from './registers.ts';
import type { Images } from './stored-snapshots.ts';
import { Trace, Violation } from './trace.ts';
import { VirtualTime } from './virtual-time.ts';

/** Chosen so that in the seeds of `failed-seeds.txt` no disk lies and no power cut is added: they run as they did before. */
const DISK_SEED = 0xd0f257d6;
const NODE_SEED = 0x5eed1ea5;
const SETTING_SEED = 0x7157a17e;
const WAIT_SEED = 0x3a17f0c5;
const DRAIN_SEED = 0x0d7a11ed;

/** What the cluster of a run with nodes is like. */
export interface NodeSettings {
  readonly config: ClusterConfig;
  /** Of each machine's clock, where it leads. */
  readonly leaderRates: readonly number[];
  /** Of the next machine that runs tasks. */
  readonly nodeRate: () => number;
  /** Leaders count too fast, nodes too slowly, and killing takes nearly as long as it may. */
  readonly isWorst: boolean;
}

/** Off by one per cent, mostly: that is what leases have to bear. */
function drawRate(chance: Chance): number {
  return chance.happens(0.7) ? (chance.pick([0.99, 1.01]) ?? 1) : chance.between(0.99, 1.01);
}

function drawNodeSettings(chance: Chance): NodeSettings {
  const usualMs = chance.pick([1500, 2500, 4000]) ?? 2500;
  const isWorst = chance.happens(0.3);
  // One per cent of it is what a commit and a start take together, or more: less would not show.
  const timeoutMs = isWorst ? 6000 : usualMs;
  const heartbeat = { intervalMs: timeoutMs / 10, warningMs: timeoutMs / 2, timeoutMs };
  const leaderRates = Array.from({ length: 8 }, () => (isWorst ? 1.01 : drawRate(chance)));
  return { config: { heartbeat }, isWorst, leaderRates, nodeRate: () => (isWorst ? 0.99 : drawRate(chance)) };
}

export class World {
  readonly time = new VirtualTime();
  readonly trace = new Trace();
  readonly chance: Chance;
  /** For what disks make of names and of syncs: what is drawn here moves nothing else. */
  readonly diskChance: Chance;
  readonly network: Network;
  readonly machines: readonly Machine[];
  readonly founding: ConfState;
  readonly checks: Checks;
  readonly registers = new Registers();
  readonly images: Images = new Map();
  readonly tickMs = limits.tickMs;
  readonly snapshotEntries: number;
  /** Leaders read by lease; then clocks drift no more than leases assume. */
  readonly leaseReads: boolean;
  /** Every disk that there ever was, by the Raft id of its node: ids are never reused. */
  readonly #disks = new Map<RaftId, Disk>();
  #nextRaftId: number;
  /** In which term and where a change of membership was proposed whose fate is open. */
  changeInDoubt = false;
  #jointTerm = 0;
  /** The nemesis waits for some moments. */
  onRole: (member: Member, soft: SoftState) => void = () => {};
  /** The power fails now and then while files beside the log are written; who then starts the machine again. */
  cutsPower = false;
  onPowerCut: (machine: Machine) => void = () => {};
  /** What broke outside any event's own call. */
  violation: Error | null = null;

  /** Leaders watch nodes, and serve their workers: `nodes/`. */
  readonly hasNodes: boolean;
  /** For all that has to do with nodes. */
  readonly nodeChance: Chance;
  /** Of tasks that `wait`. */
  readonly waitChance: Chance;
  readonly nodeSettings: NodeSettings;
  /** For changed timeouts and planned restarts: runs without them stay what they were. */
  readonly settingChance: Chance;
  /** For drains: the same. */
  readonly drainChance: Chance;
  onEnded: (member: Member) => void = () => {};
  /** A leader takes a node for gone. */
  onOffline: (member: Member, node: string) => void = () => {};

  constructor(seed: number, { hasNodes = false }: { readonly hasNodes?: boolean } = {}) {
    this.hasNodes = hasNodes;
    this.nodeChance = new Chance((seed ^ NODE_SEED) >>> 0);
    this.waitChance = new Chance((seed ^ WAIT_SEED) >>> 0);
    this.nodeSettings = drawNodeSettings(this.nodeChance);
    this.settingChance = new Chance((seed ^ SETTING_SEED) >>> 0);
    this.drainChance = new Chance((seed ^ DRAIN_SEED) >>> 0);
    this.chance = new Chance(seed);
    this.diskChance = new Chance((seed ^ DISK_SEED) >>> 0);
    const { chance } = this;
    const voters = chance.happens(0.6) ? 3 : 5;
    this.leaseReads = chance.happens(0.3);
    const size = voters + 1 + chance.whole(2);
    this.#nextRaftId = size + 1;
    this.snapshotEntries = chance.pick([20, 40, 80, 200]) ?? 50;
    this.founding = {
      voters: Array.from({ length: voters }, (_, at) => at + 1),
      votersOutgoing: [],
      learners: [],
      learnersNext: [],
      autoLeave: false,
    };
    this.network = new Network({ size, time: this.time, chance: chance.fork(), trace: this.trace });
    this.machines = Array.from({ length: size }, (_, slot) => new Machine(this, slot, slot + 1));
    for (const { disk } of this.machines) this.#disks.set(disk.raftId, disk);
    this.checks = new Checks(
      this.founding,
      () => this.members,
      (id) => this.diskOf(id),
    );
  }

  get members(): readonly Member[] {
    return this.machines.flatMap(({ member }) => member ?? []);
  }

  /** Of those that believe to lead the one of the latest term. */
  get leader(): Member | undefined {
    return this.members
      .filter((member) => member.isLeading)
      .sort((a, b) => b.core.status().term - a.core.status().term)[0];
  }

  diskOf(id: RaftId): Disk | undefined {
    return this.#disks.get(id);
  }

  machineOf(id: RaftId): Machine | undefined {
    return this.machines.find(({ disk }) => disk.raftId === id);
  }

  /** Has a disk that may take part. */
  isHealthy(id: RaftId): boolean {
    const machine = this.machineOf(id);
    return machine !== undefined && machine.isHealthy && machine.disk.damage === 'none';
  }

  /** Configurations by which somebody may still count: the newest, and what members have in force. */
  configurations(): readonly ConfState[] {
    return [this.checks.configuration.confState, ...this.members.map(({ core }) => core.confState)];
  }

  /** Whether the cluster can do without this disk for ever. */
  maySpare(machine: Machine): boolean {
    if (this.changeInDoubt) return false;
    return this.configurations().every((confState) =>
      decides(confState, (id) => id !== machine.disk.raftId && this.isHealthy(id)),
    );
  }

  coreConfig(id: RaftId): RaftConfig {
    return { id, random: this.chance.fork().random, ...CORE_SETTINGS, keepsLeases: this.leaseReads };
  }

  newDisk(machine: Machine): void {
    machine.replaceDisk(this.#nextRaftId);
    this.#disks.set(this.#nextRaftId, machine.disk);
    this.#nextRaftId += 1;
  }

  /** A copy takes the directory's place; what the id has acknowledged is still what the directory acknowledged. */
  restoreDisk(machine: Machine, copy: Disk): void {
    machine.disk = copy;
  }

  send(from: Member, message: Message): void {
    const target = this.machineOf(message.to);
    const { network, trace, time, chance } = this;
    if (target === undefined) return;
    trace.note(time.nowMs, message.type, message.from, message.to, message.term, message.index);
    const isCarried = network.carry(from.machine.slot, target.slot, () => this.#arrive(from, message));
    if (isCarried && target.member !== null) return;
    // The transport notices now and then that what it sent went nowhere.
    if (chance.happens(0.1))
      from.later(chance.between(1, 50), () => from.input(() => from.core.reportUnreachable(message.to)));
  }

  /** @param received tells the sender, when the message has been taken in */
  sendSnapshot(from: Member, message: Message, bytes: Buffer, received: () => void): void {
    const target = this.machineOf(message.to);
    const meta = message.snapshot;
    if (target === undefined || meta === null) return;
    const back = (): void => {
      this.network.carry(target.slot, from.machine.slot, received);
    };
    this.trace.note(this.time.nowMs, 'snapshot', message.from, message.to, meta.index);
    this.network.carry(from.machine.slot, target.slot, async () => {
      const member = this.#receiver(from.disk, from.start, from.machine, message.to);
      if (member === null) return;
      const { disk, machine } = member;
      // One that is there already stays what it is: taken here, it may be relied on.
      const isKnown = disk.snapshots.some((one) => one.meta.index === meta.index);
      const receive = (): Promise<void> => disk.receiveSnapshot(meta, bytes, `${from.id}`);
      if (!isKnown && !(await machine.io(receive))) return;
      this.#deliver(member, message);
      back();
    });
  }

  roleChanged(member: Member, soft: SoftState): void {
    this.trace.note(this.time.nowMs, soft.role, member.id, soft.leader);
    this.onRole(member, soft);
    const { term: now } = member.core.status();
    if (soft.role === 'follower' && soft.leader === 0 && member.ledTerm === now)
      this.trace.count('leader deposed by check-quorum');
    member.ledTerm = soft.role === 'leader' ? now : 0;
    if (soft.role !== 'leader') return;
    this.trace.count('leader elected');
    const { term, confState } = member.core.status();
    if (confState.votersOutgoing.length > 0 && this.#jointTerm > 0 && term > this.#jointTerm) {
      this.trace.count('joint state survived a change of leader');
      this.#jointTerm = term;
    }
  }

  configured(member: Member, before: ConfState, after: ConfState): void {
    this.trace.note(this.time.nowMs, 'configuration', member.id, JSON.stringify(after));
    if (!member.isLeading) return;
    const joined = after.votersOutgoing.length > 0;
    if (joined && before.votersOutgoing.length === 0) this.#jointTerm = member.core.status().term;
  }

  /** Not a fault: answers that overtake each other look like those of a peer that lost its log, and cost only time. */
  noticed(member: Member, notice: string): void {
    this.trace.note(this.time.nowMs, 'notice', member.id, notice);
    this.trace.count('peer taken to have lost entries');
  }

  /** Its peers see the streams of a process that ends being reset, where they are not cut off from it. */
  ended(machine: Machine, member: Member): void {
    this.onEnded(member);
    for (const peer of this.members) {
      if (!this.chance.happens(0.7)) continue;
      this.network.carry(machine.slot, peer.machine.slot, () => {
        peer.later(0, () => peer.input(() => peer.core.leaderStreamReset(member.id)));
      });
    }
  }

  #arrive(from: Member, message: Message): void {
    const member = this.#receiver(from.disk, from.start, from.machine, message.to);
    if (member !== null) this.#deliver(member, message);
  }

  #deliver(member: Member, message: Message): void {
    member.later(0, () => {
      const before = member.core.status();
      member.receive(message);
      if (!member.isAlive) return;
      const after = member.core.status();
      const { term, vote } = member.recovered;
      if (message.type === 'vote' && vote !== 0 && term === message.term)
        this.trace.count('vote kept over a restart');
      if (message.type === 'app' && after.lastIndex < before.lastIndex)
        this.trace.count('conflicting suffix truncated');
      if (message.type === 'timeoutNow' && before.role === 'follower')
        this.trace.count('leadership transferred');
    });
  }

  /** Who takes a message in: both ends have to accept each other's start first. */
  #receiver(disk: Disk, start: Start, machine: Machine, to: RaftId): Member | null {
    const target = this.machineOf(to);
    const member = target?.member ?? null;
    if (target === undefined || member === null || member.id !== to) return null;
    if (member.disk.peerStartFault(disk, start) !== null) {
      this.#refuse(machine, start);
      return null;
    }
    if (disk.peerStartFault(member.disk, member.start) !== null && machine.disk === disk) {
      this.#refuse(target, member.start);
      return null;
    }
    if (disk.damage === 'olderCopy' || member.disk.damage === 'olderCopy')
      throw new Violation(`an older copy of a data directory takes part, as node ${disk.raftId} or ${to}`);
    return member;
  }

  #refuse(machine: Machine, start: Start): void {
    const { member } = machine;
    if (member === null || member.start.startId !== start.startId) {
      this.trace.count('message of an ended process refused');
      return;
    }
    if (member.disk.damage !== 'olderCopy')
      throw new Violation(`node ${member.id} is taken for a copy of itself`);
    machine.retire('older copy refused by its peers');
  }
}
