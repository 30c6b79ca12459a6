import { describe, expect, it } from 'vitest';

import { Slots } from './slots.ts';

describe('slots', () => {
  it('let in so many at once, in order, and hand on the slot of one that fails', async () => {
    const slots = new Slots(2);
    const gates = Array.from({ length: 5 }, () => Promise.withResolvers<number>());
    const begun: number[] = [];
    const results = gates.map(({ promise }, number) =>
      slots.use(async () => {
        begun.push(number);
        return await promise;
      }),
    );
    await Promise.resolve();
    expect(begun).toEqual([0, 1]);
    gates[1]?.reject(new Error('failed'));
    await expect(results[1]).rejects.toThrow('failed');
    await expect.poll(() => begun).toEqual([0, 1, 2]);
    for (const [number, gate] of gates.entries()) gate.resolve(number);
    const others = results.filter((_, number) => number !== 1);
    expect(await Promise.all(others)).toEqual([0, 2, 3, 4]);
    expect(await slots.use(async () => 'free again')).toBe('free again');
  });
});
