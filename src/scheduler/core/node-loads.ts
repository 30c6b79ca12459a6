/** What is on each node: an index that follows from the rows of tasks. */
import type { Resources, TaskRow } from '../../model/task.ts';
import { TaskGroups } from './task-groups.ts';

export interface NodeLoad {
  /** Set aside for the tasks ASSIGNED or RUNNING there. */
  readonly allocated: Resources;
  readonly taskIds: ReadonlySet<string>;
  readonly groups: TaskGroups;
}

interface Load extends NodeLoad {
  readonly allocated: { cpuMillis: number; memoryBytes: number };
  readonly taskIds: Set<string>;
}

const NOTHING: NodeLoad = {
  allocated: { cpuMillis: 0, memoryBytes: 0 },
  taskIds: new Set(),
  groups: new TaskGroups(),
};

/** The node on which the task's resources are set aside: from the assignment until nothing of it runs there. */
export function nodeHolding(task: TaskRow): string | null {
  if (task.status !== 'ASSIGNED' && task.status !== 'RUNNING') return null;
  return task.attempts.at(-1)?.node ?? null;
}

export class NodeLoads {
  readonly #loads = new Map<string, Load>();
  #held = 0;

  /** Tasks on all nodes together. */
  get held(): number {
    return this.#held;
  }

  on(node: string): NodeLoad {
    return this.#loads.get(node) ?? NOTHING;
  }

  add(task: TaskRow): void {
    const node = nodeHolding(task);
    if (node === null) return;
    let load = this.#loads.get(node);
    if (load === undefined) {
      load = { allocated: { cpuMillis: 0, memoryBytes: 0 }, taskIds: new Set(), groups: new TaskGroups() };
      this.#loads.set(node, load);
    }
    load.taskIds.add(task.id);
    change(load, task, 1);
    this.#held += 1;
  }

  remove(task: TaskRow): void {
    const node = nodeHolding(task);
    const load = node === null ? undefined : this.#loads.get(node);
    if (node === null || load === undefined || !load.taskIds.delete(task.id)) return;
    this.#held -= 1;
    if (load.taskIds.size === 0) this.#loads.delete(node);
    else change(load, task, -1);
  }
}

function change({ allocated, groups }: Load, task: TaskRow, sign: 1 | -1): void {
  allocated.cpuMillis += sign * task.resources.cpuMillis;
  allocated.memoryBytes += sign * task.resources.memoryBytes;
  groups.add(task, sign);
}
