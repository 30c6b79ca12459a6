import { describe, expect, it } from 'vitest';

import { Usage } from '../generated/worker.ts';
import { measuredLoadOf } from './nodes.ts';

describe('the load that a heartbeat tells', () => {
  it.each([
    [25, 0.25],
    [250, 1],
    [-1, 0],
    [NaN, null],
    [Infinity, null],
  ])('is a share, or unknown: %s %%', (percent, busy) => {
    const told = Usage.decode(Usage.encode(Usage.fromPartial({ cpu_percent: percent })).finish());
    expect(measuredLoadOf(told)?.busy ?? null).toBe(busy);
  });
});
