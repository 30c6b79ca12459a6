import { describe, expect, it } from 'vitest';

import { decodeRecords, encodeRecords, type LogRecord } from './batch-format.ts';
import { decodeSegmentHeader, encodeSegmentHeader, EMPTY_LOG } from './segment-header.ts';
import { checksum } from './binary.ts';

const confState = { voters: [1, 2], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
const meta = { index: 5, term: 2, confState, peers: [] };
const RECORDS: readonly LogRecord[] = [
  { type: 'hardState', hardState: { term: 3, vote: 1, commit: 7 } },
  { type: 'truncate', fromIndex: 8 },
  { type: 'entry', entry: { index: 8, term: 3, type: 'normal', data: Buffer.from('data') } },
  { type: 'base', meta, dropsAll: true },
];

function readAll(payload: Uint8Array): { readonly isWhole: boolean; readonly count: number } {
  let count = 0;
  const isWhole = decodeRecords(Buffer.from(payload), () => {
    count += 1;
  });
  return { isWhole, count };
}

describe('records whose checksum fits', () => {
  it.each(RECORDS.map((record) => [record.type, record] as const))(
    'are refused wherever one is cut off: %s',
    (_type, record) => {
      const whole = encodeRecords([record]);
      expect(readAll(whole)).toEqual({ isWhole: true, count: 1 });
      for (let end = 1; end < whole.length; end += 1)
        expect(readAll(whole.subarray(0, end)), `cut at ${end}`).toEqual({ isWhole: false, count: 0 });
    },
  );

  it.each([
    ['no JSON', '{"index":'],
    ['no UTF-8', Buffer.of(0xff, 0xfe)],
    ['null', 'null'],
    ['a number', '5'],
    ['a list', '[]'],
    ['no configuration', JSON.stringify({ index: 5, term: 2 })],
    ['an index beyond 2^53', JSON.stringify({ ...meta, index: 2 ** 53 })],
    ['voters that are none', JSON.stringify({ ...meta, confState: { ...confState, voters: ['1'] } })],
  ])('are refused where a base is %s', (_what, json) => {
    const bytes = Buffer.from(json);
    const record = Buffer.alloc(6);
    record.writeUInt8(4, 0);
    record.writeUInt32LE(bytes.length, 2);
    expect(readAll(Buffer.concat([record, bytes]))).toEqual({ isWhole: false, count: 0 });
  });

  it('are refused where an entry is longer than all that is left', () => {
    const bytes = Buffer.from(encodeRecords(RECORDS.slice(2, 3)));
    bytes.writeUInt32LE(0xffff_ffff, 18);
    expect(readAll(bytes)).toEqual({ isWhole: false, count: 0 });
  });
});

describe('the header of a segment whose checksum fits', () => {
  it('is damaged where what it names as base is none', () => {
    const identity = { clusterId: 'c-1', incarnation: 'i-1' };
    const bytes = encodeSegmentHeader(identity, {
      ...EMPTY_LOG,
      sequence: 1,
      segmentBytes: 8192,
      base: meta,
    });
    expect(decodeSegmentHeader('/log', bytes, identity, 1).base).toEqual(meta);
    bytes.write('!', 128);
    bytes.writeUInt32LE(checksum(0, bytes.subarray(0, -4)), bytes.length - 4);
    expect(() => decodeSegmentHeader('/log', bytes, identity, 1)).toThrow(
      expect.objectContaining({ kind: 'log_corrupt' }),
    );
  });
});
