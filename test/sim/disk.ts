/**
 * What one node's disk holds: the files of its log and its snapshots and the count of its starts, simulated sector by sector
 * and name by name; and beside it, out of the node's reach, what it has promised so far.
 */
import type { HardState, SnapshotMeta } from '../../src/raft/core/types.ts';
import { DataDirectory } from '../../src/raft/data-directory.ts';
import type { LogIdentity } from '../../src/raft/wal/segment-header.ts';
import { SimulatedLogFiles } from '../../src/raft/wal/simulated-log-files.test-kit.ts';
import { DurableLog, type LogJob } from './durable-log.ts';
import type { Lie } from './lies.ts';
import type { Image } from './replica.ts';
import { StoredSnapshots, type Images, type StoredSnapshot } from './stored-snapshots.ts';
import { Violation } from './trace.ts';

export const LOG_DIRECTORY = '/log';
const CLUSTER_ID = '6f1c2d3e-0000-4000-8000-000000000001';

/** One start of a process, as it is told in every hello. */
export interface Start {
  readonly counter: number;
  readonly startId: string;
}

/** A file system with the directories that a data directory makes before anything else. */
export function emptyFiles(): SimulatedLogFiles {
  const files = new SimulatedLogFiles();
  files.makeDirectory(LOG_DIRECTORY);
  files.syncDirectory('/');
  return files;
}

/** What was done to the disk while the node was down, and so what must be noticed when it starts, or by its peers. */
export type Damage = 'none' | 'flipped' | 'logLost' | 'olderLog' | 'olderCopy' | 'lied';

export class Disk {
  readonly raftId: number;
  readonly identity: LogIdentity;
  files = emptyFiles();
  #stored: StoredSnapshots | null = null;
  starts: Start = { counter: 0, startId: '' };
  peerStarts: Readonly<Record<string, Start>> = {};
  /** A log has been made. */
  established = false;
  damage: Damage = 'none';
  /** Its disk lies about syncs, or did until the power was cut and the log has not been read since. */
  lie: Lie | null = null;
  /** What it lied about was lost once: snapshots may be damaged. */
  hasLied = false;
  /** It must not take part any more, ever: the log is not to be trusted, or the disk is gone. */
  retired = false;

  // What only the simulator knows:
  /** What the log acknowledged. */
  log = new DurableLog();
  /** Indexes of the snapshots that were written and not deleted. */
  writtenSnapshots: readonly number[] = [];
  /** Handed to the log and not acknowledged when the node ended: it may be there, wholly, or not. */
  inDoubt: readonly LogJob[] = [];
  /** The highest term and the vote in it that others may rely on. */
  promised: Pick<HardState, 'term' | 'vote'> = { term: 0, vote: 0 };

  constructor(raftId: number) {
    this.raftId = raftId;
    this.identity = {
      clusterId: CLUSTER_ID,
      incarnation: `6f1c2d3e-0000-4000-9000-${String(raftId).padStart(12, '0')}`,
    };
  }

  /** What was lied about reaches the disk in the end; nothing came of it. */
  endLie(): void {
    this.lie = null;
    this.files.lies = () => false;
    this.files.writeBack();
  }

  /** Of the process that runs, or ran last. */
  get #snapshotFiles(): StoredSnapshots {
    if (this.#stored === null) throw new Violation(`node ${this.raftId} has not looked at its snapshots`);
    return this.#stored;
  }

  /** Newest first. */
  get snapshots(): readonly StoredSnapshot[] {
    return this.#stored?.all ?? [];
  }

  async openSnapshots(images: Images): Promise<void> {
    this.#stored = await StoredSnapshots.open({
      disk: this.files,
      clusterId: CLUSTER_ID,
      images,
      onDamaged: (error) => {
        if (!this.hasLied) throw new Violation(`a snapshot does not count: ${error.message}`);
      },
    });
    const lost = this.writtenSnapshots.find((index) =>
      this.snapshots.every(({ meta }) => meta.index !== index),
    );
    if (lost !== undefined && this.damage !== 'lied')
      throw new Violation(`node ${this.raftId} has lost its snapshot ${lost}`);
    this.#noteSnapshots();
  }

  /** What a log below it would have lost, by the product's rule. */
  mustReach(): Promise<number> {
    return this.#snapshotFiles.newestTakenIndex();
  }

  get newestTakenIndex(): number {
    return this.snapshots.find(({ origin }) => origin === 'taken')?.meta.index ?? 0;
  }

  /** Durable when it resolves, as all that follow. */
  async takeSnapshot(meta: SnapshotMeta, image: Image): Promise<void> {
    await this.#snapshotFiles.take(meta, image);
    this.#noteSnapshots();
  }

  async receiveSnapshot(meta: SnapshotMeta, bytes: Buffer, sender: string): Promise<void> {
    await this.#snapshotFiles.receive(meta, bytes, sender);
    this.#noteSnapshots();
  }

  async keepNewestSnapshots(count: number): Promise<void> {
    this.writtenSnapshots = [...new Set(this.writtenSnapshots)].slice(0, count);
    await this.#snapshotFiles.keepNewest(count);
  }

  /** Received, and not recorded by the log before a crash. */
  async discardUnrecorded(baseIndex: number): Promise<void> {
    this.writtenSnapshots = this.snapshots
      .filter(({ meta, origin }) => origin === 'taken' || meta.index <= baseIndex)
      .map(({ meta }) => meta.index);
    await this.#snapshotFiles.discardUnrecorded(baseIndex);
  }

  #noteSnapshots(): void {
    this.writtenSnapshots = this.snapshots.map(({ meta }) => meta.index);
  }

  /** The production rule for what a peer says of its start; see `DataDirectory`. */
  peerStartFault(peer: Disk, start: Start): string | null {
    const { incarnation } = peer.identity;
    const known = this.peerStarts[incarnation];
    if (known?.counter === start.counter && known.startId === start.startId) return null;
    const directory = new DataDirectory({
      machineId: '',
      paths: { root: '', log: '', snapshots: '', state: '', tasks: '' },
      identity: {
        format: 1,
        name: 'n',
        incarnation: this.identity.incarnation,
        machineId: '',
        cluster: null,
        established: true,
        condemned: null,
        successor: null,
        formerStores: null,
      },
      starts: { format: 1, ...this.starts, peers: { ...this.peerStarts } },
      lostStores: [],
      lock: { write: () => {}, release: () => {} },
    });
    const fault = directory.peerStartFault(incarnation, start.counter, start.startId);
    if (fault === null) this.peerStarts = { ...this.peerStarts, [incarnation]: start };
    return fault;
  }

  /** A copy of the directory as it is now. */
  clone(): Disk {
    const copy = new Disk(this.raftId);
    copy.files = this.files.clone();
    copy.writtenSnapshots = this.writtenSnapshots;
    copy.#stored = this.#stored;
    copy.starts = this.starts;
    copy.peerStarts = this.peerStarts;
    copy.established = this.established;
    copy.log = this.log.copy();
    copy.promised = this.promised;
    return copy;
  }
}
