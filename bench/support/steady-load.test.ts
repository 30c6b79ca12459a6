import { describe, expect, it } from 'vitest';

import { gapMs } from './steady-load.ts';

describe('the gap that a fault makes', () => {
  it('lasts until submits are acknowledged again', () => {
    expect(gapMs(100, [350, 352, 355])).toBe(250);
  });

  it('is not over when an answer arrives that was on its way', () => {
    expect(gapMs(100, [99, 101, 103, 350, 352])).toBe(250);
  });
});
