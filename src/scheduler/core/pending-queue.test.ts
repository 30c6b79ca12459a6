import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { PRIORITIES } from '../../model/task.ts';
import type { TaskRow } from '../../model/task.ts';
import { PendingQueue } from './pending-queue.ts';
import { specOf } from './testing/values.ts';
import { TestCluster } from './testing/test-cluster.ts';
import { runs } from '../../lib/testing/property-runs.ts';

const cluster = TestCluster.formed();
const template = cluster.task(cluster.submitOne(specOf()));

function rowAt(place: number): TaskRow {
  return {
    ...template,
    id: `task-${place}`,
    createdIndex: place >>> 2,
    createdPosition: place & 3,
    priority: PRIORITIES[place % 4] ?? 'normal',
    resources: { cpuMillis: 1 + (place % 3), memoryBytes: 1 },
  };
}

function rank(place: number): number {
  return (place % 4) * 1e6 + place;
}

function inOrder(places: Iterable<number>): string[] {
  return [...places].sort((a, b) => rank(a) - rank(b)).map((place) => `task-${place}`);
}

function isHeld(createdIndex: number): boolean {
  return createdIndex % 3 !== 1;
}

describe('PendingQueue', () => {
  it('is what sorting by priority and submission gives, whatever is added and removed', () => {
    const steps = fc.array(fc.record({ add: fc.boolean(), place: fc.nat({ max: 400 }) }), { maxLength: 600 });
    fc.assert(
      fc.property(steps, (list) => {
        const queue = new PendingQueue();
        const model = new Set<number>();
        for (const { add, place } of list) {
          if (add) {
            queue.add(rowAt(place), place);
            model.add(place);
          } else {
            queue.remove(rowAt(place));
            model.delete(place);
          }
        }
        expect(queue.size).toBe(model.size);
        const ids = [...queue.tasks(() => false)].map(({ id }) => id);
        expect(ids).toEqual(inOrder(model));
        const requests = [...queue.requests()];
        const sums = requests.reduce((sum, one) => sum + one.sinceSumMs, 0);
        expect(sums).toBe([...model].reduce((sum, each) => sum + each, 0));
        expect(requests.reduce((sum, one) => sum + one.count, 0)).toBe(model.size);
        for (const { first, firstSinceMs } of requests) expect(first.id).toBe(`task-${firstSinceMs}`);
        const place = list[0]?.place ?? 0;
        const position = ids.indexOf(`task-${place}`) + 1;
        expect(queue.positionOf(rowAt(place)) ?? 0).toBe(position);
        const small = [...queue.tasks(({ resources }) => resources.cpuMillis > 1)].map(({ id }) => id);
        expect(small).toEqual(inOrder([...model].filter((place) => place % 3 === 0)));
        const free = [
          ...queue.tasks(
            () => false,
            (task) => isHeld(task.createdIndex),
          ),
        ].map(({ id }) => id);
        expect(free).toEqual(inOrder([...model].filter((at) => !isHeld(at >>> 2))));
      }),
      { numRuns: runs(60) },
    );
  });

  it('gives its holes back', () => {
    const queue = new PendingQueue();
    for (let place = 0; place < 1000; place += 1) queue.add(rowAt(place), place);
    for (let place = 0; place < 1000; place += 2) queue.remove(rowAt(place));
    for (let place = 0; place < 1000; place += 4) queue.add(rowAt(place), place);
    const left = Array.from({ length: 1000 }, (_, place) => place).filter((place) => place % 4 !== 2);
    expect([...queue.tasks(() => false)].map(({ id }) => id)).toEqual(inOrder(left));
  });
});
