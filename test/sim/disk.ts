/**
 * What one node's disk holds: the files of its log (simulated sector by sector), its snapshot files (each whole or not
 * there), how often it was started; and beside it, out of the node's reach, what it has promised so far.
 */
import type { HardState, SnapshotMeta } from '../../src/raft/core/types.ts';
import { DataDirectory } from '../../src/raft/data-directory.ts';
import type { LogIdentity } from '../../src/raft/wal/segment-header.ts';
import { SimulatedLogFiles } from '../../src/raft/wal/simulated-log-files.test-kit.ts';
import { DurableLog, type LogJob } from './durable-log.ts';
import type { Image } from './replica.ts';

export const LOG_DIRECTORY = '/log';
const CLUSTER_ID = '6f1c2d3e-0000-4000-8000-000000000001';

export interface StoredSnapshot {
  readonly meta: SnapshotMeta;
  readonly image: Image;
  readonly origin: 'taken' | 'received';
}

/** One start of a process, as it is told in every hello. */
export interface Start {
  readonly counter: number;
  readonly startId: string;
}

/** What was done to the disk while the node was down, and so what must be noticed when it starts, or by its peers. */
export type Damage = 'none' | 'flipped' | 'logLost' | 'olderLog' | 'olderCopy';

export class Disk {
  readonly raftId: number;
  readonly identity: LogIdentity;
  files = new SimulatedLogFiles();
  /** Newest first. */
  snapshots: readonly StoredSnapshot[] = [];
  starts: Start = { counter: 0, startId: '' };
  peerStarts: Readonly<Record<string, Start>> = {};
  /** A log has been made. */
  established = false;
  damage: Damage = 'none';
  /** It must not take part any more, ever: the log is not to be trusted, or the disk is gone. */
  retired = false;

  // What only the simulator knows:
  /** What the log acknowledged. */
  log = new DurableLog();
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

  get newestTakenIndex(): number {
    return this.snapshots.find(({ origin }) => origin === 'taken')?.meta.index ?? 0;
  }

  /** Durable at once; where one of that index is there already, this one says the same. */
  addSnapshot(snapshot: StoredSnapshot): void {
    const others = this.snapshots.filter(({ meta }) => meta.index !== snapshot.meta.index);
    this.snapshots = [snapshot, ...others].sort((a, b) => b.meta.index - a.meta.index);
  }

  keepNewestSnapshots(count: number): void {
    this.snapshots = this.snapshots.slice(0, count);
  }

  /** Received, and not recorded by the log before a crash (`SnapshotFiles.discardUnrecorded`). */
  discardUnrecorded(baseIndex: number): void {
    this.snapshots = this.snapshots.filter(
      ({ meta, origin }) => origin === 'taken' || meta.index <= baseIndex,
    );
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
      lock: { release: () => {} },
    });
    const fault = directory.peerStartFault(incarnation, start.counter, start.startId);
    if (fault === null) this.peerStarts = { ...this.peerStarts, [incarnation]: start };
    return fault;
  }

  /** A copy of the directory as it is now. */
  clone(): Disk {
    const copy = new Disk(this.raftId);
    copy.files = this.files.clone();
    copy.snapshots = this.snapshots;
    copy.starts = this.starts;
    copy.peerStarts = this.peerStarts;
    copy.established = this.established;
    copy.log = this.log.copy();
    copy.promised = this.promised;
    return copy;
  }
}
