import { describe, expect, it } from 'vitest';

import { PacedGroups } from './paced-groups.ts';

/** Groups whose counters the test says; each reading takes a millisecond. */
class Bed {
  readonly counters = new Map<string, number>();
  nowMs = 0;
  reads: string[] = [];
  readonly groups: PacedGroups;

  constructor(budgetMs: number) {
    this.groups = new PacedGroups({
      read: (folder) => {
        this.nowMs += 1;
        this.reads.push(folder);
        return this.counters.get(folder) ?? null;
      },
      list: async () => [...this.counters.keys()],
      budgetMs,
      nowMs: () => this.nowMs,
    });
  }

  fill(count: number, of: (at: number) => number): void {
    for (let at = 0; at < count; at += 1) this.counters.set(`g${at}`, of(at));
  }

  /** @returns what was read */
  async look(atMs: number): Promise<readonly string[]> {
    this.nowMs = atMs;
    this.reads = [];
    await this.groups.look();
    return this.reads;
  }
}

describe('groups that are read in turn', () => {
  it('are all read at first, and then so many at a time as there is time for', async () => {
    const bed = new Bed(3);
    bed.fill(10, () => 5);
    expect(await bed.look(0)).toHaveLength(10);
    expect(bed.groups.total).toBe(50);
    const later = [await bed.look(1000), await bed.look(2000), await bed.look(3000), await bed.look(4000)];
    expect(later.map((reads) => reads.length)).toEqual([3, 3, 3, 1]);
    expect(new Set(later.flat()).size).toBe(10);
    expect((await bed.look(5000))[0]).toBe('g0');
  });

  it('grow by what they have used between two readings, however long that is', async () => {
    const bed = new Bed(2);
    bed.fill(4, () => 0);
    await bed.look(0);
    expect(bed.groups.perMs).toBe(0);
    bed.nowMs = 0;
    // Each by one in a millisecond, and read in turns.
    for (let atMs = 1000; atMs <= 6000; atMs += 1000) {
      bed.fill(4, () => atMs);
      await bed.look(atMs);
    }
    expect(bed.groups.perMs).toBeCloseTo(4, 1);
    bed.fill(4, () => 7);
    await bed.look(7000);
    await bed.look(8000);
    expect(bed.groups.perMs).toBe(0);
    expect(bed.groups.total).toBe(28);
  });

  it('that are new have used all since they were made, and those that are gone count no more', async () => {
    const bed = new Bed(100);
    bed.fill(1, () => 1000);
    await bed.look(0);
    bed.counters.set('new', 500);
    await bed.look(999);
    expect(bed.groups.perMs).toBeCloseTo(0.5, 2);
    bed.counters.delete('new');
    await bed.look(2000);
    expect([bed.groups.perMs, bed.groups.total]).toEqual([0, 1000]);
  });

  it('are read one at least, also where one takes all the time there is', async () => {
    const bed = new Bed(0);
    bed.fill(2, () => 1);
    await bed.look(0);
    expect(await bed.look(1000)).toEqual(['g0']);
    expect(await bed.look(2000)).toEqual(['g1']);
  });
});
