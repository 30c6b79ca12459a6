/** Makes the rows of a group's tasks, a slice at a time, from what the group was submitted with (docs/adr/0008). */
import { invariant } from '../../../lib/assert.ts';
import type { ClusterRow } from '../../../model/cluster.ts';
import type { BlueprintRow, GraphRow, GroupRef } from '../../../model/group.ts';
import { blueprintKey } from '../../../model/group.ts';
import type { NodeRow } from '../../../model/node.ts';
import { unpackSpec } from '../../../model/packed-specs.ts';
import type { TaskRow, TaskSpec } from '../../../model/task.ts';
import { fillIn, parametersOf } from '../../../model/template.ts';
import { newTask } from '../new-task.ts';
import type { Transaction } from '../transaction.ts';
import { endEarly } from './end-early.ts';
import { keepSpec } from './keep-spec.ts';
import type { Group } from './rows.ts';
import { graphOf, groupRow, isDag, memberIds, putGroup } from './rows.ts';

/** A slice of what tasks are made of, and where it begins. */
export interface Slice {
  readonly from: number;
  /** Null: tasks of a template that is filled in with the index only. */
  readonly blueprint: Pick<BlueprintRow, 'specs' | 'parameters'> | null;
  /** Null: each has a spec of its own. */
  readonly template: TaskSpec | null;
  /** Of a DAG. */
  readonly graph: GraphRow | null;
}

export interface Member {
  readonly task: TaskRow;
  readonly spec: TaskSpec;
}

/** A task of a group as it begins: what its row will be, or is, when it is made. */
export function memberOf(
  group: Group,
  { from, blueprint, template, graph }: Slice,
  position: number,
  options: {
    readonly idOf: (position: number) => string;
    readonly nodes: Iterable<NodeRow>;
    readonly cluster: Pick<ClusterRow, 'version'> | null;
    readonly nowMs: number;
  },
): Member {
  const parameters = blueprint?.parameters?.[position - from] ?? [];
  const spec =
    template === null
      ? blueprint?.specs && unpackSpec(blueprint.specs, position - from)
      : fillIn(template, parametersOf(position, parameters));
  invariant(spec !== undefined && spec !== null, `task ${position} of ${group.id} has a spec`);
  const id = options.idOf(position);
  const task = newTask({
    id,
    specId: template === null ? id : group.id,
    spec,
    createdIndex: group.createdIndex,
    createdPosition: position,
    createdAtMs: group.createdAtMs,
    nodes: options.nodes,
    cluster: options.cluster,
    nowMs: options.nowMs,
  });
  const gate = group.maxParallel === null ? {} : { gate: group.id };
  if (!isDag(group)) {
    const ofTemplate = template === null ? {} : { parameters };
    return { spec, task: { ...task, ...gate, batchId: group.id, batchIndex: position, ...ofTemplate } };
  }
  const waits = (graph?.dependencies[position]?.length ?? 0) > 0;
  const ofDag = { ...gate, dagId: group.id, dagTask: graph?.tasks[position] ?? '' };
  if (!waits) return { spec, task: { ...task, ...ofDag } };
  const { waitsUntilMs: _, ...due } = task;
  return { spec, task: { ...due, ...ofDag, status: 'WAITING', statusReason: null } };
}

/** The next slice. @param given where it does not stand in a row of its own */
export function makeSlice(transaction: Transaction, ref: GroupRef, given: Slice | null = null): void {
  const group = groupRow(transaction, ref);
  if (group === null || group.made === group.size) return;
  const slice = given ?? storedSlice(transaction, group);
  const end = Math.min(group.size, slice.from + group.sliceTasks);
  if (slice.template !== null) keepSpec(transaction, group.id);
  const options = {
    idOf: memberIds(group),
    nodes: [...transaction.state.nodes.values()],
    cluster: transaction.cluster,
    nowMs: transaction.nowMs,
  };
  for (let position = slice.from; position < end; position += 1) {
    const { task, spec } = memberOf(group, slice, position, options);
    if (slice.template === null) transaction.put('spec', task.id, { id: task.id, spec });
    transaction.putTask(task);
    if (group.stopping !== null) endEarly(transaction, task, group.stopping);
  }
  if (given === null && slice.blueprint !== null)
    transaction.delete('blueprint', blueprintKey(group.id, slice.from));
  putGroup(transaction, ref, { ...group, made: end });
}

function storedSlice(transaction: Transaction, group: Group): Slice {
  const from = group.made;
  const blueprint = transaction.get('blueprint', blueprintKey(group.id, from));
  const graph = isDag(group) ? graphOf(transaction, group.id) : null;
  const template = isTemplate(group) ? transaction.get('spec', group.id) : null;
  invariant(blueprint !== null || template !== null, `slice ${from} of ${group.id} is there`);
  return { from, blueprint, template: template?.spec ?? null, graph };
}

export function isTemplate(group: Group): boolean {
  return !isDag(group) && group.isTemplate;
}
