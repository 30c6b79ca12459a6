/** Between batches and DAGs as users write them and as they travel to a node (proto/cluster.proto). */
import type { SubmitBatchRequest, SubmitDagRequest } from '../generated/cluster.ts';
import { Turns } from './turns.ts';
import { plainFromWire, wireFromPlain } from './wire.ts';

type Plain = Readonly<Record<string, unknown>>;

/** @param plain as users write it, and found valid by `checkBatch` */
export function batchToWire(plain: unknown, key: string): SubmitBatchRequest {
  const batch = (Array.isArray(plain) ? { tasks: plain } : plain) as Plain;
  const template = batch['template'] as Plain | null | undefined;
  return {
    name: textOf(batch['name']),
    tasks: listOf(batch['tasks']).map(wireFromPlain),
    template: isAbsent(template) ? undefined : wireFromPlain(template),
    count: numberOf(batch['count']),
    parameters: listOf(batch['parameters']).map((values) => ({
      values: Object.fromEntries(Object.entries(values).map(([name, value]) => [name, String(value)])),
    })),
    ...boundsOf(batch),
    idempotency_key: key,
  };
}

/** @param plain as users write it, and found valid by `checkDag` */
export function dagToWire(plain: unknown, key: string): SubmitDagRequest {
  const dag = plain as Plain;
  return {
    name: textOf(dag['name']),
    tasks: listOf(dag['tasks']).map(({ id, dependencies, ...task }) => ({
      id: textOf(id),
      task: wireFromPlain(task),
      dependencies: [...((dependencies ?? []) as readonly string[])],
    })),
    ...boundsOf(dag),
    idempotency_key: key,
  };
}

/** The batch as users would have written it, for `checkBatch`; made in pieces. */
export async function plainBatch(wire: SubmitBatchRequest): Promise<Plain> {
  const { template, count, parameters } = wire;
  const tasks = await inPieces(wire.tasks, plainFromWire);
  return {
    name: wire.name === '' ? undefined : wire.name,
    tasks: tasks.length === 0 && template !== undefined ? undefined : tasks,
    template: template === undefined ? undefined : plainFromWire(template),
    count,
    parameters: parameters.length === 0 ? undefined : parameters.map(({ values }) => values),
    max_parallel: wire.max_parallel,
    max_failures: wire.max_failures,
  };
}

/** The DAG as users would have written it, for `checkDag`; made in pieces. */
export async function plainDag(wire: SubmitDagRequest): Promise<Plain> {
  return {
    name: wire.name,
    tasks: await inPieces(wire.tasks, ({ id, task, dependencies }) => ({
      ...(task === undefined ? {} : plainFromWire(task)),
      id,
      dependencies,
    })),
    max_parallel: wire.max_parallel,
    max_failures: wire.max_failures,
  };
}

async function inPieces<T, R>(items: readonly T[], make: (item: T) => R): Promise<R[]> {
  const turns = new Turns();
  const made: R[] = [];
  for (const item of items) {
    made.push(make(item));
    await turns.piece();
  }
  return made;
}

function boundsOf(group: Plain): Pick<SubmitBatchRequest, 'max_parallel' | 'max_failures'> {
  return {
    max_parallel: numberOf(group['max_parallel']),
    max_failures: numberOf(group['max_failures']),
  };
}

function listOf(value: unknown): readonly Plain[] {
  return (value ?? []) as readonly Plain[];
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function numberOf(value: unknown): number | undefined {
  return isAbsent(value) ? undefined : (value as number);
}

function isAbsent(value: unknown): value is null | undefined {
  return value === null || value === undefined;
}
