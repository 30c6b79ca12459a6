/** One computer: a disk, a clock that drifts, and at times a process. */
import { limits } from '../../src/lib/limits.ts';
import { RaftCore } from '../../src/raft/core/raft-core.ts';
import type { SnapshotMeta } from '../../src/raft/core/types.ts';
import { SimulatedFiles } from '../../src/raft/simulated-files.test-kit.ts';
import { countStart } from '../../src/raft/starts.ts';
import { isStorageError } from '../../src/raft/storage-error.ts';
import type { WalRecovery } from '../../src/raft/wal/recovery.ts';
import { Wal } from '../../src/raft/wal/wal.ts';
import { Disk, LOG_DIRECTORY } from './disk.ts';
import { DurableLog } from './durable-log.ts';
import { fateOf, mayUncover } from './lies.ts';
import { Member } from './member.ts';
import { Replica } from './replica.ts';
import { Violation } from './trace.ts';
import type { World } from './world.ts';

/** Small, so that a run goes through many of them. */
const SEGMENT_BYTES = 12 * 1024;

const SHARE_OF_CUTS = 0.015;
const MOST_OPERATIONS = 12;

export class Machine {
  readonly slot: number;
  readonly #world: World;
  disk: Disk;
  member: Member | null = null;
  /** Of its clock against the others'. */
  readonly drift: number;
  slowDiskUntilMs = 0;
  /** Ends when its process next asks for votes, or leads: with much that it said and its disk does not have yet. */
  isAmbushed = false;
  /** A copy of the directory, taken while its process ran. */
  copy: Disk | null = null;
  /** Its ticket: a start that is planned and no longer wanted does nothing. */
  startTicket = 0;

  constructor(world: World, slot: number, raftId: number) {
    this.#world = world;
    this.slot = slot;
    this.disk = new Disk(raftId);
    this.drift = world.leaseReads ? world.chance.between(0.995, 1.005) : world.chance.between(0.9, 1.1);
  }

  get isHealthy(): boolean {
    return !this.disk.retired;
  }

  writeMs(): number {
    const { chance, time } = this.#world;
    const usual = chance.between(0.2, chance.happens(0.05) ? 30 : 3);
    return time.nowMs < this.slowDiskUntilMs ? usual + chance.between(50, 700) : usual;
  }

  applyMs(): number {
    const { chance } = this.#world;
    return chance.happens(0.03) ? chance.between(0, 300) : chance.between(0.05, 2);
  }

  /** Starts a process, where the disk still permits one. */
  async start(): Promise<void> {
    const { disk } = this;
    if (this.member !== null || disk.retired) return;
    const world = this.#world;
    const startId = `${disk.raftId}.${world.chance.whole(2 ** 30)}`;
    const { damage } = disk;
    const opened = await this.#open(startId);
    if (opened === null) return;
    const { wal, recovery } = opened;
    disk.established = true;
    const first = recovery.snapshot?.index ?? 0;
    if (!(await this.io(() => disk.discardUnrecorded(first)))) return;
    const file = disk.snapshots.find(({ meta }) => meta.index >= first);
    if (file === undefined && first > 0) {
      disk.damage = damage;
      this.#judgeRefusal(`the log begins behind ${first}, and no snapshot reaches it`);
      return;
    }
    const replica = new Replica(file?.image ?? null);
    const snapshot: SnapshotMeta = recovery.snapshot ?? { index: 0, term: 0, confState: world.founding };
    const { hardState, entries } = recovery;
    const core = new RaftCore(world.coreConfig(disk.raftId), {
      hardState,
      snapshot,
      entries,
      applied: replica.appliedIndex,
    });
    this.member = new Member({ world, machine: this, disk, wal, core, replica });
    world.trace.note(world.time.nowMs, 'start', disk.raftId, hardState.term, core.status().lastIndex);
  }

