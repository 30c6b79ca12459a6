import { describe, expect, it } from 'vitest';

import { sparkline } from './sparkline.ts';

describe('a history as a line', () => {
  it('has the newest on the right, by the highest there is or by what is given', () => {
    expect(sparkline([0, 1, 2, 3, 4, 5, 6, 7, 8])).toBe('▁▂▃▄▅▆▇██');
    expect(sparkline([0, 50, 100], 200)).toBe('▁▃▅');
    expect(sparkline([0, 0])).toBe('▁▁');
    expect(sparkline([])).toBe('');
  });

  it('has a blank for what is not known', () => {
    expect(sparkline([1, undefined, 1])).toBe('█ █');
  });

  it('puts several of a long history in one bar, whose highest counts', () => {
    const long = Array.from({ length: 90 }, (_, at) => (at === 88 ? 8 : 0));
    expect(sparkline(long)).toBe(`${'▁'.repeat(29)}█`);
  });
});
