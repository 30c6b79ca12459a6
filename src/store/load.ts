/**
 * Reads a whole store: restores what memory holds, and believes nothing until checksums, count, digest and index rows
 * agree with the checkpoint. LevelDB alone would notice neither lost rows nor most flipped bits (docs/storage.md).
 */
import { contentOf, decodeContent, isSealed } from './codec.ts';
import { RowDigest, hashRow } from './digest.ts';
import { StoreDamagedError } from './errors.ts';
import {
  META_NAME,
  allCreated,
  createdKey,
  createdKeyOfName,
  namesOfTable,
  type NameRange,
} from './layout.ts';
import { SCAN_BYTES, SCAN_ROWS, reading, type Level } from './level.ts';
import { decodeMeta, type CheckpointMeta } from './meta.ts';
import { NameFilter } from './name-filter.ts';
import { nameOf, type RestorableCore, type RowValue } from './replicated-core.ts';

export interface LoadedStore {
  readonly meta: CheckpointMeta;
  readonly digest: RowDigest;
  /** Of every row, but for those of ordered tables. */
  readonly names: NameFilter;
}

/** Fills the core, which is empty. @throws StoreDamagedError */
export async function loadStore(level: Level, core: RestorableCore): Promise<LoadedStore> {
  const names = new NameFilter();
  const verified = await verifyStore(level, core, (table, key, row) => {
    if (!core.orderedTables.has(table)) names.add(nameOf(table, key));
    if (core.holdsInMemory(table, row)) core.restore(table, key, row);
  });
  return { ...verified, names };
}

/** Holds nothing of what it reads. @param onRow is told of each row @throws StoreDamagedError */
export async function verifyStore(
  level: Level,
  core: Pick<RestorableCore, 'tables' | 'creationOf'>,
  onRow: (table: string, key: string, row: RowValue) => void = () => {},
): Promise<Omit<LoadedStore, 'names'>> {
  return await reading(level, async () => {
    const meta = decodeMeta(level, await level.get(META_NAME));
    const digest = new RowDigest();
    const expectedIndex = new RowDigest();
    for (const table of core.tables) {
      const keyStart = nameOf(table, '').length;
      for await (const entries of scan(level, namesOfTable(table))) {
        for (const [name, stored] of entries) {
          const row = openStored(level, name, stored);
          const key = name.slice(keyStart);
          const creation = core.creationOf(table, row);
          if (creation !== null) expectedIndex.add(hashIndexRow(createdKey(creation), key));
          digest.add(hashRow(name, contentOf(stored)));
          onRow(table, key, row);
        }
      }
    }
    const index = await digestOfIndex(level);
    if (!digest.equals(meta)) throw lost(level, `${digest.rowCount} rows`, `${meta.rowCount}, or others`);
    if (!index.equals(expectedIndex))
      throw lost(level, `${index.rowCount} index rows`, `${expectedIndex.rowCount}, or others`);
    return { meta, digest };
  });
}

async function digestOfIndex(level: Level): Promise<RowDigest> {
  const digest = new RowDigest();
  for await (const entries of scan(level, allCreated())) {
    for (const [name, stored] of entries) {
      digest.add(hashIndexRow(createdKeyOfName(name), openIndexRow(level, name, stored)));
    }
  }
  return digest;
}

function lost(level: Level, found: string, expected: string): StoreDamagedError {
  return new StoreDamagedError(
    'incomplete',
    level.location,
    `the store holds ${found} where its checkpoint had ${expected}`,
  );
}

function hashIndexRow(key: string, rowKey: string): ReturnType<typeof hashRow> {
  return hashRow(key, Buffer.from(rowKey));
}

/** @throws StoreDamagedError where the value is not what was written under the name */
export function openStored(level: Level, name: string, stored: Uint8Array): RowValue {
  checkSeal(level, name, stored);
  return decodeContent(contentOf(stored));
}

/** The key of the row that an index row is about. @throws StoreDamagedError */
export function openIndexRow(level: Level, name: string, stored: Uint8Array): string {
  checkSeal(level, name, stored);
  return Buffer.from(contentOf(stored)).toString('utf8');
}

export function checkSeal(level: Level, name: string, stored: Uint8Array): void {
  if (!isSealed(name, stored))
    throw new StoreDamagedError('checksum', level.location, `the value of ${name} is damaged`);
}

export type ScanOptions = Partial<NameRange> & {
  readonly gte?: string;
  readonly reverse?: boolean;
  readonly snapshot?: ReturnType<Level['snapshot']>;
};

/** Entries in order of their names, some at a time: the event loop turns between pieces, which are bounded. */
export async function* scan(
  level: Level,
  options: ScanOptions,
): AsyncGenerator<readonly (readonly [name: string, stored: Uint8Array])[], void, undefined> {
  const iterator = level.iterator({ ...options, fillCache: false, highWaterMarkBytes: SCAN_BYTES });
  try {
    for (;;) {
      const entries = await iterator.nextv(SCAN_ROWS);
      if (entries.length === 0) return;
      yield entries;
    }
  } finally {
    await iterator.close();
  }
}
