/**
 * Plans that have been proposed and not applied, and what has been applied since the oldest of them was made: by it a
 * refused assignment is either explained (something it rests on has changed since) or a bug of the planner.
 */
import { concurrencyOf } from '../../../model/earlier-rows.ts';
import type { QueueHead } from '../../../model/cluster.ts';
import type { RowChange } from '../../../model/rows.ts';
import { headsOf } from './heads.ts';
import { nodeHolding } from '../node-loads.ts';
import type { InFlight, PlannedAssignment } from './in-flight.ts';

const NONE: readonly PlannedAssignment[] = [];

export interface PlanInFlight {
  /** The applied index on which it was made. */
  readonly planIndex: number;
  readonly assignments: readonly PlannedAssignment[];
}

export class PlansInFlight implements InFlight {
  readonly #plans = new Set<PlanInFlight>();
  readonly #assignments = new Map<string, PlannedAssignment>();
  readonly #byNode = new Map<string, Set<PlannedAssignment>>();
  /** For tasks, nodes, concurrency keys, batches and DAGs, the index of the last command but our own assignments that touched them. */
  readonly #touched = new Map<string, number>();
  readonly #heads: () => readonly QueueHead[];
  /** From after this index on all that was touched is known; nothing is while no plan is in flight. */
  #knownFrom = Infinity;
  #hasAbandoned = false;

  /** @param heads of the queue, as they are now */
  constructor(heads: () => readonly QueueHead[]) {
    this.#heads = heads;
  }

  get count(): number {
    return this.#plans.size;
  }

  // Without what has been applied already.

  has(taskId: string): boolean {
    return this.#assignments.has(taskId);
  }

  on(node: string): Iterable<PlannedAssignment> {
    return this.#byNode.get(node) ?? NONE;
  }

  values(): Iterable<PlannedAssignment> {
    return this.#assignments.values();
  }

  add(plan: PlanInFlight): void {
    if (this.#plans.size === 0) this.#knownFrom = plan.planIndex;
    this.#plans.add(plan);
    for (const planned of plan.assignments) {
      this.#assignments.set(planned.taskId, planned);
      const there = this.#byNode.get(planned.node);
      if (there === undefined) this.#byNode.set(planned.node, new Set([planned]));
      else there.add(planned);
    }
  }

  /** Its proposal was dropped, or it is unknown whether it was: it may still be applied, uncounted by later plans. */
  abandon(plan: PlanInFlight): void {
    this.#hasAbandoned = true;
    this.settle(plan);
  }

  /** Its fate is known: nothing of it counts as in flight any more. */
  settle(plan: PlanInFlight): void {
    if (!this.#plans.delete(plan)) return;
    for (const planned of plan.assignments) {
      if (this.#assignments.get(planned.taskId) === planned) this.#remove(planned);
    }
    this.#forget();
  }

  /** One of the plans was applied, to the state or in vain. To be told after its refusals were judged. */
  applied(index: number, taskIds: Iterable<string>, changes: readonly RowChange[]): void {
    for (const taskId of taskIds) {
      const planned = this.#assignments.get(taskId);
      if (planned !== undefined) this.#remove(planned);
    }
    // Later plans have counted it already, unless it is one that was given up.
    if (this.#hasAbandoned) this.changed(index, changes);
  }

  /** To be told of every other command that was applied. */
  changed(index: number, changes: readonly RowChange[]): void {
    if (this.#plans.size === 0) return;
    for (const change of changes) {
      if (change.table === 'cluster') this.#touchKept(change, index);
      if (change.table === 'node') this.#touched.set(`node/${change.key}`, index);
      if (change.table === 'batch' || change.table === 'dag') this.#touched.set(`group/${change.key}`, index);
      if (change.table !== 'task') continue;
      this.#touched.set(`task/${change.key}`, index);
      // What keeps apart from it may be planned beside it: its labels may have changed.
      const planned = this.#assignments.get(change.key);
      if (planned !== undefined) this.#touched.set(`node/${planned.node}`, index);
      // What is kept for it is so against others when its priority has changed.
      for (const { taskId, nodes } of this.#heads())
        if (taskId === change.key) for (const node of nodes) this.#touched.set(`node/${node}`, index);
      for (const row of [change.before, change.after]) {
        const node = row === null ? null : nodeHolding(row);
        if (node !== null) this.#touched.set(`node/${node}`, index);
        const key = row === null ? null : concurrencyOf(row)?.key;
        if (typeof key === 'string') this.#touched.set(`key/${key}`, index);
      }
    }
  }

  /**
   * Whether something that the assignment rests on has changed since the plan. Of one that was abandoned, and comes late,
   * there may be no telling: then that is the explanation.
   * @param shared with others, if anything
   */
  isExplained(
    assignment: { readonly taskId: string; readonly node: string },
    planIndex: number,
    { concurrencyKey, groupId }: { readonly concurrencyKey: string | null; readonly groupId: string | null },
  ): boolean {
    if (planIndex < this.#knownFrom) return true;
    const touched = Math.max(
      groupId === null ? 0 : (this.#touched.get(`group/${groupId}`) ?? 0),
      this.#touched.get(`task/${assignment.taskId}`) ?? 0,
      this.#touched.get(`node/${assignment.node}`) ?? 0,
      concurrencyKey === null ? 0 : (this.#touched.get(`key/${concurrencyKey}`) ?? 0),
    );
    return touched > planIndex;
  }

  /** Nodes that are kept for a head of the queue since. */
  #touchKept({ before, after }: Extract<RowChange, { table: 'cluster' }>, index: number): void {
    if (before?.heads === after?.heads) return;
    for (const { nodes } of headsOf(after))
      for (const node of nodes) this.#touched.set(`node/${node}`, index);
  }

  #remove(planned: PlannedAssignment): void {
    this.#assignments.delete(planned.taskId);
    const there = this.#byNode.get(planned.node);
    there?.delete(planned);
    if (there?.size === 0) this.#byNode.delete(planned.node);
  }

  #forget(): void {
    // Of none: infinite.
    const oldest = Math.min(...[...this.#plans].map(({ planIndex }) => planIndex));
    this.#knownFrom = oldest;
    for (const [name, index] of this.#touched) if (index <= oldest) this.#touched.delete(name);
  }
}
