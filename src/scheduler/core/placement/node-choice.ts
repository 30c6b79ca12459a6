/**
 * The best node for one task. Where only what is free and how busy nodes are decides, that is the best of all; where
 * rules of the task's own have a say, the best of a bounded number that fit: those near to where it wants to be, those
 * with labels that it prefers, then others from a start that is the task's own. Up to that number it is the best of all.
 */
import { affinityOf, groupIdOf, localityOf } from '../../../model/earlier-rows.ts';
import type { Affinity, AntiRule, WeightedRule } from '../../../model/placement.ts';
import { meetsRule } from '../../../model/placement.ts';
import type { SchedulingPolicy } from '../../../model/cluster.ts';
import { schedulingOf } from '../../../model/cluster.ts';
import type { Resources, TaskRow } from '../../../model/task.ts';
import { preferencesKeyOf, staticKeyOf } from '../request.ts';
import type { StateView } from '../state-view.ts';
import { meets } from '../task-groups.ts';
import type { NodeUse } from './fit.ts';
import { closedTo, forbidden, keptApart, undriven, unwanted } from './fit.ts';
import type { InFlight } from './in-flight.ts';
import type { NodeTable } from './node-table.ts';
import { shareOf } from './node-table.ts';
import { NodeView } from './node-view.ts';
import type { Target } from './places.ts';
import { Places } from './places.ts';
import type { Round } from './round.ts';
import { affinityScore, binpackScore, FARTHEST, localityScore, PENALTY, spreadScore } from './scores.ts';

/** Nodes that fit and are compared, for a task with rules. */
const CANDIDATES = 64;
/** Of those from each list of nodes that the task would like best, and how many of the list are looked at for them. */
const FAVOURITES = 12;
const FAVOURITES_LOOKED_AT = 64;
/** So many are others in any case. */
const OTHERS = 16;
/** Nodes looked at one by one before those that fit are searched for. */
const LOOKED_AT = 256;
const MOST_VIEWS = 64;

/** What is known of nodes by the same preferences. */
interface Preferences {
  readonly rules: readonly WeightedRule[];
  /** By slot, what they come to there; not a number: not looked at yet. */
  readonly scores: Float64Array;
  /** Of a view, for each rule with a weight above 0, the nodes that meet it. */
  readonly favourites: WeakMap<NodeView, readonly (readonly number[])[]>;
}

/** What is asked of every candidate of one task. */
interface Wish {
  readonly task: TaskRow;
  readonly anti: readonly AntiRule[];
  readonly groupId: string | null;
  /** Null: it has none. */
  readonly preferences: Preferences | null;
  readonly targets: readonly Target[];
  /** The node that has just failed the task; -1: none. */
  readonly failed: number;
}

export class NodeChoice {
  readonly #table: NodeTable;
  readonly #state: StateView;
  readonly #inFlight: InFlight;
  readonly #views = new Map<string, NodeView>();
  readonly #preferences = new Map<string, Preferences>();
  #places: Places | null = null;
  #rowsVersion = -1;
  #round: Round | null = null;
  #policy: SchedulingPolicy = 'spread';
  /** By slot, the number of the look in which it was last a candidate. */
  #seenIn = new Float64Array(0);
  #look = 0;
  #best = -1;
  #bestScore = 0;

  constructor(table: NodeTable, state: StateView, inFlight: InFlight) {
    this.#table = table;
    this.#state = state;
    this.#inFlight = inFlight;
  }

