/**
 * A new cluster from the one data directory that is left of an old one (docs/disaster.md). Everything is made beside what is
 * there, and takes its place at the end; what was there is kept.
 */
import { cp, mkdir, rm } from 'node:fs/promises';
import path from 'node:path';

import { systemClock } from '../../lib/clock.ts';
import { JarvisError } from '../../lib/errors.ts';
import { silentLog } from '../../lib/log.ts';
import { writeRecord } from '../../raft/directory-records.ts';
import {
  checkDataDirectory,
  openDataDirectory,
  takeLock,
  type ClusterRecord,
  type DataDirectory,
} from '../../raft/data-directory.ts';
import type { Peer, SnapshotFile } from '../../raft/ports.ts';
import { membershipFound } from '../../raft/recovered-membership.ts';
import { SnapshotFiles } from '../../raft/snapshots/snapshot-files.ts';
import { isStorageError } from '../../raft/storage-error.ts';
import type { WalRecovery } from '../../raft/wal/recovery.ts';
import { Wal } from '../../raft/wal/wal.ts';
import { openSchedulerMachine, type SchedulerMachine } from '../../store/scheduler-machine.ts';
import { newDigester } from '../recovery.ts';
import { writeBeginning } from './reform.ts';
import { findReady, IDENTITY, markReady, takePlace, WORK } from './take-place.ts';

export interface RecoverOptions {
  readonly dataDir: string;
  readonly name: string;
  /** host:port under which this node is reached; null: as before. */
  readonly advertise: string | null;
  /** Otherwise it is only said what would be done. */
  readonly isConfirmed: boolean;
  /** The log is damaged or gone, and is done without. */
  readonly fromState: boolean;
}

/** What is left, and what may be lost. */
export interface RecoveryReport {
  readonly clusterId: string;
  /** Null where the log is done without. */
  readonly log: {
    readonly lastIndex: number;
    readonly lastTerm: number;
    readonly commitIndex: number;
  } | null;
  readonly stateIndex: number;
  readonly members: readonly string[];
  /** Null where it was only looked. */
  readonly done: Done | null;
}

export interface Done {
  readonly clusterId: string;
  readonly epoch: number;
  readonly kept: string;
}

const NO_LOG: WalRecovery = {
  hardState: { term: 0, vote: 0, commit: 0 },
  snapshot: null,
  entries: [],
  repaired: null,
};

/**
 * @returns what an earlier recovery had made, where that has only now taken its place
 * @throws JarvisError conflict, invalid; StorageError of a directory that cannot be believed. Nothing is changed then.
 */
export async function recoverCluster(options: RecoverOptions): Promise<RecoveryReport | Done> {
  const root = path.resolve(options.dataDir);
  const finished = await finishEarlier(root);
  if (finished !== null) return finished;
  const identity = await checkDataDirectory(root, { name: options.name });
  if (identity?.withoutCopy !== undefined)
    throw new JarvisError(
      'conflict',
      `${root} is that of a node without a copy of the state: a cluster is recovered from what a member has`,
    );
  if (identity?.cluster === null || identity?.established !== true)
    throw new JarvisError('conflict', `${root} holds nothing of a cluster: there is nothing to recover`);
  const directory = await openDataDirectory(root, { name: options.name });
  try {
    const { cluster } = directory.identity;
    if (cluster === null) throw new JarvisError('conflict', `${root} belongs to no cluster`);
    return await recoverFrom(directory, cluster, options);
  } finally {
    await directory.close();
  }
}

/** With the lock alone: while it takes its place there may be no identity. */
async function finishEarlier(root: string): Promise<Done | null> {
  if ((await findReady(root)) === null) return null;
  const lock = await takeLock(root);
  try {
    const made = await findReady(root);
    if (made === null) return null;
    await takePlace(root, made);
    return { ...made, kept: path.join(root, made.kept) };
  } finally {
    lock.release();
  }
}

async function recoverFrom(
  directory: DataDirectory,
  cluster: ClusterRecord,
  options: RecoverOptions,
): Promise<RecoveryReport> {
  const { paths } = directory;
  const log = await logOf(directory, cluster, options.fromState);
  const snapshots = await SnapshotFiles.open(paths.snapshots, {
    clusterId: cluster.clusterId,
    epoch: cluster.epoch,
    newDigester,
    onDamaged: () => undefined,
  });
  const files = await snapshots.list();
  const work = path.join(paths.root, WORK);
  await rm(work, { recursive: true, force: true });
  await mkdir(work);
  try {
    // A copy: it takes what may never have been acknowledged, and opening it may change it; the original stays as it was.
    await cp(paths.state, path.join(work, 'state'), { recursive: true });
    const machine = await openCopy(path.join(work, 'state'), { snapshots, files }, log ?? NO_LOG);
    try {
      const [newest] = files;
      // One that was received, and that the log did not come to record.
      if (log === null && newest !== undefined && newest.meta.index > machine.appliedIndex)
        await machine.install(newest.meta, snapshots.rows(newest));
      const members = membersOf(cluster, files, log, machine.appliedIndex);
      const report = reportOf(cluster, log, machine.appliedIndex, members);
      if (!options.isConfirmed) return report;
      const done = await make(directory, { machine, log: log ?? NO_LOG, members }, options);
      return { ...report, done };
    } finally {
      await machine.close();
    }
  } finally {
    // Where it has taken its place there is nothing left.
    if ((await findReady(paths.root)) === null) await rm(work, { recursive: true, force: true });
  }
}

