/**
 * A new cluster from the one data directory that is left of an old one (docs/disaster.md). Everything is made beside what is
 * there, and takes its place at the end; what was there is kept.
 */
import { cp, mkdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';

import { z } from 'zod';

import { systemClock } from '../../lib/clock.ts';
import { JarvisError } from '../../lib/errors.ts';
import { silentLog } from '../../lib/log.ts';
import { namesIn, readRecord, writeRecord } from '../../raft/directory-records.ts';
import { checkDataDirectory, openDataDirectory, type DataDirectory } from '../../raft/data-directory.ts';
import { makeDirectoryDurably, syncDirectory } from '../../raft/durable-file.ts';
import { SnapshotFiles } from '../../raft/snapshots/snapshot-files.ts';
import type { WalRecovery } from '../../raft/wal/recovery.ts';
import { Wal } from '../../raft/wal/wal.ts';
import { openSchedulerMachine, type SchedulerMachine } from '../../store/scheduler-machine.ts';
import { newDigester } from '../recovery.ts';
import { writeBeginning } from './reform.ts';

export interface RecoverOptions {
  readonly dataDir: string;
  readonly name: string;
  /** host:port under which this node is reached; null: as before. */
  readonly advertise: string | null;
  /** Otherwise it is only said what would be done. */
  readonly isConfirmed: boolean;
}

/** What is left, and what may be lost. */
export interface RecoveryReport {
  readonly clusterId: string;
  readonly members: readonly string[];
  /** Of the log. */
  readonly lastIndex: number;
  readonly lastTerm: number;
  /** Up to here this node knew that a majority held it. */
  readonly commitIndex: number;
  /** Null where it was only looked. */
  readonly done: { readonly clusterId: string; readonly epoch: number; readonly kept: string } | null;
}

const WORK = 'recovering';
const READY = 'ready.json';
const STORES = ['log', 'snapshots', 'state'] as const;
const IDENTITY = 'identity.json';
const readySchema = z.strictObject({ format: z.literal(1), kept: z.string() });

/** @throws JarvisError conflict, invalid; StorageError of a directory that cannot be believed. Nothing is changed then. */
export async function recoverCluster(options: RecoverOptions): Promise<RecoveryReport> {
  const root = path.resolve(options.dataDir);
  if ((await namesIn(path.join(root, WORK))).includes(READY)) await takePlace(root);
  const identity = await checkDataDirectory(root, { name: options.name });
  if (identity?.cluster === null || identity?.established !== true)
    throw new JarvisError('conflict', `${root} holds nothing of a cluster: there is nothing to recover`);
  const directory = await openDataDirectory(root, { name: options.name });
  try {
    return await recoverFrom(directory, options);
  } finally {
    await directory.close();
  }
}

async function recoverFrom(directory: DataDirectory, options: RecoverOptions): Promise<RecoveryReport> {
  const { paths, identity } = directory;
  const { cluster, incarnation } = identity;
  if (cluster === null) throw new JarvisError('conflict', `${paths.root} belongs to no cluster`);
  if (directory.lostStores.includes('log'))
    throw new JarvisError('conflict', `${paths.log} is gone: what is left is older than anybody can tell`);
  const log = await readLog(paths.log, { clusterId: cluster.clusterId, incarnation });
  const last = log.entries.at(-1) ?? log.snapshot;
  const snapshots = await SnapshotFiles.open(paths.snapshots, {
    clusterId: cluster.clusterId,
    epoch: cluster.epoch,
    newDigester,
    onDamaged: () => undefined,
  });
  const [newest] = await snapshots.list();
  const members = newest?.peers ?? cluster.founders;
  const report = {
    clusterId: cluster.clusterId,
    members: members.map(({ name }) => name),
    lastIndex: last?.index ?? 0,
    lastTerm: last?.term ?? 0,
    commitIndex: log.hardState.commit,
    done: null,
  };
  if (!options.isConfirmed) return report;
  const work = path.join(paths.root, WORK);
  await rm(work, { recursive: true, force: true });
  await mkdir(work);
  // The copy takes what may never have been acknowledged; the original stays as it was.
  await cp(paths.state, path.join(work, 'state'), { recursive: true });
  const machine = await openCopy(path.join(work, 'state'), snapshots, log);
  const own = members.find((member) => member.incarnation === incarnation);
  const address = options.advertise ?? own?.address;
  if (address === undefined)
    throw new JarvisError('invalid', 'advertise: is needed, the address of this node is not known');
  let beginning;
  try {
    await applyAll(machine, log);
    beginning = await writeBeginning({
      machine,
      target: work,
      self: { name: options.name, incarnation, address },
      term: Math.max(log.hardState.term, report.lastTerm) + 1,
    });
  } finally {
    await machine.close();
  }
  await rm(path.join(work, 'state'), { recursive: true });
  await writeRecord(path.join(work, IDENTITY), { ...identity, cluster: beginning.record });
  const kept = `before-recover-${new Date(systemClock.wallMs()).toISOString().replaceAll(/[:.]/g, '-')}`;
  await writeRecord(path.join(work, READY), { format: 1, kept });
  await takePlace(paths.root);
  const { clusterId, epoch } = beginning.record;
  return { ...report, done: { clusterId, epoch, kept: path.join(paths.root, kept) } };
}

/** What was there goes aside, what was made takes its place; begun once, it can be gone on with after a crash. */
async function takePlace(root: string): Promise<void> {
  const work = path.join(root, WORK);
  const { kept } = await readRecord(path.join(work, READY), readySchema);
  const aside = path.join(root, kept);
  await makeDirectoryDurably(aside);
  for (const name of [...STORES, IDENTITY]) {
    const isMade = (await namesIn(work)).includes(name);
    const isKept = (await namesIn(aside)).includes(name);
    if (!isKept && (await namesIn(root)).includes(name))
      await rename(path.join(root, name), path.join(aside, name));
    await syncDirectory(aside);
    if (isMade) await rename(path.join(work, name), path.join(root, name));
    await syncDirectory(root);
  }
  await rm(work, { recursive: true });
  await syncDirectory(root);
}

async function readLog(
  directory: string,
  identity: { readonly clusterId: string; readonly incarnation: string },
): Promise<WalRecovery> {
  const { wal, recovery } = await Wal.open(directory, identity, { create: false });
  await wal.close();
  return recovery;
}

async function openCopy(
  directory: string,
  snapshots: SnapshotFiles,
  log: WalRecovery,
): Promise<SchedulerMachine> {
  const files = await snapshots.list();
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