  /** The process ends at once, as by SIGKILL, or with the power. */
  async crash(powerFails: boolean): Promise<void> {
    const { member, disk } = this;
    if (member === null) return;
    const { trace, time } = this.#world;
    trace.note(time.nowMs, powerFails ? 'power cut' : 'kill', disk.raftId);
    if (member.log.isBusy)
      trace.count(powerFails ? 'power cut during a write' : 'process killed during a write');
    if (member.isInstalling) trace.count('crash during an install');
    this.#end(member);
    disk.inDoubt = await member.log.abandon();
    if (powerFails) this.#cutPower();
    this.#retireCopy();
  }

  /** The disk fails the write that is under way, and the node must end by itself. @returns whether there was one */
  async failDisk(code: 'ENOSPC' | 'EIO'): Promise<boolean> {
    const { member, disk } = this;
    if (member === null || !member.log.isBusy) return false;
    const { trace, time } = this.#world;
    trace.note(time.nowMs, 'disk fails', disk.raftId, code);
    await member.log.fail(code);
    this.#end(member);
    disk.inDoubt = await member.log.abandon();
    trace.count('disk failed and the node ended');
    return true;
  }

  /** The disk is gone; the machine comes back as somebody else. */
  replaceDisk(raftId: number): void {
    this.disk.retired = true;
    this.disk = new Disk(raftId);
    this.copy = null;
  }

  retire(counter: Parameters<World['trace']['count']>[0]): void {
    this.#world.trace.count(counter);
    this.#world.trace.note(this.#world.time.nowMs, counter, this.disk.raftId);
    this.disk.retired = true;
    if (this.member !== null) this.#end(this.member);
  }

  /**
   * File operations beside those of the log. Now and then the power fails at one of them, or right after the last.
   * @returns whether it did not: else the process is gone
   */
  async io(action: () => Promise<void>): Promise<boolean> {
    const { diskChance, cutsPower, trace, onPowerCut } = this.#world;
    if (!cutsPower || !diskChance.happens(SHARE_OF_CUTS)) {
      await action();
      return true;
    }
    const { files } = this.disk;
    let left = diskChance.whole(MOST_OPERATIONS);
    files.onOperation = (operation) => {
      if (operation === 'close') return;
      left -= 1;
      if (left < 0) throw new Error('the power has failed');
    };
    try {
      await action();
    } catch (error) {
      // What a process makes of it that is gone does not matter.
      if (left >= 0 || error instanceof Violation) throw error;
    }
    files.onOperation = () => {};
    trace.count('power cut beside the log');
    if (this.member === null) {
      this.#cutPower();
      this.#retireCopy();
    } else await this.crash(true);
    onPowerCut(this);
    return false;
  }

  #cutPower(): void {
    const { chance, diskChance, trace } = this.#world;
    const { disk } = this;
    if (disk.lie !== null && disk.damage !== 'lied' && !mayUncover(this.#world, this, disk.lie)) {
      disk.endLie();
      trace.count('lying disk wrote back in time');
    }
    const { lie } = disk;
    const names = diskChance.random;
    const lied = lie === null ? {} : { fateOf: (path: string) => fateOf(lie, path) };
    const lost = disk.files.powerCut(chance.random, { names, ...lied });
    disk.files.lies = () => false;
    if (lie !== null) {
      disk.damage = 'lied';
      disk.hasLied = true;
    }
    if (lost.made > 0) trace.count('name of a file lost');
    if (lost.renamed > 0) trace.count('file renamed back');
    if (lost.removed > 0) trace.count('removed file back again');
  }

