/** Batches and DAGs as the API answers with them; see `spec/json.ts`. */
import { z } from 'zod';

import { component, count, countsByName, list, text, texts, time } from './components.ts';
import { taskStatus } from './tasks.ts';

const group = {
  id: text,
  name: text,
  status: z.enum(['PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED']),
  status_reason: text.nullable(),
  size: count.describe('Tasks in all'),
  counts: countsByName.describe('Tasks per status'),
  max_parallel: count.nullable(),
  max_failures: count.nullable(),
  created_at: time,
  started_at: time.nullable(),
  finished_at: time.nullable(),
};

export const batch = component('Batch', z.object(group));
export const batchList = list('BatchList', batch);

export const submittedBatch = component(
  'SubmittedBatch',
  z.object({
    batch_id: text,
    tasks: z.array(z.object({ id: text, name: text })).describe('In the order of the request'),
  }),
);

const dagTask = component(
  'DagTask',
  z.object({
    id: text,
    name: text,
    dag_task: text,
    dependencies: texts,
    status: taskStatus,
    status_reason: text.nullable(),
    attempt: count,
    node: text.nullable(),
    exit_code: z.int().nullable(),
    started_at: time.nullable(),
    finished_at: time.nullable(),
  }),
);

export const dag = component('Dag', z.object({ ...group, tasks: z.array(dagTask) }));
export const dagList = list('DagList', component('DagSummary', z.object(group)));
