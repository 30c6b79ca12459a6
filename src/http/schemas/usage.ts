/** What nodes and attempts use, as the API answers with it; see `spec/usage-json.ts`. */
import { z } from 'zod';

import { component, count, number, text, texts, time } from './components.ts';

/** The newest measurement of a node. */
export const usage = component(
  'Usage',
  z.object({
    cpu_percent: number,
    memory_bytes: count,
    disk_bytes: count,
    network_bytes_per_second: number,
    wall_ms: count,
    pressure: texts,
    cpu_scope: text,
    network_receive_bytes_per_second: number,
    network_transmit_bytes_per_second: number,
    disk_size_bytes: count.describe('Of the file system that holds the data directory'),
    memory_size_bytes: count.describe('Of the machine, or of the control group that confines the node'),
  }),
);

const nodeSample = z.object({
  at: time,
  cpu_percent: number.describe('Mean of the interval'),
  memory_bytes: count,
  disk_bytes: count,
  network_receive_bytes_per_second: number,
  network_transmit_bytes_per_second: number,
});

/** Null: it cannot be told on that node. */
const amounts = {
  cpu_cores: number.nullable().describe('1.5: one core and half of another'),
  memory_bytes: count.nullable(),
  pids: count.nullable().describe('Threads of all its processes'),
  read_bytes_per_second: number.nullable().describe('From disks'),
  write_bytes_per_second: number.nullable().describe('To disks'),
  network_receive_bytes_per_second: number.nullable().describe('Of a container with a network of its own'),
  network_transmit_bytes_per_second: number.nullable(),
};

const attemptUsage = component(
  'AttemptUsage',
  z.object({
    task_id: text,
    attempt: count,
    assignment: count,
    driver: z.enum(['process', 'docker']),
    sampled_at: time,
    memory_limit_bytes: count.nullable().describe('Null: no limit'),
    ...amounts,
  }),
);

const interval = number.describe('Seconds between two samples of the history, at least');

export const nodeUsage = component(
  'NodeUsage',
  z.object({
    node: text,
    sampled_at: time.nullable(),
    interval,
    usage: usage.nullable(),
    history: z.array(nodeSample).describe('The oldest first; about a quarter of an hour'),
    attempts: z.array(attemptUsage).describe('Those that run, the most demanding first'),
    attempts_total: count,
  }),
);

export const taskUsage = component(
  'TaskUsage',
  attemptUsage.extend({
    node: text,
    interval,
    history: z
      .array(z.object({ at: time, ...amounts }))
      .describe('The oldest first; about a quarter of an hour'),
  }),
);
