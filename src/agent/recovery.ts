/**
 * Brings a member back from its disk: log, snapshot files and state, each checked against the others, then a Raft node
 * that knows no less than it ever promised.
 */
import type { Clock } from '../lib/clock.ts';
import { limits } from '../lib/limits.ts';
import type { Log } from '../lib/log.ts';
import type { Random } from '../lib/random.ts';
import type { SnapshotBounds } from '../raft/applier.ts';
import { RaftCore } from '../raft/core/raft-core.ts';
import type { ClusterRecord, DataDirectory } from '../raft/data-directory.ts';
import { foundingMembership } from '../raft/membership.ts';
import { RaftNode } from '../raft/node.ts';
import type { Row, SnapshotFile } from '../raft/ports.ts';
import { recoveredMembership } from '../raft/recovered-membership.ts';
import { SnapshotFiles } from '../raft/snapshots/snapshot-files.ts';
import { StorageError } from '../raft/storage-error.ts';
import type { GrpcTransport } from '../raft/transport/grpc-transport.ts';
import type { WalRecovery } from '../raft/wal/recovery.ts';
import { Wal } from '../raft/wal/wal.ts';
import { hashRow, RowDigest } from '../store/digest.ts';
import { openSchedulerMachine, type SchedulerMachine } from '../store/scheduler-machine.ts';

export interface RecoveredMember {
  readonly raft: RaftNode;
  readonly machine: SchedulerMachine;
  readonly wal: Wal;
  readonly snapshots: SnapshotFiles;
}

export interface RecoveryOptions {
  readonly directory: DataDirectory;
  readonly cluster: ClusterRecord;
  readonly transport: GrpcTransport;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** The state can be trusted no longer. */
  readonly onFailure: (error: unknown) => void;
  /** A snapshot file is damaged, and does not count; the node goes on. */
  readonly onDamaged?: (error: StorageError) => void;
  /** Told the duration of every sync of the log. */
  readonly onFsync?: (durationMs: number) => void;
  /** Default: every read asks a quorum. */
  readonly leaseReads?: boolean;
  /** Default: those of `limits`. */
  readonly snapshotBounds?: SnapshotBounds;
}

/**
 * Nothing takes part yet when it resolves: `raft.start()` does.
 * @throws StorageError, StoreDamagedError where what is left on disk cannot be trusted; nothing has been promised then
 */
export async function recoverMember(options: RecoveryOptions): Promise<RecoveredMember> {
  const { directory, cluster, log } = options;
  const { paths, identity } = directory;
  const isNew = !identity.established;
  if (directory.lostStores.includes('log')) {
    throw new StorageError(
      'store_lost',
      paths.log,
      'the log of this member is gone, and with it what it has voted and acknowledged: it cannot take part any more; ' +
        'remove its data directory, and let it join anew',
    );
  }
  const snapshots = await SnapshotFiles.open(paths.snapshots, {
    clusterId: cluster.clusterId,
    epoch: cluster.epoch,
    newDigester,
    onDamaged: (error) => {
      log.error({ error: error.message, path: error.path }, 'a snapshot file does not count');
      options.onDamaged?.(error);
    },
  });
  const { wal, recovery } = await Wal.open(
    paths.log,
    { clusterId: cluster.clusterId, incarnation: identity.incarnation },
    {
      create: isNew,
      mustReach: await snapshots.newestTakenIndex(),
      ...(options.onFsync === undefined ? {} : { onFsync: options.onFsync }),
    },
  );
  return await closingOnError(wal, async () => {
    if (recovery.repaired !== null) log.warn({ ...recovery.repaired }, 'cut off the torn tail of the log');
    await snapshots.discardUnrecorded(recovery.snapshot?.index ?? 0);
    const files = await snapshots.list();
    const machine = await openMachine(options, recovery, { files, snapshots, isNew });
    return await closingOnError(machine, async () => {
      checkReach(paths.log, recovery, machine.appliedIndex);
      const lacksSnapshot = !hasSnapshot(options, files, recovery);
      const membership = recoveredMembership({
        founders: cluster.founders,
        path: paths.log,
        log: recovery,
        files,
        applied: machine.appliedIndex,
      });
      const core = makeCore(options, recovery, machine.appliedIndex);
      await directory.establish();
      const raft = new RaftNode({
        core,
        log: wal,
        stateMachine: machine,
        snapshots,
        transport: options.transport,
        clock: options.clock,
        random: options.random,
        logger: log,
        membership,
        leaseReads: options.leaseReads === true,
        lacksSnapshot,
        ...(options.snapshotBounds === undefined ? {} : { snapshotBounds: options.snapshotBounds }),
      });
      return { raft, machine, wal, snapshots };
    });
  });
}

