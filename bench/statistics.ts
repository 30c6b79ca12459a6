/** The few figures that rounds are reduced to. */
import { invariant } from '../src/lib/assert.ts';

/** Which way a figure is good: a rate, or a time. */
export type Better = 'higher' | 'lower';

const SIGNIFICANT_DIGITS = 4;

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle];
  const lower = sorted[middle - 1];
  invariant(upper !== undefined, 'there is a median of something only');
  if (sorted.length % 2 === 1 || lower === undefined) return upper;
  return (lower + upper) / 2;
}

/** The nearest-rank percentile: the smallest value that so many percent do not exceed. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const found = sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)];
  invariant(found !== undefined, 'there is a percentile of something only');
  return found;
}

/** The largest less the smallest: with so few rounds anything finer would hide the odd one. */
export function spread(values: readonly number[]): number {
  invariant(values.length > 0, 'there is a spread of something only');
  return Math.max(...values) - Math.min(...values);
}

/** Above 1 where ours is the better one. */
export function ratioOf(better: Better, ours: number, other: number): number {
  return better === 'higher' ? ours / other : other / ours;
}

/** No figure here is exact to more digits. */
export function rounded(value: number): number {
  return Number(value.toPrecision(SIGNIFICANT_DIGITS));
}
