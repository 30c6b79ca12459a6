import { array, assert, constantFrom, maxSafeNat, property, record, uint8Array } from 'fast-check';
import { describe, expect, it } from 'vitest';

import { decodeConfChange, encodeConfChange, LEAVE_JOINT } from './confchange-codec.ts';

describe('a membership change in a log entry', () => {
  it('comes back as it was', () => {
    const single = record({
      type: constantFrom('addVoter' as const, 'addLearner' as const, 'remove' as const, 'update' as const),
      id: maxSafeNat(),
    });
    const change = record({
      transition: constantFrom('auto' as const, 'implicit' as const, 'explicit' as const),
      changes: array(single),
      context: uint8Array(),
    });
    assert(
      property(change, (value) => {
        expect(decodeConfChange(encodeConfChange(value))).toEqual(value);
      }),
    );
  });

  it('is empty where it leaves a joint configuration', () => {
    expect(encodeConfChange(LEAVE_JOINT)).toHaveLength(0);
    expect(decodeConfChange(new Uint8Array())).toEqual(LEAVE_JOINT);
  });

  it('is none where it is damaged or of a later version', () => {
    const bytes = encodeConfChange({
      transition: 'implicit',
      changes: [{ type: 'addVoter', id: 300 }],
      context: new Uint8Array(),
    });
    for (let length = 1; length < bytes.length; length += 1) {
      expect(decodeConfChange(bytes.slice(0, length))).toBeNull();
    }
    for (const [at, value] of [
      [0, 2],
      [1, 3],
      [3, 4],
    ] as const) {
      expect(decodeConfChange(bytes.with(at, value))).toBeNull();
    }
    expect(decodeConfChange(new Uint8Array([1, 0, 255, 255, 255, 255, 255, 255, 255, 255, 127]))).toBeNull();
  });
});
