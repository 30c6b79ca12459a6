import { describe, expect, it } from 'vitest';

import type { TaskJson } from '../support/api.ts';
import { faultsOf, type PowerEvidence } from './judge.ts';

function task(changes: Partial<TaskJson> = {}): TaskJson {
  return {
    id: 'task-a',
    name: 'key-a',
    labels: {},
    status: 'COMPLETED',
    status_reason: null,
    attempt: 1,
    retry_count: 0,
    node: 'n1',
    exit_code: 0,
    result: null,
    finished_at: '2026-11-26T00:00:00.000Z',
    attempts: [],
    ...changes,
  };
}

/** One small task, acknowledged and seen to be over; `tasks` is what n2 shows of it, n1 shows it as it was. */
function judged(tasks: readonly TaskJson[], changes: Partial<PowerEvidence> = {}): readonly string[] {
  return faultsOf({
    acknowledged: [{ key: 'key-a', id: 'task-a', spec: {}, round: 1, size: 'small' }],
    sightings: new Map([['task-a', { status: 'COMPLETED', attempt: 1 }]]),
    shown: new Map([
      ['n1', [task()]],
      ['n2', tasks],
    ]),
    looked: new Set(),
    ...changes,
  });
}

describe('after a power cut', () => {
  it('nothing is wrong where everything is as it was told', () => {
    expect(judged([task()])).toEqual([]);
  });

  it('a task that was acknowledged must not be gone, from any node', () => {
    expect(judged([])).toEqual(['n2: task-a (key-a) was acknowledged in round 1 and is gone']);
  });

  it('one key makes one task', () => {
    expect(judged([task(), task({ id: 'task-b' })])).toEqual(['n2: key-a is 2 tasks: task-a, task-b']);
  });

  it('a status that was told must not change, nor the number of attempts', () => {
    const was = 'n2: task-a was COMPLETED after attempt 1, and is COMPLETED after attempt 2';
    expect(judged([task({ attempt: 2 })])).toEqual([was]);
  });

  it('every task must have completed', () => {
    const open = task({ status: 'RUNNING', status_reason: 'lost' });
    expect(judged([open], { sightings: new Map() })).toEqual(['n2: task-a is RUNNING: lost']);
  });

  it('a large task is missed only where it was looked for', () => {
    const acknowledged = [{ key: 'key-b', id: 'task-b', spec: {}, round: 2, size: 'large' }] as const;
    expect(judged([task()], { acknowledged })).toEqual([]);
    const faults = judged([task()], { acknowledged, looked: new Set(['task-b']) });
    expect(faults.map((fault) => fault.slice(0, 3))).toEqual(['n1:', 'n2:']);
  });
});
