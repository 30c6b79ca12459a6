/** How old a stale answer may be, as its leading metadata says it. */
import * as grpc from '@grpc/grpc-js';

import type { Freshness } from '../operations/port.ts';

export type { Freshness };

/** Leading metadata of an answer that may be old. */
const INDEX_KEY = 'jarvis-index';
/** Absent where the node does not know. */
const AGE_KEY = 'jarvis-age-ms';

export function metadataOf({ index, ageMs }: Freshness): grpc.Metadata {
  const metadata = new grpc.Metadata();
  metadata.set(INDEX_KEY, String(index));
  if (ageMs !== null) metadata.set(AGE_KEY, String(ageMs));
  return metadata;
}

/** @returns null where the answer is not one that may be old */
export function freshnessOf(metadata: grpc.Metadata): Freshness | null {
  const index = numberOf(metadata, INDEX_KEY);
  return index === null ? null : { index, ageMs: numberOf(metadata, AGE_KEY) };
}

function numberOf(metadata: grpc.Metadata, key: string): number | null {
  const [text] = metadata.get(key).map(String);
  return text !== undefined && /^\d{1,15}(\.\d+)?$/.test(text) ? Number(text) : null;
}
