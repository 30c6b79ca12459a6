import { describe, expect, it } from 'vitest';

import { median, percentile, ratioOf, rounded, spread } from './statistics.ts';

describe('the figures of rounds', () => {
  it('have percentiles, each of them one of the values', () => {
    const values = Array.from({ length: 200 }, (_, at) => 200 - at);
    expect(percentile(values, 99)).toBe(198);
    expect(percentile(values, 100)).toBe(200);
    expect(percentile([7, 5], 99)).toBe(7);
    expect(percentile([7, 5], 50)).toBe(5);
  });

  it('have a median, whatever their order and number', () => {
    expect(median([3])).toBe(3);
    expect(median([10, 9, 1])).toBe(9);
    expect(median([4, 1, 100, 2])).toBe(3);
    expect(() => median([])).toThrow('there is a median of something only');
  });

  it('are not reordered by it', () => {
    const values = [3, 1, 2];
    median(values);
    expect(values).toEqual([3, 1, 2]);
  });

  it('spread from the smallest to the largest', () => {
    expect(spread([5, 2, 9])).toBe(7);
    expect(spread([5])).toBe(0);
    expect(() => spread([])).toThrow('there is a spread of something only');
  });

  it('make a ratio above 1 where ours is the better one', () => {
    expect(ratioOf('higher', 60, 100)).toBe(0.6);
    expect(ratioOf('higher', 200, 100)).toBe(2);
    expect(ratioOf('lower', 200, 100)).toBe(0.5);
    expect(ratioOf('lower', 50, 100)).toBe(2);
  });

  it('keep four digits', () => {
    expect(rounded(1234.56)).toBe(1235);
    expect(rounded(0.123456)).toBe(0.1235);
    expect(rounded(0)).toBe(0);
  });
});
