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
import type { Replica } from '../scheduler/ports.ts';

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
    return found === null ? null : await this.#unmadeAt(found.group, found.position);
  }

  /** Tasks of the group from `first` on and down to `last`, newest first; those that have expired are left out. */
  async newestFirst(group: Group, first: number, last: number): Promise<readonly StoredTask[]> {
    const idOf = memberIds(group, idKey(group.clusterId));
    const positions = Array.from({ length: first - last + 1 }, (_, at) => first - at);
    const found = await Promise.all(
      positions.map(async (position) => {
        const task = await this.#replica.read('task', idOf(position));
        if (task === null) return await this.#unmadeAt(group, position);
        const spec = await this.#replica.read('spec', task.specId);
        return spec === null ? null : { task, spec };
      }),
    );
    return found.filter((one) => one !== null);
  }

  async graphOf(id: string): Promise<GraphRow | null> {
    return await this.#replica.read('graph', id);
  }

  async #unmadeAt(group: Group, position: number): Promise<StoredTask | null> {
    const from = Math.floor(position / group.sliceTasks) * group.sliceTasks;
    const id = memberIds(group, idKey(group.clusterId))(position);
    const blueprint = await this.#replica.read('blueprint', blueprintKey(group.id, from));
    const template = isTemplate(group) ? await this.#replica.read('spec', group.id) : null;
    const graph = isDag(group) ? await this.graphOf(group.id) : null;
    // Made while this was read: then its row is there, and its blueprint may be gone.
    const task = await this.#replica.read('task', id);
    if (task !== null) {
      const spec = await this.#replica.read('spec', task.specId);
      return spec === null ? null : { task, spec };
    }
    const now = this.#replica.state.batches.get(group.id) ?? this.#replica.state.dags.get(group.id);
    if (now === undefined || position < now.made) return null;
    const slice: Slice = { from, blueprint, template: template?.spec ?? null, graph };
    if (slice.template === null && blueprint?.specs === undefined) return null;
    const nodes = this.#replica.state.nodes.values();
    const member = memberOf(group, slice, position, { idOf: () => id, nodes: [...nodes] });
    const spec = template ?? { id, spec: member.spec };
    return { task: member.task, spec };
  }
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
