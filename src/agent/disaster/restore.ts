/** A new cluster from a saved snapshot: the data directory of its first member (docs/disaster.md). */
import { rename, rm } from 'node:fs/promises';
import path from 'node:path';

import { systemClock } from '../../lib/clock.ts';
import { JarvisError } from '../../lib/errors.ts';
import { silentLog } from '../../lib/log.ts';
import { checkDataDirectory, openDataDirectory, type DataDirectory } from '../../raft/data-directory.ts';
import { makeDirectoryDurably, syncDirectory } from '../../raft/durable-file.ts';
import { readSnapshotRows, verifySnapshot } from '../../raft/snapshots/snapshot-reader.ts';
import { openSchedulerMachine } from '../../store/scheduler-machine.ts';
import { writeBeginning, type Beginning } from './reform.ts';

export interface RestoreOptions {
  readonly file: string;
  readonly dataDir: string;
  readonly name: string;
  /** host:port under which the node will be reached. */
  readonly advertise: string;
  /** For tests: called after each change, and may throw. */
  readonly hook?: (step: string) => void;
}

const WORK = 'restoring';

/**
 * The directory must be blank or absent.
 * @throws StorageError snapshot_corrupt, format_unknown; JarvisError conflict. Nothing is left of a failure
 */
export async function restoreCluster(options: RestoreOptions): Promise<Beginning> {
  const root = path.resolve(options.dataDir);
  // All of it, before anything is made.
  const { header } = await verifySnapshot(options.file);
  const present = await checkDataDirectory(root, { name: options.name });
  if (present !== null && present.cluster !== null)
    throw new JarvisError(
      'conflict',
      `${root} belongs to cluster ${present.cluster.clusterId}: name a blank directory`,
    );
  const directory = await openDataDirectory(root, { name: options.name });
  try {
    return await fill(directory, options, header.meta);
  } finally {
    await directory.close();
  }
}

async function fill(
  directory: DataDirectory,
  { file, name, advertise, hook = () => {} }: RestoreOptions,
  { index, term }: { readonly index: number; readonly term: number },
): Promise<Beginning> {
  const { paths, identity } = directory;
  const work = path.join(paths.root, WORK);
  await rm(work, { recursive: true, force: true });
  await makeDirectoryDurably(work);
  try {
    const machine = await openSchedulerMachine({
      directory: path.join(work, 'state'),
      isNew: false,
      snapshots: [{ index, term, rows: () => readSnapshotRows(file) }],
      logFirstIndex: index + 1,
      clock: systemClock,
      logger: silentLog,
      // Whoever applies hears of it, too.
      onFailure: () => undefined,
    });
    hook('filled the state');
    let beginning;
    try {
      const self = { name, incarnation: identity.incarnation, address: advertise };
      beginning = await writeBeginning({ machine, target: work, self, term: term + 1 });
    } finally {
      await machine.close();
    }
    for (const store of ['log', 'snapshots'] as const) {
      await rm(paths[store], { recursive: true });
      hook(`made room for ${store}`);
      await rename(path.join(work, store), paths[store]);
      hook(`${store} took its place`);
    }
    await syncDirectory(paths.root);
    await directory.formCluster(beginning.record);
    hook('the identity is that of the cluster');
    await directory.establish();
    return beginning;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