  /** Before each plan. */
  begin(round: Round): void {
    this.#round = round;
    this.#policy = schedulingOf(this.#state.cluster?.config).policy;
    if (this.#rowsVersion === this.#table.rowsVersion) return;
    this.#rowsVersion = this.#table.rowsVersion;
    this.#views.clear();
    this.#preferences.clear();
    this.#places = null;
    this.#seenIn = new Float64Array(this.#table.rows.length);
  }

  /** The slot of the best node; -1: none fits. */
  nodeFor(task: TaskRow): number {
    const view = this.#viewFor(task);
    const wish = this.#wishOf(task);
    const isPlain = wish.preferences === null && wish.anti.length + wish.targets.length === 0;
    if (!isPlain || this.#policy !== 'spread') return this.#bestCandidate(view, wish);
    view.catchUp();
    const best = view.best(task.resources);
    if (best < 0 || best !== wish.failed) return best;
    const other = view.bestWithout(best, task.resources);
    if (other < 0) return best;
    return this.#scoreOf(best, wish) > this.#scoreOf(other, wish) ? best : other;
  }

  /** Whether a node that takes work will have room for it once enough of what runs there has ended. */
  waitsForRoom(task: TaskRow): boolean {
    const view = this.#viewFor(task);
    return view.slots.some((slot) => this.#mayHaveRoom(slot, task, this.useOf(slot)));
  }

  /**
   * All of those nodes, the one that lacks least first. What is in flight rules none out: it may be refused for the very
   * node that is kept, and be planned again on the next, and so on for ever.
   */
  nodesWithRoomInTime(task: TaskRow): readonly number[] {
    const lacks = new Map<number, number>();
    for (const slot of this.#viewFor(task).slots)
      if (this.#mayHaveRoom(slot, task, this.#appliedUseOf(slot)))
        lacks.set(slot, this.#lackAt(slot, task.resources));
    const name = (slot: number): string => this.#table.rowOf(slot).name;
    return [...lacks]
      .sort(([a, lackA], [b, lackB]) => lackA - lackB || (name(a) < name(b) ? -1 : 1))
      .map(([slot]) => slot);
  }

  #mayHaveRoom(slot: number, task: TaskRow, use: Pick<NodeUse, 'meeting'>): boolean {
    const table = this.#table;
    const { cpuMillis, memoryBytes } = task.resources;
    if (table.capacityCpu(slot) < cpuMillis || table.capacityMemory(slot) < memoryBytes) return false;
    const row = table.rowOf(slot);
    return closedTo(row) === null && keptApart(task, row, use) === null;
  }

  #appliedUseOf(slot: number): Pick<NodeUse, 'meeting'> {
    const there = this.#state.groupsOn(this.#table.rowOf(slot).name);
    return { meeting: (rules, groupId) => there.meeting(rules, groupId) };
  }

  /** The share of the node that is missing. */
  #lackAt(slot: number, { cpuMillis, memoryBytes }: Resources): number {
    const table = this.#table;
    return Math.max(
      shareOf(cpuMillis - table.freeCpu(slot), table.capacityCpu(slot)),
      shareOf(memoryBytes - table.freeMemory(slot), table.capacityMemory(slot)),
    );
  }

  /** What is on the node, by the state, the plans in flight and this one. */
  useOf(slot: number): NodeUse {
    const table = this.#table;
    const { name, capacity } = table.rowOf(slot);
    return {
      allocated: {
        cpuMillis: capacity.cpuMillis - table.freeCpu(slot),
        memoryBytes: capacity.memoryBytes - table.freeMemory(slot),
      },
      taskCount: table.count(slot),
      meeting: (rules, groupId) => this.#meeting(name, rules, groupId),
    };
  }

  #meeting(node: string, rules: readonly AntiRule[], groupId: string | null): AntiRule | null {
    const found = this.#state.groupsOn(node).meeting(rules, groupId);
    if (found !== null) return found;
    const planned = this.#round?.groupedOn(node) ?? [];
    for (const rule of rules) {
      if (planned.some((task) => meets(task, rule, groupId))) return rule;
      // Labels may have been changed since they were planned.
      for (const { taskId, task } of this.#inFlight.on(node))
        if (meets(this.#state.tasks.get(taskId) ?? task, rule, groupId)) return rule;
    }
    return null;
  }

  #viewFor(task: TaskRow): NodeView {
    const key = staticKeyOf(task);
    let view = this.#views.get(key);
    if (view === undefined) {
      const table = this.#table;
      const needs = task.needs ?? null;
      const slots = table.order.filter((slot) => {
        const row = table.rowOf(slot);
        return (undriven(needs, row) ?? forbidden(needs, row) ?? unwanted(task, row)) === null;
      });
      view = new NodeView(table, slots);
      if (this.#views.size >= MOST_VIEWS) forgetOldest(this.#views);
      this.#views.set(key, view);
    }
    return view;
  }

  #wishOf(task: TaskRow): Wish {
    const affinity = affinityOf(task);
    const near = localityOf(task)?.near ?? [];
    const last = task.attempts.at(-1);
    const failed = last?.status === 'FAILED' ? (this.#table.slotOf(last.node) ?? -1) : -1;
    const targets: Target[] = [];
    if (near.length > 0) {
      this.#places ??= new Places(this.#table);
      for (const one of near) {
        const target = this.#places.target(one, (name) => this.#state.placeOf(name));
        if (target !== null) targets.push(target);
      }
    }
    return {
      task,
      anti: affinity?.anti ?? [],
      groupId: groupIdOf(task),
      preferences:
        affinity === null || affinity.preferred.length === 0 ? null : this.#preferencesOf(affinity),
      targets,
      failed,
    };
  }

  #preferencesOf(affinity: Affinity): Preferences {
    const key = preferencesKeyOf(affinity);
    let preferences = this.#preferences.get(key);
    if (preferences === undefined) {
      const scores = new Float64Array(this.#table.rows.length).fill(Number.NaN);
      preferences = { rules: affinity.preferred, scores, favourites: new WeakMap() };
      if (this.#preferences.size >= MOST_VIEWS) forgetOldest(this.#preferences);
      this.#preferences.set(key, preferences);
    }
    return preferences;
  }

  #bestCandidate(view: NodeView, wish: Wish): number {
    this.#look += 1;
    this.#best = -1;
    this.#bestScore = 0;
    const count = view.slots.length;
    const { createdIndex, createdPosition, resources } = wish.task;
    // Packing wants to fill the first nodes first; otherwise tasks begin at different ones.
    const start =
      this.#policy === 'binpack' || count === 0 ? 0 : (createdIndex * 31 + createdPosition * 7919) % count;
    const favourites = count > CANDIDATES ? this.#considerFavourites(view, wish, start) : 0;
    let found = Math.min(favourites, CANDIDATES - OTHERS);
    // One after the other as long as most of them fit; from leaf to leaf that fits where few do.
    const looks = Math.min(count, LOOKED_AT);
    for (let at = 0; at < looks && found < CANDIDATES; at += 1) {
      const slot = view.slots[(start + at) % count] ?? 0;
      if (this.#table.fits(slot, resources) && this.#consider(slot, wish)) found += 1;
    }
    if (looks < count && found < CANDIDATES) this.#considerFitting(view, wish, { start, looks, found });
    return this.#best;
  }

  /** Goes on where so many have been looked at, from the start on and around. */
  #considerFitting(
    view: NodeView,
    wish: Wish,
    from: { readonly start: number; readonly looks: number; readonly found: number },
  ): void {
    view.catchUp();
    const count = view.slots.length;
    const first = from.start + from.looks;
    const { resources } = wish.task;
    let { found } = from;
    for (const [begin, end] of first < count
      ? [
          [first, count],
          [0, from.start],
        ]
      : [[first - count, from.start]]) {
      let leaf = view.nextFitting(begin ?? 0, resources);
      while (leaf >= 0 && leaf < (end ?? 0) && found < CANDIDATES) {
        if (this.#consider(view.slots[leaf] ?? 0, wish)) found += 1;
        leaf = view.nextFitting(leaf + 1, resources);
      }
    }
  }

  /** @returns how many of them fit */
  #considerFavourites(view: NodeView, wish: Wish, start: number): number {
    let found = 0;
    for (const target of wish.targets) {
      for (const list of this.#places?.around(target) ?? [])
        found += this.#considerSome(view, wish, list, start);
    }
    if (wish.preferences === null) return found;
    for (const list of this.#favouritesIn(view, wish.preferences))
      found += this.#considerSome(view, wish, list, start);
    return found;
  }

  #considerSome(view: NodeView, wish: Wish, slots: readonly number[], start: number): number {
    const looks = Math.min(slots.length, FAVOURITES_LOOKED_AT);
    let found = 0;
    for (let at = 0; at < looks && found < FAVOURITES; at += 1) {
      const slot = slots[(start + at) % slots.length] ?? -1;
      if (!view.has(slot) || !this.#table.fits(slot, wish.task.resources)) continue;
      if (this.#consider(slot, wish)) found += 1;
    }
    return found;
  }

  #favouritesIn(view: NodeView, { rules, favourites }: Preferences): readonly (readonly number[])[] {
    let lists = favourites.get(view);
    if (lists === undefined) {
      lists = rules
        .filter(({ weight }) => weight > 0)
        .map((rule) => [...view.slots].filter((slot) => meetsRule(this.#table.rowOf(slot).labels, rule)));
      favourites.set(view, lists);
    }
    return lists;
  }

  /** @returns whether it may hold the task; it was found to fit by its numbers */
  #consider(slot: number, wish: Wish): boolean {
    if (this.#seenIn[slot] === this.#look) return false;
    this.#seenIn[slot] = this.#look;
    const { anti, groupId } = wish;
    if (anti.length > 0 && this.#meeting(this.#table.rowOf(slot).name, anti, groupId) !== null) return false;
    const score = this.#scoreOf(slot, wish);
    const isBetter =
      this.#best < 0 ||
      score > this.#bestScore ||
      (score === this.#bestScore && this.#table.isBefore(slot, this.#best));
    if (isBetter) {
      this.#best = slot;
      this.#bestScore = score;
    }
    return true;
  }

  #scoreOf(slot: number, { task, preferences, targets, failed }: Wish): number {
    const table = this.#table;
    const { resources } = task;
    const cpu = shareOf(table.freeCpu(slot) - resources.cpuMillis, table.capacityCpu(slot));
    const memory = shareOf(table.freeMemory(slot) - resources.memoryBytes, table.capacityMemory(slot));
    let sum = this.#policy === 'spread' ? spreadScore(cpu, memory) : binpackScore(cpu, memory);
    sum += table.idleness(slot);
    let count = 2;
    if (preferences !== null) {
      sum += this.#preferenceAt(slot, preferences);
      count += 1;
    }
    if (targets.length > 0) {
      let distance = FARTHEST;
      for (const target of targets)
        distance = Math.min(distance, this.#places?.distance(slot, target) ?? FARTHEST);
      sum += localityScore(distance);
      count += 1;
    }
    if (slot === failed) {
      sum += PENALTY;
      count += 1;
    }
    return sum / count;
  }

  #preferenceAt(slot: number, { rules, scores }: Preferences): number {
    const known = scores[slot] ?? Number.NaN;
    if (!Number.isNaN(known)) return known;
    const score = affinityScore(rules, this.#table.rowOf(slot).labels);
    scores[slot] = score;
    return score;
  }
}

function forgetOldest(map: Map<string, unknown>): void {
  for (const key of map.keys()) {
    map.delete(key);
    return;
  }
}
