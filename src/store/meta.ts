/** The row that says which checkpoint a store holds, and what proves that it holds all of it. */
import { JarvisError } from '../lib/errors.ts';
import { contentOf, decodeContent, encodeStored, isSealed, seal } from './codec.ts';
import { StoreDamagedError } from './errors.ts';
import { META_NAME } from './layout.ts';
import type { Level } from './level.ts';

const META_FORMAT = 1;

export interface CheckpointMeta {
  /** Of the newest entry that the rows contain; 0 before the first. */
  readonly index: number;
  readonly term: number;
  readonly rowCount: number;
  readonly digest: string;
}

export function encodeMeta({ index, term, rowCount, digest }: CheckpointMeta): Uint8Array {
  const stored = encodeStored({ format: META_FORMAT, index, term, rowCount, digest });
  seal(META_NAME, stored);
  return stored;
}

/** @throws StoreDamagedError where it is absent or damaged; JarvisError where a later version wrote it */
export function decodeMeta(level: Level, stored: Uint8Array | undefined): CheckpointMeta {
  const path = level.location;
  if (stored === undefined) throw new StoreDamagedError('incomplete', path, 'the store has no checkpoint');
  if (!isSealed(META_NAME, stored))
    throw new StoreDamagedError('checksum', path, "the checkpoint's own row is damaged");
  const { format, ...meta } = decodeContent(contentOf(stored)) as CheckpointMeta & { format: number };
  if (format !== META_FORMAT) {
    throw new JarvisError(
      'conflict',
      `the store has format ${format}; this version reads ${META_FORMAT} (${path})`,
    );
  }
  return meta;
}
