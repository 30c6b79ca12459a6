import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { FAMILY_GROUPS } from './table.ts';

const families = FAMILY_GROUPS.flatMap((group) => group.families);

describe('the table of families', () => {
  it('has those of every file of the folder', () => {
    const table = readFileSync(path.join(import.meta.dirname, 'table.ts'), 'utf8');
    const files = readdirSync(import.meta.dirname).filter((name) => !/(^table|\.test)\.ts$/.test(name));
    expect(files.filter((name) => !table.includes(`from './${name}'`))).toEqual([]);
  });

  it('names each once', () => {
    const names = families.map(({ name }) => name);
    expect(names).toEqual([...new Set(names)]);
  });

  it('has the names, types and labels of use case 7', () => {
    const named = families.filter(({ name }) => !name.startsWith('jarvis_'));
    expect(named.map(({ name, type, labels }) => [name, type, ...labels].join(' ')).toSorted()).toEqual([
      'scheduler_latency_seconds histogram',
      'scheduler_queue_depth gauge',
      'scheduler_tasks_scheduled_total counter',
      'task_duration_seconds histogram',
      'task_failures_total counter error_type',
      'worker_active_tasks gauge node_id',
      'worker_cpu_usage_percent gauge node_id',
      'worker_memory_bytes gauge node_id',
    ]);
  });

  it.each(families.map((family) => [family.name, family] as const))('%s is well formed', (name, family) => {
    expect(name.endsWith('_total')).toBe(family.type === 'counter');
    expect(family.help).toMatch(/^(gRPC|[A-Z1]).*[^.]$/);
    const buckets = [...family.buckets];
    expect(buckets).toEqual(buckets.toSorted((a, b) => a - b));
    expect(buckets.length > 0).toBe(family.type === 'histogram');
  });
});
