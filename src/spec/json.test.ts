import { describe, expect, it } from 'vitest';

import { Task } from '../generated/cluster.ts';
import { taskToJson } from './json.ts';

const TASK = Task.fromPartial({
  id: 'task-1',
  name: 'a',
  image: 'python',
  command: ['x'],
  resources: { cpu: '1', memory: '1Gi' },
  limits: { memory: '2Gi' },
  priority: 'high',
  retry_policy: { max_attempts: 2, backoff_base: 3 },
  env: { B: 'b' },
  sensitive_env: ['A'],
  labels: { a: 'b' },
  status: 'FAILED',
  error: { type: 'T', message: 'm' },
  attempts: [{ attempt: 1, node: 'n1', status: 'FAILED', error: { type: 'T', message: 'm' } }],
});

describe('taskToJson', () => {
  it('gives the same text whatever way the task has come', () => {
    const backwards = Object.fromEntries(Object.entries(TASK).reverse()) as unknown as Task;
    const overTheWire = Task.decode(Task.encode(TASK).finish());
    for (const other of [backwards, overTheWire])
      expect(JSON.stringify(taskToJson(other))).toBe(JSON.stringify(taskToJson(TASK)));
  });

  it('has every field of the message, null where it is absent', () => {
    const json = taskToJson(TASK) as Record<string, unknown>;
    // Whose names stand in `env`.
    const elsewhere = ['sensitive_env'];
    expect(Object.keys(TASK).filter((key) => !Object.hasOwn(json, key))).toEqual(elsewhere);
    expect(json['env']).toEqual({ A: { sensitive: true }, B: 'b' });
    expect(json).toMatchObject({ user: null, node: null, limits: { cpu: null, memory: '2Gi', pids: null } });
  });
});
