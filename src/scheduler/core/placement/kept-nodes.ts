import type { TaskRow } from '../../../model/task.ts';
import type { StateView } from '../state-view.ts';
import { compareInQueue, headsOf } from './heads.ts';
import type { NodeTable } from './node-table.ts';

interface Kept {
  readonly head: TaskRow;
  readonly nodes: readonly string[];
}

/** Takes the nodes that are kept for heads of the queue out of the table once a plan has come past those heads. */
export class KeptNodes {
  readonly #table: NodeTable;
  /** The last in the order of the queue first. */
  readonly #ahead: Kept[];

  constructor(state: StateView, table: NodeTable) {
    this.#table = table;
    this.#ahead = headsOf(state.cluster)
      .flatMap(({ taskId, nodes }) => {
        const head = state.tasks.get(taskId);
        return head === undefined || nodes.length === 0 ? [] : [{ head, nodes }];
      })
      .sort((a, b) => compareInQueue(b.head, a.head));
  }

  /** To be told of each task, in the order of the queue, before a node is looked for. */
  before(task: TaskRow): void {
    for (;;) {
      const next = this.#ahead.at(-1);
      if (next === undefined || compareInQueue(next.head, task) >= 0) return;
      this.#ahead.pop();
      this.#table.reserve(next.nodes.flatMap((name) => this.#table.slotOf(name) ?? []));
    }
  }
}
