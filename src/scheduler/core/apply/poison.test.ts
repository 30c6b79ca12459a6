/** Commands that should never have reached the log: every replica refuses them alike, and none has changed. */
import { describe, expect, it } from 'vitest';

import { TestCluster } from '../testing/test-cluster.ts';
import { specOf } from '../testing/values.ts';
import type { CommandInput } from '../../ports.ts';

function batch(changes: object): CommandInput {
  return {
    type: 'submitBatch',
    name: 'b',
    maxParallel: null,
    maxFailures: null,
    sliceTasks: 500,
    idempotency: null,
    work: { type: 'template', template: specOf(), count: 3 },
    ...changes,
  };
}

describe('a batch that is none', () => {
  it.each([
    ['of slices of no tasks', { sliceTasks: 0 }],
    ['of slices of fewer than none', { sliceTasks: -1 }],
    ['of slices that get no further', { sliceTasks: 1e-300 }],
    ['of half a task', { work: { type: 'template', template: specOf(), count: 0.5 } }],
    ['of fewer tasks than none', { work: { type: 'template', template: specOf(), count: -7 } }],
  ])('is refused, and comes to an end: %s', (_what, changes) => {
    const cluster = TestCluster.formed();
    expect(cluster.refusal(batch(changes)).code).toBe('invalid');
    expect(cluster.done(batch({}))).toMatchObject({ id: expect.stringMatching(/^batch-/) as string });
  });
});

describe('a DAG that is none', () => {
  it('is refused with slices of no tasks, and without a task', () => {
    const cluster = TestCluster.formed();
    const dag = { ...batch({}), type: 'submitDag', tasks: [], specs: [], dependencies: [] } as const;
    expect(cluster.refusal(dag as unknown as CommandInput).code).toBe('invalid');
  });
});

describe('a command that throws after its own part', () => {
  it('has changed nothing, and the next one finds the state as it was', () => {
    const cluster = TestCluster.formed();
    cluster.join('n1');
    const before = JSON.stringify([...cluster.stored]);
    // Its event cannot be written: that time has no name.
    const drain = { type: 'drainNode', node: 'n1', withinMs: 1e16, graceMs: null, startId: null } as const;
    const result = cluster.run({ ...drain, idempotency: null });
    expect(result).toMatchObject({
      outcome: { type: 'refused', code: 'internal' },
      changes: [],
      poisoned: true,
    });
    expect(JSON.stringify([...cluster.stored])).toBe(before);
    expect(cluster.run({ ...drain, withinMs: 1000, idempotency: null }).outcome.type).toBe('done');
  });
});
