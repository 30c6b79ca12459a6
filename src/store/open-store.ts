/** Opens, makes and fills stores: each resolves with one that is whole, or throws. */
import path from 'node:path';

import { invariant } from '../lib/assert.ts';
import { messageOf } from '../lib/errors.ts';
import { makeDirectoryDurably, syncDirectory } from '../raft/durable-file.ts';
import type { Row } from '../raft/ports.ts';
import { StorageError } from '../raft/storage-error.ts';
import { contentOf, decodeContent, sealed } from './codec.ts';
import { RowDigest, hashRow } from './digest.ts';
import { holdsStore, remove, settle, storeDirectories, swap, type StepHook } from './directories.ts';
import { StoreDamagedError } from './errors.ts';
import { META_NAME, createdKey, createdName, isRowName } from './layout.ts';
import { openLevel, type Level } from './level.ts';
import { loadStore, verifyStore, type LoadedStore } from './load.ts';
import { encodeMeta, type CheckpointMeta } from './meta.ts';
import type { EntryPosition, RestorableCore } from './replicated-core.ts';

/** A core with everything restored that it holds, and the store that has the rest. */
export interface OpenedStore<Core> {
  readonly core: Core;
  readonly level: Level;
  readonly loaded: LoadedStore;
}

/** What proves that a stream of rows is complete, where its source knows. */
export interface ExpectedRows {
  readonly rowCount: number;
  readonly digest: string;
}

/** A store beside that of a directory, verified; its rows are not in memory. */
export interface FilledStore {
  readonly level: Level;
  readonly meta: CheckpointMeta;
}

/** Where rows come from, and the entry that they are the state of. */
export interface RowSource {
  readonly position: EntryPosition;
  readonly rows: AsyncIterable<Row>;
  readonly expected: ExpectedRows | null;
}

/** One synced batch of the filling of a store: unsynced ones would leave holes after a power cut. */
const FILL_BATCH_BYTES = 1024 * 1024;

/**
 * Opens the store of a directory, which must be there unless `isNew`.
 * @throws StoreDamagedError; StorageError directory_refused where another process has it open
 */
export async function openStore<Core extends RestorableCore>(
  directory: string,
  makeCore: () => Core,
  { isNew }: { readonly isNew: boolean },
): Promise<OpenedStore<Core>> {
  await settle(storeDirectories(directory));
  if (!isNew && !holdsStore(directory)) {
    throw new StoreDamagedError('missing', directory, 'the store is missing');
  }
  if (isNew) await makeDirectoryDurably(path.dirname(directory));
  const level = await openLevel(directory, { create: isNew });
  return await closingOnError(level, async () => {
    if (isNew && (await level.keys({ limit: 1 }).all()).length === 0) await initialise(level);
    const core = makeCore();
    return { core, level, loaded: await loadStore(level, core) };
  });
}

/** From here on a store without a checkpoint's row is one that has lost it. */
async function initialise(level: Level): Promise<void> {
  const { rowCount, digest } = new RowDigest();
  await level.put(META_NAME, encodeMeta({ index: 0, term: 0, rowCount, digest }), { sync: true });
  await syncDirectory(path.dirname(level.location));
}

/** A new store beside the one of the directory, filled and verified. It takes its place by {@link takePlace}. */
export async function fillBeside(
  directory: string,
  makeCore: () => RestorableCore,
  source: RowSource,
  hook: StepHook,
): Promise<FilledStore> {
  const { fresh, old } = storeDirectories(directory);
  await remove(fresh);
  await remove(old);
  await hook('cleared');
  await makeDirectoryDurably(path.dirname(fresh));
  const level = await openLevel(fresh, { create: true });
  return await closingOnError(level, async () => {
    const core = makeCore();
    await fill(level, core, source);
    // What was written is read again before it replaces anything.
    const { meta } = await verifyStore(level, core);
    return { level, meta };
  });
}

async function fill(
  level: Level,
  core: RestorableCore,
  { rows, position, expected }: RowSource,
): Promise<void> {
  const digest = new RowDigest();
  let batch = level.batch();
  let bytes = 0;
  for await (const { key: name, value } of rows) {
    const table = name.slice(0, name.indexOf('/'));
    if (!isRowName(name) || !core.tables.includes(table)) {
      throw new StoreDamagedError(
        'incomplete',
        level.location,
        `a snapshot holds a row of no table: ${name}`,
      );
    }
    digest.add(hashRow(name, value));
    const stored = sealed(name, value);
    batch.put(name, stored);
    bytes += stored.byteLength;
    const creation = core.creationOf(table, decodeContent(contentOf(stored)));
    if (creation !== null) {
      const indexName = createdName(createdKey(creation));
      batch.put(indexName, sealed(indexName, Buffer.from(name.slice(table.length + 1))));
    }
    if (bytes < FILL_BATCH_BYTES) continue;
    await writing(level, () => batch.write({ sync: true }));
    batch = level.batch();
    bytes = 0;
  }
  if (expected !== null && !digest.equals(expected)) {
    throw new StoreDamagedError(
      'incomplete',
      level.location,
      `a snapshot brought ${digest.rowCount} rows where ${expected.rowCount}, or others, belong to it`,
    );
  }
  const meta: CheckpointMeta = {
    index: position.index,
    term: position.term,
    rowCount: digest.rowCount,
    digest: digest.digest,
  };
  batch.put(META_NAME, encodeMeta(meta));
  await writing(level, () => batch.write({ sync: true }));
}

/**
 * Puts the filled store in the place of the directory's own, which is closed or absent, and loads it. Memory need not hold
 * another state any more.
 */
export async function takePlace<Core extends RestorableCore>(
  directory: string,
  makeCore: () => Core,
  filled: FilledStore,
  hook: StepHook,
): Promise<OpenedStore<Core>> {
  const directories = storeDirectories(directory);
  await hook('filled');
  await filled.level.close();
  await swap(directories, hook);
  // LevelDB opens files by their path, so it cannot be moved while it is open.
  const level = await openLevel(directory, { create: false });
  return await closingOnError(level, async () => {
    const core = makeCore();
    const loaded = await loadStore(level, core);
    invariant(loaded.meta.digest === filled.meta.digest, 'the store in place is the one that was filled');
    await hook('opened');
    await remove(directories.old);
    return { core, level, loaded };
  });
}

async function closingOnError<T>(level: Level, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await level.close();
    throw error;
  }
}

async function writing(level: Level, write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (error) {
    throw new StorageError(
      'storage_failed',
      level.location,
      `a store cannot be filled: ${messageOf(error)}`,
      {
        cause: error,
      },
    );
  }
}
