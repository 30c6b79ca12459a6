import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { RowDigest, hashRow } from './digest.ts';

const row = fc.record({ name: fc.string({ maxLength: 20 }), content: fc.uint8Array({ maxLength: 70 }) });

function digestOf(rows: readonly { name: string; content: Uint8Array }[]): string {
  const digest = new RowDigest();
  for (const { name, content } of rows) digest.add(hashRow(name, content));
  return digest.digest;
}

describe('the digest of rows', () => {
  it('does not depend on their order', () => {
    fc.assert(
      fc.property(
        fc
          .array(row)
          .chain((rows) =>
            fc.tuple(fc.constant(rows), fc.shuffledSubarray(rows, { minLength: rows.length })),
          ),
        ([rows, shuffled]) => {
          expect(digestOf(shuffled)).toBe(digestOf(rows));
        },
      ),
    );
  });

  it('of what is left is that of never having had the rest', () => {
    fc.assert(
      fc.property(fc.array(row), fc.array(row), (kept, dropped) => {
        const digest = new RowDigest();
        for (const { name, content } of [...dropped, ...kept]) digest.add(hashRow(name, content));
        for (const { name, content } of dropped) digest.remove(hashRow(name, content));
        expect(digest.digest).toBe(digestOf(kept));
        expect(digest.rowCount).toBe(kept.length);
      }),
    );
  });

  it('changes with every bit of a row, with its name, and with zeros at its end', () => {
    const content = Buffer.from('the quick brown fox jumps over the lazy dog');
    const seen = new Set([digestOf([{ name: 'a', content }])]);
    for (let bit = 0; bit < content.byteLength * 8; bit += 1) {
      const other = Uint8Array.from(content);
      other[bit >> 3] = (other[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      seen.add(digestOf([{ name: 'a', content: other }]));
    }
    seen.add(digestOf([{ name: 'b', content }]));
    for (let zeros = 1; zeros <= 20; zeros += 1) {
      seen.add(digestOf([{ name: 'a', content: Buffer.concat([content, Buffer.alloc(zeros)]) }]));
    }
    expect(seen.size).toBe(1 + content.byteLength * 8 + 1 + 20);
  });

  it('has no equal halves nor collisions among many similar rows', () => {
    const words = { a: new Set<number>(), b: new Set<number>(), c: new Set<number>(), d: new Set<number>() };
    const count = 20_000;
    for (let at = 0; at < count; at += 1) {
      const hash = hashRow(`task/${at}`, Buffer.from([1, 2, 3]));
      for (const lane of ['a', 'b', 'c', 'd'] as const) words[lane].add(hash[lane]);
    }
    // Two of 20,000 random 32-bit words are equal with a chance of 1 in 20; four pairs would be no accident.
    for (const lane of Object.values(words)) expect(lane.size).toBeGreaterThan(count - 4);
  });

  it('is the same in every version: replicas compare it, stores and snapshots keep it', () => {
    expect(digestOf([])).toBe('0'.repeat(32));
    expect(digestOf([{ name: 'task/a', content: Buffer.from('hello') }])).toMatchInlineSnapshot(
      `"5aa9fb4fd1e7448d01a861d8c818059f"`,
    );
    expect(digestOf([{ name: 'task/é', content: Buffer.alloc(33, 7) }])).toMatchInlineSnapshot(
      `"1a650142aafe98920c195cc187dd5a1c"`,
    );
  });
});