async function openMachine(
  { directory, clock, log, onFailure }: RecoveryOptions,
  recovery: WalRecovery,
  found: { files: readonly SnapshotFile[]; snapshots: SnapshotFiles; isNew: boolean },
): Promise<SchedulerMachine> {
  return await openSchedulerMachine({
    directory: directory.paths.state,
    isNew: found.isNew && recovery.entries.length === 0,
    snapshots: found.files.map((file) => ({
      index: file.meta.index,
      term: file.meta.term,
      rows: () => found.snapshots.rows(file),
    })),
    logFirstIndex: (recovery.snapshot?.index ?? 0) + 1,
    clock,
    logger: log,
    onFailure,
  });
}

/** What was opened is let go of where the rest fails: a process may try again. */
async function closingOnError<T>(opened: { close(): Promise<void> }, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/** Without one no follower that needs it can be helped, and a state that is lost as well cannot be rebuilt. */
function hasSnapshot(
  { directory, log, onDamaged }: RecoveryOptions,
  files: readonly SnapshotFile[],
  { snapshot: base }: WalRecovery,
): boolean {
  if (base === null || files.some(({ meta }) => meta.index >= base.index)) return true;
  const path = directory.paths.snapshots;
  const why = `no snapshot file is whole that reaches index ${base.index}, where the log begins; a new one is taken`;
  log.error({ path, baseIndex: base.index }, 'no snapshot file is whole that the log begins behind');
  onDamaged?.(new StorageError('store_lost', path, why));
  return false;
}

/** The state never holds what the log did not hold durably before (docs/storage.md): otherwise the log lost its end. */
function checkReach(path: string, recovery: WalRecovery, appliedIndex: number): void {
  const lastIndex = recovery.entries.at(-1)?.index ?? recovery.snapshot?.index ?? 0;
  if (appliedIndex <= lastIndex) return;
  throw new StorageError(
    'log_corrupt',
    path,
    `the log ends at index ${lastIndex}, below the state's ${appliedIndex}: it has lost what it once held`,
  );
}

function makeCore(options: RecoveryOptions, recovery: WalRecovery, applied: number): RaftCore {
  const { index, term, confState } = recovery.snapshot ?? {
    index: 0,
    term: 0,
    confState: foundingMembership(options.cluster.founders).confState,
  };
  return new RaftCore(
    {
      id: options.cluster.raftId,
      electionTicks: limits.electionTicks,
      heartbeatTicks: limits.heartbeatTicks,
      random: options.random,
      maxInflightMessages: limits.inflightMessages,
      maxInflightBytes: limits.inflightBytes,
      maxMessageBytes: limits.messageBytes,
      maxUncommittedBytes: limits.uncommittedBytes,
      maxCommittedBytesPerReady: limits.committedBytesPerReady,
      preVote: true,
      breaksTies: true,
      keepsLeases: options.leaseReads === true,
      checkQuorum: true,
      stepDownOnRemoval: true,
    },
    {
      hardState: recovery.hardState,
      snapshot: { index, term, confState },
      entries: recovery.entries,
      applied,
    },
  );
}

export function newDigester(): { add(row: Row): void; readonly rowCount: number; readonly digest: string } {
  const digest = new RowDigest();
  return {
    add: (row) => digest.add(hashRow(row.key, row.value)),
    get rowCount() {
      return digest.rowCount;
    },
    get digest() {
      return digest.digest;
    },
  };
}
