import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { JarvisError } from './errors.ts';
import { decodeId, encodeId, fencingToken, idKey, MAX_EPOCH, MAX_POSITION } from './ids.ts';

const key = idKey('6f1c');

describe('ids', () => {
  it('turn back into their position', () => {
    const position = fc.record({
      epoch: fc.integer({ min: 0, max: MAX_EPOCH }),
      index: fc.integer({ min: 0, max: 2 ** 47 - 1 }),
      position: fc.integer({ min: 0, max: MAX_POSITION }),
    });
    fc.assert(
      fc.property(position, fc.string(), (at, text) => {
        const own = idKey(text);
        const id = encodeId('task', at, own);
        expect(id).toMatch(/^task-[0-9a-z]{18}$/);
        expect(decodeId('task', id, own)).toEqual(at);
      }),
    );
  });

  it('tell neighbours apart by a short prefix', () => {
    const prefixes = new Set<string>();
    for (let position = 0; position < 1000; position += 1) {
      prefixes.add(
        encodeId('task', { epoch: 3_600_000, index: 17, position }, key).slice(0, 'task-'.length + 8),
      );
    }
    expect(prefixes.size).toBe(1000);
  });

  it.each([
    { epoch: 0, index: 0, position: 0, id: 'task-8rnza047z5p8tfqfxe' },
    { epoch: 3_600_000, index: 17, position: 5, id: 'task-tb5tnnjffefhffjczb' },
    { epoch: MAX_EPOCH, index: 2 ** 47 - 1, position: MAX_POSITION, id: 'task-xg7bcsemgysbrg9p8k' },
  ])('stay what they are: $id', ({ id, ...at }) => {
    expect(encodeId('task', at, key)).toBe(id);
  });

  it('depend on the key', () => {
    const at = { epoch: 1, index: 2, position: 3 };
    expect(encodeId('task', at, key)).not.toBe(encodeId('task', at, idKey('other')));
  });

  it.each(['task-', 'task-abc', 'dag-000000000000000000', 'task-00000000000000000u', ''])(
    'refuse %j',
    (id) => {
      expect(() => decodeId('task', id, key)).toThrow(JarvisError);
    },
  );
});

describe('fencing tokens', () => {
  it('rise with the assignment, and with the epoch above all', () => {
    expect(BigInt(fencingToken(2, 0)) > BigInt(fencingToken(1, 2 ** 40 - 1))).toBe(true);
    expect(BigInt(fencingToken(1, 8)) > BigInt(fencingToken(1, 7))).toBe(true);
    expect(BigInt(fencingToken(MAX_EPOCH, 2 ** 40 - 1)) < 2n ** 63n).toBe(true);
  });
});
