/** Bounds on how many tasks of a batch or DAG run at a time, with what is in flight counted as if applied. */
import type { TaskRow } from '../../../model/task.ts';
import type { StateView } from '../state-view.ts';

export class Gates {
  readonly #state: StateView;
  /** Of the gates that have been asked for. */
  readonly #room = new Map<string, number | null>();

  /** @param inFlight ids of tasks whose assignments are proposed and not applied */
  constructor(state: StateView, inFlight: Iterable<string>) {
    this.#state = state;
    for (const taskId of inFlight) {
      const task = state.tasks.get(taskId);
      if (task !== undefined) this.take(task);
    }
  }

  isFull(gate: string): boolean {
    const room = gate === '' ? null : this.#roomIn(gate);
    return room !== null && room <= 0;
  }

  take({ gate }: Pick<TaskRow, 'gate'>): void {
    const room = gate === undefined ? null : this.#roomIn(gate);
    if (gate !== undefined && room !== null) this.#room.set(gate, room - 1);
  }

  #roomIn(gate: string): number | null {
    let room = this.#room.get(gate);
    if (room === undefined) {
      room = this.#state.roomIn(gate);
      this.#room.set(gate, room);
    }
    return room;
  }
}
