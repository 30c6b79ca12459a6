import { describe, expect, it } from 'vitest';

import { NameFilter } from './name-filter.ts';

function nameOf(at: number, kind: string): string {
  return `idempotency/anonymous|POST /tasks|${kind}-${at}`;
}

describe('the filter of names', () => {
  it('never denies a name that was added', () => {
    const filter = new NameFilter();
    const count = 200_000;
    for (let at = 0; at < count; at += 1) filter.add(nameOf(at, 'k'));
    let denied = 0;
    for (let at = 0; at < count; at += 1) if (!filter.mayHold(nameOf(at, 'k'))) denied += 1;
    expect(denied).toBe(0);
  });

  it('denies nearly every other name, also of those that differ little', () => {
    const filter = new NameFilter();
    for (let at = 0; at < 500_000; at += 1) filter.add(nameOf(at, 'k'));
    let passed = 0;
    for (let at = 0; at < 100_000; at += 1) if (filter.mayHold(nameOf(at, 'other'))) passed += 1;
    // (1 - e^(-4 · 500,000 / 2^25))^4 of them are expected: about one.
    expect(passed).toBeLessThan(50);
  });

  it('denies everything while nothing was added', () => {
    expect(new NameFilter().mayHold('')).toBe(false);
  });
});
