/**
 * Where pending tasks should run: strictly by priority, then submission; each on the best of the nodes that no filter
 * rules out. It keeps the nodes at hand between plans and looks anew only at those that it is told have changed; what it
 * plans depends on nothing but the state, the plans in flight and the loads, not on the plans before.
 */
import { invariant } from '../../../lib/assert.ts';
import type { RowChange } from '../../../model/rows.ts';
import type { Resources, TaskRow } from '../../../model/task.ts';
import { nodeHolding } from '../node-loads.ts';
import type { StateView } from '../state-view.ts';
import { misfit } from './fit.ts';
import { headsOf, nodesDue } from './heads.ts';
import type { InFlight, PlannedAssignment } from './in-flight.ts';
import { KeptNodes } from './kept-nodes.ts';
import { NodeChoice } from './node-choice.ts';
import { NodeTable, shareOf } from './node-table.ts';
import { Round } from './round.ts';
import { idlenessOf } from './scores.ts';
import { whyWaiting } from './waiting.ts';

/** A task that fits no node now; it stands for all of the queue that have its needs and request as much or more. */
interface Unplaced {
  readonly taskId: string;
  readonly resources: Resources;
}

export interface Plan {
  readonly assignments: readonly PlannedAssignment[];
  readonly unplaced: readonly Unplaced[];
  /** The first task of the queue that waits for room and that these overtake; null: none. */
  readonly overtakes: string | null;
  /** Whether the limit was reached with tasks left that were not looked at. */
  readonly more: boolean;
}

/** What keeps a node busy, as measured. */
export interface Load {
  /** Share of the cpu. */
  readonly busy: number;
  /** Empty: of the machine's. Else of the quota of the control group that this names, among those of the machine. */
  readonly scope: string;
}

/** Null: not known. */
export type MeasuredLoad = (node: string) => Load | null;

/** Views of nodes that lag behind by more are made anew. */
const CHANGES_KEPT = 65_536;

const NOT_MEASURED = { busy: 0, measured: 0, allocated: 0 };

export class Planner {
  readonly #state: StateView;
  readonly #inFlight: InFlight;
  readonly #table = new NodeTable();
  readonly #choice: NodeChoice;
  /** Nodes to be looked at anew before the next plan. */
  readonly #touched = new Set<string>();

  constructor(state: StateView, inFlight: InFlight) {
    this.#state = state;
    this.#inFlight = inFlight;
    this.#choice = new NodeChoice(this.#table, state, inFlight);
    this.touch(state.nodes.keys());
  }

  /** To be told of whatever is applied. */
  changed(changes: readonly RowChange[]): void {
    for (const change of changes) {
      if (change.table === 'node') this.#touched.add(change.key);
      if (change.table !== 'task') continue;
      const before = change.before === null ? null : nodeHolding(change.before);
      const after = change.after === null ? null : nodeHolding(change.after);
      if (before !== null) this.#touched.add(before);
      if (after !== null && after !== before) this.#touched.add(after);
    }
  }

  /** To be told of the nodes of plans that are no longer in flight. */
  touch(nodes: Iterable<string>): void {
    for (const node of nodes) this.#touched.add(node);
  }

