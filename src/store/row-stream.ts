/** The rows of a store as of one checkpoint, unmoved by later ones: what snapshot files are made of. */
import type { Row, RowStream } from '../raft/ports.ts';
import { contentOf } from './codec.ts';
import { RowDigest, hashRow } from './digest.ts';
import { StoreDamagedError } from './errors.ts';
import { META_NAME, isRowName } from './layout.ts';
import { reading, type Level } from './level.ts';
import { checkSeal, scan } from './load.ts';
import { decodeMeta, type CheckpointMeta } from './meta.ts';

/** @throws StoreDamagedError, also out of the iteration: it ends well only where count and digest agree */
export async function openRowStream(level: Level): Promise<RowStream> {
  const snapshot = level.snapshot();
  try {
    const meta = decodeMeta(level, await reading(level, () => level.get(META_NAME, { snapshot })));
    return {
      index: meta.index,
      rowCount: meta.rowCount,
      digest: meta.digest,
      rows: rowsOf(level, snapshot, meta),
      close: () => snapshot.close(),
    };
  } catch (error) {
    await snapshot.close();
    throw error;
  }
}

async function* rowsOf(
  level: Level,
  snapshot: ReturnType<Level['snapshot']>,
  meta: CheckpointMeta,
): AsyncGenerator<Row, void, undefined> {
  const digest = new RowDigest();
  for await (const entries of scan(level, { snapshot })) {
    for (const [key, stored] of entries) {
      if (!isRowName(key)) continue;
      checkSeal(level, key, stored);
      const value = contentOf(stored);
      digest.add(hashRow(key, value));
      yield { key, value };
    }
  }
  if (!digest.equals(meta)) {
    throw new StoreDamagedError(
      'incomplete',
      level.location,
      `the store holds ${digest.rowCount} rows where its checkpoint had ${meta.rowCount}, or others`,
    );
  }
}
