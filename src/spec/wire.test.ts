import { describe, expect, it } from 'vitest';

import { TaskSpec } from '../generated/cluster.ts';
import { checkTaskSpec, parseTaskSpec } from './task-schema.ts';
import { plainFromWire, wireFromPlain } from './wire.ts';

const OTHER = {
  maxAttempts: 7,
  backoffStrategy: 'fixed',
  backoffBase: 1,
  maxBackoff: 9,
  retryableErrors: ['R'],
  nonRetryableErrors: ['N'],
} as const;

function throughWire(plain: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return plainFromWire(TaskSpec.decode(TaskSpec.encode(wireFromPlain(plain)).finish()));
}

describe('a task on the wire', () => {
  it.each([
    { command: ['a'] },
    { command: ['a'], timeout: null, env: null, resources: { cpu: 0.5 }, labels: { a: 'b' } },
    {
      kind: 'Task',
      name: 'n',
      command: ['a', ''],
      env: { A: '', B: 'x=y' },
      working_dir: '/',
      resources: { cpu: '250m', memory: '1G' },
      priority: 'low',
      timeout: 90,
      stop_grace: '0s',
      retry_policy: { max_attempts: 5, backoff_strategy: 'fixed', backoff_base: 0, max_backoff: 1.5 },
    },
    { command: ['a'], retry_policy: { non_retryable_errors: [] } },
    { command: ['a'], retry_policy: { retryable_errors: ['X'] } },
    { command: ['a'], retry_policy: { retryable_errors: [] } },
    { command: ['a'], retry_policy: { retryable_errors: [], non_retryable_errors: ['X'] } },
    { command: ['a'], retry_policy: {} },
    { command: ['a'], on_node_loss: 'wait' },
    { command: ['a'], env: { A: 'a', B: { value: 'b', sensitive: true }, C: { value: 'c' } } },
    {
      command: ['a'],
      not_before: '2026-12-01T00:00:00Z',
      concurrency: { key: 'db', max: 3 },
      affinity: {
        required: [{ key: 'zone', operator: 'in', values: ['a', 'b'] }],
        preferred: [
          { key: 'ssd', operator: 'exists', weight: -5 },
          { key: 'old', operator: 'not_exists' },
        ],
        anti: [{ batch: 'self' }, { labels: { team: 'data' } }],
      },
      locality: { near: ['zone=a', { task: 'extract' }] },
    },
    { command: ['a'], not_before: null, concurrency: null, affinity: null, locality: null },
    { command: ['a'], affinity: { required: null, anti: [] }, locality: { near: [] } },
    { image: 'python' },
    {
      image: 'python:3.9',
      command: ['x'],
      user: 1000,
      mounts: [
        { source: '/a', target: '/b', read_only: true },
        { source: '/c', target: '/d', read_only: null },
      ],
      network: 'none',
      pull_policy: 'never',
      limits: { cpu: 2, memory: '1Gi', pids: 5 },
    },
    { image: 'python', limits: {}, mounts: [] },
    { image: 'python', limits: { cpu: 0.5 }, mounts: null },
  ])('means the same as before: %j', (plain) => {
    expect(parseTaskSpec(throughWire(plain))).toEqual(parseTaskSpec(plain));
    // Also where the cluster has a default of its own.
    expect(checkTaskSpec(throughWire(plain), OTHER)).toEqual(checkTaskSpec(plain, OTHER));
  });

  it('takes from the cluster what a retry policy does not say', () => {
    const plain = throughWire({ command: ['a'], retry_policy: { max_attempts: 2, retryable_errors: [] } });
    expect(checkTaskSpec(plain, OTHER)).toMatchObject({
      spec: { retryPolicy: { ...OTHER, maxAttempts: 2, retryableErrors: [] } },
    });
  });

  it('leaves absent what was absent, so that the cluster fills in defaults', () => {
    expect(throughWire({ command: ['a'] })).toEqual({ command: ['a'], env: {}, labels: {} });
  });
});
