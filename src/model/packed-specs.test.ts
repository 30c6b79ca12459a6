import { describe, expect, it } from 'vitest';

import { specOf } from '../scheduler/core/testing/values.ts';
import { packSpecs, sliceOfSpecs, unpackSpec } from './packed-specs.ts';

describe('packed specs', () => {
  const specs = [
    specOf({ name: 'a', command: ['x', '1'] }),
    specOf({ name: 'b', command: ['x', '1'], env: [['K', 'v']] }),
    specOf({ name: 'c', command: ['x', '2'], retry: { maxAttempts: 1 }, timeoutMs: 5 }),
  ];
  const [base] = specs;

  it('say only what differs, and come back as they were', () => {
    if (base === undefined) throw new Error('there is a first one');
    const packed = packSpecs(specs, base);
    expect(packed.changes.map((changes) => Object.keys(changes))).toEqual([
      [],
      ['name', 'env'],
      ['name', 'command', 'timeoutMs', 'retryPolicy'],
    ]);
    expect(specs.map((_, at) => unpackSpec(packed, at))).toEqual(specs);
    expect(unpackSpec(sliceOfSpecs(packed, 1, 3), 1)).toEqual(specs[2]);
    expect(unpackSpec(packed, 3)).toBeUndefined();
  });
});
