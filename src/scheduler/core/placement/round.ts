import { concurrencyOf, groupIdOf } from '../../../model/earlier-rows.ts';
import type { Concurrency } from '../../../model/placement.ts';
import type { TaskRow } from '../../../model/task.ts';
import { requestOf } from '../request.ts';
import type { TaskRequest } from '../request.ts';
import type { StateView } from '../state-view.ts';
import { HopelessRequests } from './hopeless.ts';
import type { InFlight, PlannedAssignment } from './in-flight.ts';
import { maximumOf } from './waiting.ts';

/** What one plan has found and decided so far. */
export class Round {
  readonly #state: StateView;
  readonly #hopeless = new HopelessRequests();
  readonly #keys = new Map<string, number>();
  readonly #gates = new Map<string, number>();
  /** By node; only of tasks that others may keep apart from. */
  readonly #grouped = new Map<string, TaskRow[]>();

  constructor(state: StateView, inFlight: InFlight) {
    this.#state = state;
    for (const { task } of inFlight.values()) this.#count(task);
  }

  isHopeless(request: TaskRequest): boolean {
    const { concurrency, gate } = request;
    if (concurrency !== null && this.#isFull(concurrency)) return true;
    if (gate !== '' && this.#isShut(gate)) return true;
    return this.#hopeless.includes(request);
  }

  giveUp(task: TaskRow): void {
    this.#hopeless.add(requestOf(task));
  }

  add({ task, node }: PlannedAssignment): void {
    this.#count(task);
    if (groupIdOf(task) === null && task.labels === undefined) return;
    const there = this.#grouped.get(node);
    if (there === undefined) this.#grouped.set(node, [task]);
    else there.push(task);
  }

  groupedOn(node: string): readonly TaskRow[] {
    return this.#grouped.get(node) ?? [];
  }

  #count(task: TaskRow): void {
    const { gate } = task;
    if (gate !== undefined) this.#gates.set(gate, (this.#gates.get(gate) ?? 0) + 1);
    const concurrency = concurrencyOf(task);
    if (concurrency !== null) this.#keys.set(concurrency.key, (this.#keys.get(concurrency.key) ?? 0) + 1);
  }

  #isShut(gate: string): boolean {
    const room = this.#state.roomIn(gate);
    return room !== null && room <= (this.#gates.get(gate) ?? 0);
  }

  #isFull(concurrency: Concurrency): boolean {
    const { key } = concurrency;
    const holding = (this.#state.keyUse(key)?.holding ?? 0) + (this.#keys.get(key) ?? 0);
    return holding >= maximumOf(concurrency, this.#state);
  }
}
