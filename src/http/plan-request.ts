import { isPlainObject } from '../lib/plain-object.ts';
import type { PlanRequest } from '../generated/cluster.ts';
import { expectValid } from '../operations/group-requests.ts';
import { checkBatch } from '../spec/batch-schema.ts';
import { checkDag } from '../spec/dag-schema.ts';
import { batchToWire, dagToWire } from '../spec/group-wire.ts';
import { parseTaskSpec } from '../spec/task-schema.ts';
import { wireFromPlain } from '../spec/wire.ts';

/** A task, or a batch or DAG by its `kind`; a list is a batch. @throws JarvisError invalid, with every fault */
export async function planRequest(body: unknown): Promise<PlanRequest> {
  const nothing = { tasks: [], batches: [], dags: [] };
  const kind = isPlainObject(body) ? body['kind'] : undefined;
  if (Array.isArray(body) || kind === 'Batch') {
    expectValid(await checkBatch(body));
    return { ...nothing, batches: [batchToWire(body, '')] };
  }
  if (kind === 'Dag') {
    expectValid(await checkDag(body));
    return { ...nothing, dags: [dagToWire(body, '')] };
  }
  parseTaskSpec(body);
  return { ...nothing, tasks: [wireFromPlain(body as Readonly<Record<string, unknown>>)] };
}
