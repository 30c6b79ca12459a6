import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { TaskRow } from '../../model/task.ts';
import { RetryTimers } from './retry-timers.ts';
import { specOf } from './testing/values.ts';
import { TestCluster } from './testing/test-cluster.ts';

const cluster = TestCluster.formed();
const template = cluster.task(cluster.submitOne(specOf()));
const names = Array.from({ length: 8 }, (_, n) => `task-${n}`);
const tasks: ReadonlyMap<string, TaskRow> = new Map(names.map((id) => [id, { ...template, id }]));

describe('RetryTimers', () => {
  it('fall due in order, whatever is set, changed and deleted', () => {
    const step = fc.record({ id: fc.constantFrom(...names), dueMs: fc.option(fc.nat({ max: 9 })) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), fc.nat({ max: 9 }), (steps, atMs) => {
        const timers = new RetryTimers();
        const model = new Map<string, number>();
        for (const { id, dueMs } of steps) {
          timers.delete(id);
          model.delete(id);
          if (dueMs === null) continue;
          timers.set(id, dueMs);
          model.set(id, dueMs);
        }
        const sorted = [...model].sort(([a, aMs], [b, bMs]) => aMs - bMs || (a < b ? -1 : 1));
        expect(timers.nextMs()).toBe(sorted[0]?.[1] ?? null);
        const due = sorted.filter(([, dueMs]) => dueMs <= atMs).map(([id]) => id);
        expect([...timers.due(atMs, tasks)].map(({ id }) => id)).toEqual(due);
        expect([...timers.due(atMs, tasks)].map(({ id }) => id)).toEqual(due);
      }),
    );
  });

  it('are all there again after a walk that ended early', () => {
    const timers = new RetryTimers();
    for (const [at, id] of names.entries()) timers.set(id, at);
    for (const { id } of timers.due(100, tasks)) if (id === 'task-3') break;
    expect(timers.nextMs()).toBe(0);
    expect([...timers.due(100, tasks)]).toHaveLength(8);
  });
});
