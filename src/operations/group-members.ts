/**
 * The tasks of batches and DAGs as they are read. Their ids follow from their positions, so that they are found without
 * an index; those whose rows are not made yet are shown as what they will be.
 */
import { decodeId, idKey } from '../lib/ids.ts';
import type { BatchRow, DagRow, GraphRow, GroupRow } from '../model/group.ts';
import { blueprintKey } from '../model/group.ts';
import type { SpecRow, TaskRow } from '../model/task.ts';
import type { Slice } from '../scheduler/core/groups/make.ts';
import { isTemplate, memberOf } from '../scheduler/core/groups/make.ts';
import { isDag, memberIds } from '../scheduler/core/groups/rows.ts';
import type { Replica, StateView } from '../scheduler/ports.ts';

type Group = BatchRow | DagRow;

export interface StoredTask {
  readonly task: TaskRow;
  readonly spec: SpecRow;
}

export class GroupMembers {
  readonly #replica: Pick<Replica, 'read' | 'state'>;

  constructor(replica: Pick<Replica, 'read' | 'state'>) {
    this.#replica = replica;
  }

  /** Whether the id is that of a task whose row will be made; null where it is not. */
  unmadeGroupOf(taskId: string): { readonly group: Group; readonly position: number } | null {
    const { batches, dags } = this.#replica.state;
    for (const group of [...batches.values(), ...dags.values()]) {
      if (group.made === group.size) continue;
      const position = positionIn(group, taskId);
      if (position !== null && position >= group.made) return { group, position };
    }
    return null;
  }

  /** A task whose row is not made, as it will be; null where the id is of none such. */
  async unmade(taskId: string): Promise<StoredTask | null> {
    const found = this.unmadeGroupOf(taskId);
    if (found === null) return null;
    const [task] = await this.newestFirst(found.group, found.position, found.position);
    return task ?? null;
  }

  /** Tasks of the group from `first` on and down to `last`, newest first; those that have expired are left out. */
  async newestFirst(group: Group, first: number, last: number): Promise<readonly StoredTask[]> {
    const idOf = memberIds(group, idKey(group.clusterId));
    const slices = new Map<number, Promise<Slice>>();
    const positions = Array.from({ length: first - last + 1 }, (_, at) => first - at);
    const found = await Promise.all(
      positions.map(async (position) => {
        const id = idOf(position);
        const stored = await this.#stored(id);
        if (stored !== null) return stored;
        const from = Math.floor(position / group.sliceTasks) * group.sliceTasks;
        const slice = slices.get(from) ?? this.#sliceOf(group, from);
        slices.set(from, slice);
        const unmade = unmadeIn(group, await slice, position, id, this.#replica.state);
        // Made while this was read: then its row is there, and its blueprint may be gone.
        return (await this.#stored(id)) ?? unmade;
      }),
    );
    return found.filter((one) => one !== null);
  }

  async graphOf(id: string): Promise<GraphRow | null> {
    return await this.#replica.read('graph', id);
  }

  async #stored(id: string): Promise<StoredTask | null> {
    const task = await this.#replica.read('task', id);
    const spec = task === null ? null : await this.#replica.read('spec', task.specId);
    return task === null || spec === null ? null : { task, spec };
  }

  async #sliceOf(group: Group, from: number): Promise<Slice> {
    const blueprint = await this.#replica.read('blueprint', blueprintKey(group.id, from));
    const template = isTemplate(group) ? await this.#replica.read('spec', group.id) : null;
    const graph = isDag(group) ? await this.graphOf(group.id) : null;
    return { from, blueprint, template: template?.spec ?? null, graph };
  }
}

/** Null where there is nothing left of which it could be made: it was, and has expired. */
function unmadeIn(
  group: Group,
  slice: Slice,
  position: number,
  id: string,
  { batches, dags, nodes, cluster }: StateView,
): StoredTask | null {
  const now = batches.get(group.id) ?? dags.get(group.id);
  const { blueprint, template } = slice;
  const isMissing = template === null ? (blueprint?.specs ?? null) === null : false;
  if (now === undefined || isMissing || position < now.made) return null;
  const member = memberOf(group, slice, position, {
    idOf: () => id,
    nodes: [...nodes.values()],
    cluster,
    nowMs: cluster?.timeMs ?? 0,
  });
  return { task: member.task, spec: { id: member.task.specId, spec: template ?? member.spec } };
}

/** Where the task stands in the group; null where it is of another. */
function positionIn(
  group: Pick<GroupRow, 'clusterId' | 'epoch' | 'createdIndex' | 'size'>,
  taskId: string,
): number | null {
  let at: ReturnType<typeof decodeId>;
  try {
    at = decodeId('task', taskId, idKey(group.clusterId));
  } catch {
    // No id of a task at all.
    return null;
  }
  const isIn = at.epoch === group.epoch && at.index === group.createdIndex && at.position < group.size;
  return isIn ? at.position : null;
}
