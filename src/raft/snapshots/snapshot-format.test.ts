import { describe, expect, it } from 'vitest';

import { checksum } from '../wal/binary.ts';
import {
  decodeHeader,
  decodeTrailer,
  encodeHeader,
  encodeTrailer,
  HEADER_PREFIX_BYTES,
  TRAILER_SUFFIX_BYTES,
} from './snapshot-format.ts';

const confState = { voters: [1], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
const HEADER = { clusterId: 'c-1', epoch: 1, meta: { index: 9, term: 2, confState }, peers: [] };
const damaged = expect.objectContaining({ kind: 'snapshot_corrupt' });

describe('a snapshot of another node whose checksums fit', () => {
  it.each(['{', 'null', '[]', '"x"', '{"clusterId":5}', '\ufffd'])(
    'is damaged with %j as its header',
    (text) => {
      const { bytes } = encodeHeader(HEADER);
      const prefix = bytes.subarray(0, HEADER_PREFIX_BYTES);
      const json = Buffer.from(text);
      prefix.writeUInt32LE(checksum(0, prefix.subarray(0, 16), json), 16);
      expect(() => decodeHeader('/s', prefix, json)).toThrow(damaged);
    },
  );

  it.each(['}', '', '0', '{"chunks":-1}'])('is damaged with %j as its trailer', (text) => {
    const bytes = encodeTrailer({ chunks: 1, rowCount: 1, digest: '0', sha256: '0'.repeat(64) }, 7);
    const suffix = bytes.subarray(-TRAILER_SUFFIX_BYTES);
    const json = Buffer.from(text);
    suffix.writeUInt32LE(checksum(7, json, suffix.subarray(0, 4)), 4);
    expect(() => decodeTrailer('/s', json, suffix, 7)).toThrow(damaged);
  });
});