  /** Another start would count further than any that its peers have heard of: docs/simulation.md. */
  #retireCopy(): void {
    if (this.disk.damage === 'olderCopy') this.disk.retired = true;
  }

  #end(member: Member): void {
    this.member = null;
    member.end();
    this.#world.ended(this, member);
  }

  /** @returns null where the log is not to be trusted, which must have a reason */
  async #open(startId: string): Promise<{ wal: Wal; recovery: WalRecovery } | null> {
    const { disk } = this;
    const { files, identity } = disk;
    const world = this.#world;
    try {
      const count = async (): Promise<void> => {
        const start = { isMember: disk.established, startId };
        const { counter } = await countStart('/', start, new SimulatedFiles(files));
        disk.starts = { counter, startId };
      };
      const look = (): Promise<void> => disk.openSnapshots(world.images);
      if (!(await this.io(count)) || !(await this.io(look))) return null;
      const opened = await Wal.open(LOG_DIRECTORY, identity, {
        create: !disk.established,
        segmentBytes: SEGMENT_BYTES,
        mustReach: await disk.mustReach(),
        files,
      });
      this.#judgeRecovery(opened.recovery);
      return opened;
    } catch (error) {
      if (!isStorageError(error)) throw error;
      this.#judgeRefusal(error.message);
      return null;
    }
  }

  #judgeRefusal(message: string): void {
    switch (this.disk.damage) {
      case 'flipped':
        this.retire('damage in the log noticed');
        break;
      case 'logLost':
        this.retire('lost log noticed');
        break;
      case 'olderLog':
        this.retire('log older than the state refused');
        break;
      case 'lied':
        this.disk.lie = null;
        this.retire('lie of a disk uncovered');
        break;
      default:
        throw new Violation(`node ${this.disk.raftId} refuses a log that nothing was done to: ${message}`);
    }
  }

  /** The log holds exactly what it acknowledged, and of what was under way at the end all or nothing. */
  #judgeRecovery(recovery: WalRecovery): void {
    const { disk } = this;
    const { trace } = this.#world;
    const withDoubt = disk.log.copy();
    for (const job of disk.inDoubt) withDoubt.apply(job);
    const missing = disk.log.differenceTo(recovery);
    const more = withDoubt.differenceTo(recovery);
    const isLost = missing !== null && more !== null;
    if (disk.damage === 'lied') this.#judgeLie(recovery, isLost);
    else if (isLost)
      throw new Violation(
        `the log of node ${disk.raftId} (${disk.damage}) lost something durable: ${missing}`,
      );
    const { promised } = disk;
    const { term, vote } = recovery.hardState;
    if (term < promised.term || (term === promised.term && promised.vote !== 0 && vote !== promised.vote))
      throw new Violation(`node ${disk.raftId} forgot its vote of term ${promised.term}`);
    if (more === null && missing !== null) trace.count('unacknowledged write survived');
    if (recovery.repaired !== null) trace.count('torn tail cut off');
    if (disk.damage === 'flipped') trace.count('damage where nothing was needed');
    if (more === null) disk.log = withDoubt;
    disk.inDoubt = [];
    if (disk.damage !== 'olderCopy') disk.damage = 'none';
  }

  /** Of a log that opens after its disk lied: what the watermark tells of is there, and without it nobody can know. */
  #judgeLie(recovery: WalRecovery, isLost: boolean): void {
    const { disk } = this;
    const { trace } = this.#world;
    if (isLost && disk.lie?.scope !== 'everything')
      throw new Violation(`the log of node ${disk.raftId} lost what its watermark tells of, and opens`);
    trace.count(isLost ? 'lie of a disk not noticed' : 'lie of a disk that cost nothing');
    if (isLost) disk.log = DurableLog.of(recovery);
    disk.lie = null;
  }
}

/** As the product has them, but for sizes, which are small so that their limits are met. */
export const CORE_SETTINGS = {
  electionTicks: limits.electionTicks,
  heartbeatTicks: limits.heartbeatTicks,
  maxInflightMessages: 6,
  maxInflightBytes: 3000,
  maxMessageBytes: 600,
  maxUncommittedBytes: 1500,
  maxCommittedBytesPerReady: 800,
  preVote: true,
  breaksTies: true,
  checkQuorum: true,
  stepDownOnRemoval: true,
} as const;
