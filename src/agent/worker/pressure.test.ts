import { describe, expect, it } from 'vitest';

import { pressureOfRooms } from './pressure.ts';

const GIB = 2 ** 30;
const MIB = 2 ** 20;
const ample = { total: 100 * GIB, available: 50 * GIB };

describe('pressure', () => {
  it('is nothing where there is room', () => {
    expect(pressureOfRooms({ disk: ample, memory: ample }, [])).toEqual([]);
  });

  it.each([
    ['disk', 'a twentieth of a small one', 10 * GIB, 0.5 * GIB],
    ['disk', 'a GiB of a large one', 1000 * GIB, GIB],
    ['memory', 'a twentieth of a small one', 4 * GIB, 0.2 * GIB],
    ['memory', '256 MiB of a large one', 64 * GIB, 256 * MIB],
  ] as const)('of %s begins below %s', (name, _what, total, least) => {
    const of = (available: number, before: readonly ('disk' | 'memory')[]): readonly string[] =>
      pressureOfRooms({ disk: ample, memory: ample, [name]: { total, available } }, before);
    expect(of(least, [])).toEqual([]);
    expect(of(least - 1, [])).toEqual([name]);
    // And stays until there is half as much again.
    expect(of(least * 1.5 - 1, [name])).toEqual([name]);
    expect(of(least * 1.5, [name])).toEqual([]);
  });

  it('names both, sorted', () => {
    const none = { total: GIB, available: 0 };
    expect(pressureOfRooms({ memory: none, disk: none }, [])).toEqual(['disk', 'memory']);
  });

  it('is not made up where nothing is known', () => {
    const unknown = { total: 0, available: 0 };
    expect(pressureOfRooms({ memory: unknown, disk: unknown }, [])).toEqual([]);
  });
});