  /**
   * Nodes on one machine, or in one control group, measure the same cpu at different moments, and each other's tasks:
   * they count as one, so that none of them looks better than another.
   */
  measure(loadOf: MeasuredLoad): void {
    this.#sync();
    const table = this.#table;
    const cpus = new Map<string, { busy: number; measured: number; allocated: number }>();
    const cpuOf: { readonly slot: number; readonly cpu: string }[] = [];
    for (const slot of table.order) {
      const { name, capacity, bootId } = table.rowOf(slot);
      const load = loadOf(name);
      const cpu = `${bootId} ${load?.scope ?? ''}`;
      const shared = cpus.get(cpu) ?? { busy: 0, measured: 0, allocated: 0 };
      shared.busy += load?.busy ?? 0;
      shared.measured += load === null ? 0 : 1;
      shared.allocated += shareOf(this.#state.allocated(name).cpuMillis, capacity.cpuMillis);
      cpus.set(cpu, shared);
      cpuOf.push({ slot, cpu });
    }
    for (const { slot, cpu } of cpuOf) {
      const { busy, measured, allocated } = cpus.get(cpu) ?? NOT_MEASURED;
      table.setIdleness(slot, idlenessOf(measured === 0 ? 0 : busy / measured, allocated));
    }
  }

  /** @param limit assignments at the most */
  plan(limit: number): Plan {
    this.#sync();
    const kept = new KeptNodes(this.#state, this.#table);
    try {
      return this.#planRound(limit, kept);
    } finally {
      this.#table.unreserve();
    }
  }

  #planRound(limit: number, kept: KeptNodes): Plan {
    const round = new Round(this.#state, this.#inFlight);
    const assignments: PlannedAssignment[] = [];
    const unplaced: Unplaced[] = [];
    let head: string | null = null;
    let overtakes: string | null = null;
    this.#choice.begin(round);
    const queue = this.#state.pending(
      (request) => round.isHopeless(request),
      (task) => this.#state.isHeld(task),
    );
    for (const task of queue) {
      if (this.#inFlight.has(task.id)) continue;
      if (assignments.length >= limit) return { assignments, unplaced, overtakes, more: true };
      kept.before(task);
      const slot = this.#choice.nodeFor(task);
      if (slot < 0) {
        if (head === null && this.#choice.waitsForRoom(task)) head = task.id;
        round.giveUp(task);
        unplaced.push({ taskId: task.id, resources: task.resources });
        continue;
      }
      overtakes = head;
      assignments.push(this.#place(task, slot, round));
    }
    return { assignments, unplaced, overtakes, more: false };
  }

  /** Which nodes should be kept for a head of the queue now, where that is not so yet. */
  reservation(nowMs: number): { readonly taskId: string; readonly nodes: readonly string[] } | null {
    this.#sync();
    const heads = headsOf(this.#state.cluster);
    if (heads.length === 0) return null;
    const taken = new Set(heads.flatMap(({ nodes }) => nodes));
    const takenBefore = new Set<string>();
    this.#choice.begin(new Round(this.#state, this.#inFlight));
    for (const [at, head] of heads.entries()) {
      for (const node of heads[at - 1]?.nodes ?? []) takenBefore.add(node);
      const task = this.#state.tasks.get(head.taskId);
      if (task === undefined || this.#inFlight.has(task.id)) continue;
      const due = nodesDue(head, nowMs);
      if (due === 0 && head.nodes.length === 0) continue;
      const waits = whyWaiting(task, this.#state) !== null;
      const suited = waits ? [] : this.#choice.nodesWithRoomInTime(task);
      const names = suited.map((slot) => this.#table.rowOf(slot).name);
      const still = head.nodes.filter((name) => names.includes(name));
      const more = Math.max(0, due - still.length);
      const free = names.filter((name) => !taken.has(name));
      // Else a node that is kept for a head behind it were closed to it by what comes between the two.
      const keptBehind = names.filter(
        (name) => taken.has(name) && !takenBefore.has(name) && !still.includes(name),
      );
      const nodes = [...still, ...[...free, ...keptBehind].slice(0, more)];
      if (nodes.join() !== head.nodes.join()) return { taskId: task.id, nodes };
    }
    return null;
  }

  #place(task: TaskRow, slot: number, round: Round): PlannedAssignment {
    const node = this.#table.rowOf(slot);
    const found = misfit(task, node, this.#choice.useOf(slot));
    invariant(found === null, `${task.id} fits ${node.name}: ${found?.reason}`);
    const planned = { taskId: task.id, node: node.name, session: node.session, task };
    this.#table.take(slot, task.resources);
    round.add(planned);
    return planned;
  }

  #sync(): void {
    const { nodes } = this.#state;
    for (const name of this.#touched) {
      const planned = { cpuMillis: 0, memoryBytes: 0, count: 0 };
      for (const { task } of this.#inFlight.on(name)) {
        planned.cpuMillis += task.resources.cpuMillis;
        planned.memoryBytes += task.resources.memoryBytes;
        planned.count += 1;
      }
      const allocated = this.#state.allocated(name);
      const taskCount = this.#state.tasksOn(name).size;
      this.#table.sync(name, nodes.get(name) ?? null, { allocated, taskCount, planned });
    }
    this.#touched.clear();
    if (this.#table.changes.length > CHANGES_KEPT) this.#table.forgetChanges();
  }
}
