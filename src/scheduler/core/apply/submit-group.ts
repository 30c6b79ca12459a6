/** Batches and DAGs are accepted whole: the first of their tasks are made at once, the others in slices (docs/adr/0008). */
import { MAX_POSITION, encodeId } from '../../../lib/ids.ts';
import { sizeOfWork } from '../../../model/batch-work.ts';
import type { Outcome, SubmitBatchCommand, SubmitDagCommand } from '../../../model/commands.ts';
import { concurrencyOf } from '../../../model/earlier-rows.ts';
import type { BatchRow, BlueprintRow, GroupRow, GroupTable } from '../../../model/group.ts';
import { blueprintKey } from '../../../model/group.ts';
import type { PackedSpecs } from '../../../model/packed-specs.ts';
import { sliceOfSpecs } from '../../../model/packed-specs.ts';
import type { TaskSpec } from '../../../model/task.ts';
import { fillIn, parametersOf, placeholdersIn } from '../../../model/template.ts';
import type { Slice } from '../groups/make.ts';
import { makeSlice } from '../groups/make.ts';
import { noneCompleted } from '../groups/rows.ts';
import { startCounts } from '../groups/settle.ts';
import type { Transaction } from '../transaction.ts';
import { once } from './idempotency.ts';
import { done, refuse } from './outcomes.ts';
import { otherMaximum, queueIsFull } from './submit-tasks.ts';

export interface SubmitGroupResult {
  readonly id: string;
}

type Blueprint = Omit<BlueprintRow, 'key'>;

export function submitBatch(transaction: Transaction, command: SubmitBatchCommand): Outcome {
  return once(transaction, command.idempotency, () => {
    const { work } = command;
    const size = sizeOfWork(work);
    const refusal =
      sizeIsWrong(size, command) ??
      queueIsFull(transaction, size) ??
      otherMaximum(transaction, concurrenciesOf(work));
    if (refusal !== null) return refusal;
    const template = work.type === 'tasks' ? null : work.template;
    const row: BatchRow = {
      ...newGroup(transaction, 'batch', command, size, 0),
      isTemplate: template !== null,
    };
    transaction.put('batch', row.id, row);
    if (template !== null) transaction.put('spec', row.id, { id: row.id, spec: template });
    const blueprintFrom = (from: number): Blueprint | null => {
      const end = from + command.sliceTasks;
      if (work.type === 'tasks') return { specs: sliceOfSpecs(work.specs, from, end), parameters: null };
      return work.type === 'template' ? null : { specs: null, parameters: work.parameters.slice(from, end) };
    };
    begin(transaction, 'batch', row, { template, graph: null, blueprintFrom });
    return done<SubmitGroupResult>({ id: row.id });
  });
}

export function submitDag(transaction: Transaction, command: SubmitDagCommand): Outcome {
  return once(transaction, command.idempotency, () => {
    const { tasks, specs, dependencies } = command;
    const size = tasks.length;
    const refusal =
      sizeIsWrong(size, command) ??
      queueIsFull(transaction, size) ??
      otherMaximum(transaction, concurrenciesIn(specs));
    if (refusal !== null) return refusal;
    const waiting = dependencies.filter((one) => one.length > 0).length;
    const group = newGroup(transaction, 'dag', command, size, waiting);
    const row = { ...group, completed: noneCompleted(size), due: [], dueAt: 0 };
    const graph = { id: row.id, tasks, dependencies };
    transaction.put('dag', row.id, row);
    transaction.put('graph', row.id, graph);
    transaction.put('dagName', row.name, { name: row.name, dagId: row.id });
    const blueprintFrom = (from: number): Blueprint => ({
      specs: sliceOfSpecs(specs, from, from + command.sliceTasks),
      parameters: null,
    });
    begin(transaction, 'dag', row, { template: null, graph, blueprintFrom });
    return done<SubmitGroupResult>({ id: row.id });
  });
}

/** What is checked before it is proposed, and would not end here, or not fit its ids, if it came all the same. */
function sizeIsWrong(
  size: number,
  { sliceTasks }: Pick<GroupRow, 'sliceTasks'>,
): Extract<Outcome, { type: 'refused' }> | null {
  for (const [what, count] of Object.entries({ tasks: size, 'tasks in a slice': sliceTasks }))
    if (!Number.isSafeInteger(count) || count < 1)
      return refuse('invalid', `${count} ${what}; a whole number is needed`);
  if (size > MAX_POSITION) return refuse('too_many', `${size} tasks; at most ${MAX_POSITION} are allowed`);
  return null;
}

/** What they ask of concurrency keys; of a template it is the same for all of its tasks, unless the key is filled in. */
function* concurrenciesOf(work: SubmitBatchCommand['work']): Iterable<Pick<TaskSpec, 'concurrency'>> {
  if (work.type === 'tasks') {
    yield* concurrenciesIn(work.specs);
    return;
  }
  const concurrency = concurrencyOf(work.template);
  if (concurrency === null) return;
  const varies = placeholdersIn(concurrency.key).length > 0;
  for (let index = 0; index < (varies ? sizeOfWork(work) : 1); index += 1) {
    const parameters = work.type === 'parameters' ? (work.parameters[index] ?? []) : [];
    yield { concurrency: fillIn(concurrency, parametersOf(index, parameters)) };
  }
}

function concurrenciesIn({ base, changes }: PackedSpecs): readonly Pick<TaskSpec, 'concurrency'>[] {
  return [base, ...changes.filter(({ concurrency }) => concurrency !== undefined && concurrency !== null)];
}

function newGroup(
  transaction: Transaction,
  kind: GroupTable,
  command: SubmitBatchCommand | SubmitDagCommand,
  size: number,
  waiting: number,
): GroupRow {
  const { clusterId, epoch } = transaction.cluster;
  const { index } = transaction.entry;
  const { name, maxParallel, maxFailures, sliceTasks } = command;
  return {
    id: encodeId(kind, { epoch, index, position: 0 }, transaction.state.idKey),
    namespace: 'default',
    name,
    clusterId,
    epoch,
    createdIndex: index,
    size,
    made: 0,
    sliceTasks,
    maxParallel,
    maxFailures,
    counts: startCounts(waiting, size),
    status: 'PENDING',
    statusReason: null,
    stopping: null,
    sweep: null,
    createdAtMs: transaction.nowMs,
    startedAtMs: null,
    finishedAtMs: null,
  };
}

function begin(
  transaction: Transaction,
  table: GroupTable,
  { id, size, sliceTasks }: GroupRow,
  parts: Omit<Slice, 'from' | 'blueprint'> & { readonly blueprintFrom: (from: number) => Blueprint | null },
): void {
  const { blueprintFrom, ...slice } = parts;
  for (let from = sliceTasks; from < size; from += sliceTasks) {
    const blueprint = blueprintFrom(from);
    const key = blueprintKey(id, from);
    if (blueprint !== null) transaction.put('blueprint', key, { key, ...blueprint });
  }
  makeSlice(transaction, { table, id }, { ...slice, from: 0, blueprint: blueprintFrom(0) });
}