/** @returns null where it is to be done without, and has to be */
async function logOf(
  { paths, identity, lostStores }: DataDirectory,
  { clusterId }: ClusterRecord,
  fromState: boolean,
): Promise<WalRecovery | null> {
  const log = lostStores.includes('log')
    ? new JarvisError('conflict', `${paths.log} is gone: what is left is older than anybody can tell`)
    : await readLog(paths.log, { clusterId, incarnation: identity.incarnation });
  if (!(log instanceof JarvisError)) {
    if (!fromState) return log;
    throw new JarvisError(
      'conflict',
      `${paths.log} is whole: leave out --from-state, which would lose its end`,
    );
  }
  if (fromState) return null;
  const remedy =
    'with --from-state the new cluster is made of the state alone, and what only the log held is lost';
  throw new JarvisError(log.code, `${log.message}; ${remedy}`, { cause: log });
}

async function readLog(
  directory: string,
  identity: { readonly clusterId: string; readonly incarnation: string },
): Promise<WalRecovery | JarvisError> {
  try {
    const { wal, recovery } = await Wal.open(directory, identity, { create: false });
    await wal.close();
    return recovery;
  } catch (error) {
    if (isStorageError(error, 'log_corrupt') || isStorageError(error, 'log_missing')) return error;
    throw error;
  }
}

function reportOf(
  { clusterId }: ClusterRecord,
  log: WalRecovery | null,
  stateIndex: number,
  members: readonly Peer[],
): RecoveryReport {
  const last = log?.entries.at(-1) ?? log?.snapshot;
  return {
    clusterId,
    log:
      log === null
        ? null
        : { lastIndex: last?.index ?? 0, lastTerm: last?.term ?? 0, commitIndex: log.hardState.commit },
    stateIndex,
    members: members.map(({ name }) => name),
    done: null,
  };
}

/** As of the end of what is left: also a change that may never have been acknowledged. */
function membersOf(
  { founders }: ClusterRecord,
  files: readonly SnapshotFile[],
  log: WalRecovery | null,
  stateIndex: number,
): readonly Peer[] {
  const [newest] = files;
  const lastIndex = log?.entries.at(-1)?.index ?? log?.snapshot?.index ?? 0;
  if (log === null || lastIndex < (newest?.meta.index ?? 0)) return newest?.peers ?? founders;
  return membershipFound({ founders, files, log, applied: Math.max(lastIndex, stateIndex) }).peers;
}

async function make(
  directory: DataDirectory,
  from: { readonly machine: SchedulerMachine; readonly log: WalRecovery; readonly members: readonly Peer[] },
  options: RecoverOptions,
): Promise<Done> {
  const { paths, identity } = directory;
  const { machine, log, members } = from;
  const { incarnation } = identity;
  const work = path.join(paths.root, WORK);
  const address = options.advertise ?? members.find((member) => member.incarnation === incarnation)?.address;
  if (address === undefined)
    throw new JarvisError('invalid', 'advertise: is needed, the address of this node is not known');
  await applyAll(machine, log);
  const { record } = await writeBeginning({
    machine,
    target: work,
    self: { name: options.name, incarnation, address },
    term: Math.max(log.hardState.term, machine.appliedTerm) + 1,
  });
  await machine.close();
  await rm(path.join(work, 'state'), { recursive: true });
  await writeRecord(path.join(work, IDENTITY), { ...identity, cluster: record });
  const kept = `before-recover-${new Date(systemClock.wallMs()).toISOString().replaceAll(/[:.]/g, '-')}`;
  const { clusterId, epoch } = record;
  await markReady(paths.root, { kept, clusterId, epoch });
  await takePlace(paths.root, { kept });
  return { clusterId, epoch, kept: path.join(paths.root, kept) };
}

async function openCopy(
  directory: string,
  { snapshots, files }: { readonly snapshots: SnapshotFiles; readonly files: readonly SnapshotFile[] },
  log: WalRecovery,
): Promise<SchedulerMachine> {
  return await openSchedulerMachine({
    directory,
    isNew: false,
    snapshots: files.map((file) => ({
      index: file.meta.index,
      term: file.meta.term,
      rows: () => snapshots.rows(file),
    })),
    logFirstIndex: (log.snapshot?.index ?? 0) + 1,
    clock: systemClock,
    logger: silentLog,
    // Whoever applies hears of it, too.
    onFailure: () => undefined,
  });
}

/** Also what is not known to be committed: it may have been acknowledged, and nobody is left who knows. */
async function applyAll(machine: SchedulerMachine, { entries }: WalRecovery): Promise<void> {
  for (const entry of entries) {
    if (entry.index <= machine.appliedIndex) continue;
    if (entry.type === 'normal' && entry.data.byteLength > 0) await machine.apply([entry]);
    else machine.noteApplied(entry.index, entry.term);
  }
}
