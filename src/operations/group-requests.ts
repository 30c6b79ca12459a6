/** Requests for batches and DAGs as they come over the wire, checked: every fault at once, and nothing done before. */
import type {
  ListGroupsRequest,
  PlanRequest,
  SubmitBatchRequest,
  SubmitDagRequest,
} from '../generated/cluster.ts';
import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { sizeOfWork } from '../model/batch-work.ts';
import type { RetryPolicy } from '../model/task.ts';
import type { BatchSpec } from '../spec/batch-schema.ts';
import { checkBatch } from '../spec/batch-schema.ts';
import type { DagSpec } from '../spec/dag-schema.ts';
import { checkDag } from '../spec/dag-schema.ts';
import { formatPath, invalidInput } from '../spec/faults.ts';
import type { Checked } from '../spec/group-fields.ts';
import { plainBatch, plainDag } from '../spec/group-wire.ts';
import type { Planned } from './explanations.ts';
import { parseSubmit } from './requests.ts';

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1000;
const MAX_CURSOR = 1024;

/** @throws JarvisError invalid, with all faults */
export async function parseBatch(
  request: SubmitBatchRequest,
  retryPolicy: RetryPolicy | undefined,
): Promise<BatchSpec> {
  return expectValid(await checkBatch(await plainBatch(request), retryPolicy));
}

/** @throws JarvisError invalid, with all faults; cycles are named */
export async function parseDag(
  request: SubmitDagRequest,
  retryPolicy: RetryPolicy | undefined,
): Promise<DagSpec> {
  return expectValid(await checkDag(await plainDag(request), retryPolicy));
}

/** @throws JarvisError invalid, with all faults */
export function expectValid<T>(checked: Checked<T>): T {
  if (checked.type === 'valid') return checked.spec;
  throw invalidInput(checked.faults.map(({ path, message }) => ({ path: formatPath(path), message })));
}

/** @throws JarvisError invalid, with the faults of the first part that has any; too_large */
export async function parsePlan(
  { tasks, batches, dags }: PlanRequest,
  retryPolicy: RetryPolicy | undefined,
): Promise<Planned> {
  const isOfGroups = batches.length + dags.length > 0;
  const planned = {
    tasks: tasks.length === 0 && isOfGroups ? [] : parseSubmit({ tasks }, retryPolicy),
    batches: await inOrder(batches, (batch) => parseBatch(batch, retryPolicy)),
    dags: await inOrder(dags, (dag) => parseDag(dag, retryPolicy)),
  };
  const count =
    planned.tasks.length +
    planned.batches.reduce((sum, { work }) => sum + sizeOfWork(work), 0) +
    planned.dags.reduce((sum, dag) => sum + dag.tasks.length, 0);
  if (count <= limits.plannedTasks) return planned;
  throw new JarvisError(
    'too_large',
    `${count} tasks are too many to be planned together: at most ${limits.plannedTasks}`,
  );
}

/** One after the other: each lets others have their turn. */
async function inOrder<T, R>(items: readonly T[], parse: (item: T) => Promise<R>): Promise<readonly R[]> {
  const parsed: R[] = [];
  for (const item of items) parsed.push(await parse(item));
  return parsed;
}

/** @throws JarvisError invalid */
export function parseListGroups({ limit, cursor }: ListGroupsRequest): {
  readonly limit: number;
  readonly cursor: string;
} {
  if (limit > MAX_LIMIT)
    throw invalidInput([{ path: 'limit', message: `${limit} is too large: at most ${MAX_LIMIT}` }]);
  if (cursor.length > MAX_CURSOR) throw new JarvisError('invalid', 'cursor: is not a cursor of this cluster');
  return { limit: limit === 0 ? DEFAULT_LIMIT : limit, cursor };
}
