/** Requests for batches and DAGs as they come over the wire, checked: every fault at once, and nothing done before. */
import type { ListGroupsRequest, SubmitBatchRequest, SubmitDagRequest } from '../generated/cluster.ts';
import { JarvisError } from '../lib/errors.ts';
import type { BatchSpec } from '../spec/batch-schema.ts';
import { checkBatch } from '../spec/batch-schema.ts';
import type { DagSpec } from '../spec/dag-schema.ts';
import { checkDag } from '../spec/dag-schema.ts';
import { formatPath, invalidInput } from '../spec/faults.ts';
import type { Checked } from '../spec/group-fields.ts';
import { plainBatch, plainDag } from '../spec/group-wire.ts';

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1000;
const MAX_CURSOR = 1024;

/** @throws JarvisError invalid, with all faults */
export async function parseBatch(request: SubmitBatchRequest): Promise<BatchSpec> {
  return expectValid(await checkBatch(await plainBatch(request)));
}

/** @throws JarvisError invalid, with all faults; cycles are named */
export async function parseDag(request: SubmitDagRequest): Promise<DagSpec> {
  return expectValid(await checkDag(await plainDag(request)));
}

/** @throws JarvisError invalid, with all faults */
export function expectValid<T>(checked: Checked<T>): T {
  if (checked.type === 'valid') return checked.spec;
  throw invalidInput(checked.faults.map(({ path, message }) => ({ path: formatPath(path), message })));
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
