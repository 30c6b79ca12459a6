/**
 * What a policy would have done with a load that is known: the policy itself, over a cluster that is made of counts. Pure.
 * Tasks are taken in the order of their arrival by whoever has room; a node boots for a while, costs from when it was asked
 * for, and leaves once it is empty.
 */
import type { Autoscaling } from '../../model/autoscaling.ts';
import type { Decision } from './policy.ts';
import { decide } from './policy.ts';

/** Tasks that arrive together and are alike. */
export interface Arrival {
  readonly atMs: number;
  readonly tasks: number;
  readonly durationMs: number;
}

export interface SimulatedNodes {
  /** Tasks that a node runs at once. */
  readonly slots: number;
  /** From when a node is asked for until it takes work. */
  readonly bootMs: number;
  /** At work from the beginning; they vote, and stay. */
  readonly founders: number;
}

/** One evaluation of the rules. */
export interface Step {
  readonly atMs: number;
  readonly active: number;
  readonly joining: number;
  /** That still run what they had. */
  readonly leaving: number;
  readonly queued: number;
  readonly running: number;
  /** Percent. */
  readonly utilization: number;
  /** Seconds. */
  readonly averageWaitTime: number;
  readonly decision: Decision;
}

export interface Simulation {
  readonly steps: readonly Step[];
  /** Hours of nodes that were paid for. */
  readonly nodeHours: number;
  /**
   * What who knows the future would have paid for nothing to wait that there may be nodes for: nodes only while there is work for
   * them, there at once. Less is paid by those alone who let it wait.
   */
  readonly idealNodeHours: number;
  /** Seconds, over all tasks that have begun. */
  readonly averageWait: number;
  readonly longestWait: number;
  readonly completed: number;
}

type SimulatedSettings = Pick<
  Autoscaling,
  'intervalMs' | 'maxNodes' | 'minNodes' | 'scaleDownRules' | 'scaleUpRules'
>;

const HOUR_MS = 3_600_000;
/** All times are whole seconds: finer ones say nothing about nodes that boot for minutes. */
const TICK_MS = 1000;

/**
 * @param arrivals sorted by time
 * @param untilMs the last evaluation is at or before it
 */
export function simulate(
  settings: SimulatedSettings,
  facts: SimulatedNodes,
  { arrivals, untilMs }: { readonly arrivals: readonly Arrival[]; readonly untilMs: number },
): Simulation {
  const cluster = new SimulatedCluster(facts, arrivals);
  const steps: Step[] = [];
  let past: { readonly [Action in Decision['action']]: number | null } = {
    add_nodes: null,
    remove_nodes: null,
    none: null,
  };
  let dueMs = 0;
  for (let nowMs = 0; nowMs <= untilMs; nowMs += TICK_MS) {
    cluster.advance(nowMs);
    if (nowMs < dueMs) continue;
    dueMs += settings.intervalMs;
    const seen = cluster.seen(nowMs);
    const decision = decide({
      nowMs,
      settings,
      load: { ...seen, queueDepth: seen.queued },
      nodes: seen,
      voters: facts.founders,
      lastUpAtMs: past.add_nodes,
      lastDownAtMs: past.remove_nodes,
    });
    steps.push({ atMs: nowMs, ...seen, decision });
    past = { ...past, [decision.action]: nowMs };
    if (decision.action === 'add_nodes') cluster.add(decision.count, nowMs);
    if (decision.action === 'remove_nodes') cluster.remove(decision.count);
  }
  return { steps, ...cluster.totals(), idealNodeHours: idealHours(settings, facts, arrivals, untilMs) };
}

interface SimulatedNode {
  readonly isFounder: boolean;
  readonly readyAtMs: number;
  isLeaving: boolean;
  running: number;
}

/** Tasks and nodes as counts, in virtual time. */
class SimulatedCluster {
  readonly #facts: SimulatedNodes;
  readonly #arrivals: readonly Arrival[];
  #nextArrival = 0;
  #nodes: SimulatedNode[];
  /** Those that wait, the first first; each with how many of it are left. */
  readonly #queue: { readonly arrival: Arrival; left: number }[] = [];
  /** Before it all of the queue has begun. */
  #firstWaiting = 0;
  #queued = 0;
  /** Of the times at which those came that wait. */
  #arrivalSumMs = 0;
  /** By the second in which they end. */
  readonly #ends = new Map<number, { readonly node: SimulatedNode; readonly tasks: number }[]>();
  #paidMs = 0;
  #begun = 0;
  #waitSumMs = 0;
  #longestMs = 0;
  #completed = 0;

  constructor(facts: SimulatedNodes, arrivals: readonly Arrival[]) {
    this.#facts = facts;
    this.#arrivals = arrivals;
    this.#nodes = Array.from({ length: facts.founders }, () => ({
      isFounder: true,
      readyAtMs: 0,
      isLeaving: false,
      running: 0,
    }));
  }

  /** One second on: what ends, what comes, what finds room, and who goes. */
  advance(nowMs: number): void {
    for (const { node, tasks } of this.#ends.get(nowMs) ?? []) {
      node.running -= tasks;
      this.#completed += tasks;
    }
    this.#ends.delete(nowMs);
    for (;;) {
      const arrival = this.#arrivals[this.#nextArrival];
      if (arrival === undefined || arrival.atMs > nowMs) break;
      this.#nextArrival += 1;
      this.#queue.push({ arrival, left: arrival.tasks });
      this.#queued += arrival.tasks;
      this.#arrivalSumMs += arrival.tasks * arrival.atMs;
    }
    this.#nodes = this.#nodes.filter(({ isLeaving, running }) => !isLeaving || running > 0);
    if (nowMs > 0) this.#paidMs += this.#nodes.length * TICK_MS;
    this.#place(nowMs);
  }

  seen(nowMs: number): Omit<Step, 'atMs' | 'decision'> {
    const active = this.#working(nowMs);
    const queued = this.#queued;
    const running = this.#nodes.reduce((sum, node) => sum + node.running, 0);
    const used = active.reduce((sum, node) => sum + node.running, 0);
    return {
      active: active.length,
      joining: this.#nodes.filter(({ readyAtMs }) => readyAtMs > nowMs).length,
      leaving: this.#nodes.filter(({ isLeaving }) => isLeaving).length,
      queued,
      running,
      utilization: active.length === 0 ? 0 : (100 * used) / (active.length * this.#facts.slots),
      averageWaitTime: queued === 0 ? 0 : (nowMs - this.#arrivalSumMs / queued) / 1000,
    };
  }

  add(count: number, nowMs: number): void {
    const readyAtMs = nowMs + this.#facts.bootMs;
    for (let at = 0; at < count; at += 1)
      this.#nodes.push({ isFounder: false, readyAtMs, isLeaving: false, running: 0 });
  }

  /** The emptiest first. */
  remove(count: number): void {
    const candidates = this.#nodes.filter(({ isFounder, isLeaving }) => !isFounder && !isLeaving);
    candidates.sort((a, b) => a.running - b.running);
    for (const node of candidates.slice(0, count)) node.isLeaving = true;
  }

  totals(): Pick<Simulation, 'averageWait' | 'completed' | 'longestWait' | 'nodeHours'> {
    return {
      nodeHours: this.#paidMs / HOUR_MS,
      averageWait: this.#begun === 0 ? 0 : this.#waitSumMs / this.#begun / 1000,
      longestWait: this.#longestMs / 1000,
      completed: this.#completed,
    };
  }

  #working(nowMs: number): readonly SimulatedNode[] {
    return this.#nodes.filter(({ isLeaving, readyAtMs }) => !isLeaving && readyAtMs <= nowMs);
  }

  /** The emptiest node takes what comes next, as far as it is emptier than the others. */
  #place(nowMs: number): void {
    const nodes = [...this.#working(nowMs)].sort((a, b) => a.running - b.running);
    for (const [at, node] of nodes.entries()) {
      const room = this.#facts.slots - node.running;
      let share = Math.min(room, Math.ceil(this.#queued / (nodes.length - at)));
      while (share > 0) share -= this.#begin(node, share, nowMs);
    }
  }

  /** @returns how many of the first that wait were begun */
  #begin(node: SimulatedNode, most: number, nowMs: number): number {
    const first = this.#queue[this.#firstWaiting];
    if (first === undefined) return most;
    const tasks = Math.min(most, first.left);
    const { atMs, durationMs } = first.arrival;
    first.left -= tasks;
    if (first.left === 0) this.#firstWaiting += 1;
    this.#queued -= tasks;
    this.#arrivalSumMs -= tasks * atMs;
    node.running += tasks;
    this.#begun += tasks;
    this.#waitSumMs += tasks * (nowMs - atMs);
    this.#longestMs = Math.max(this.#longestMs, nowMs - atMs);
    const endMs = nowMs + Math.max(TICK_MS, Math.ceil(durationMs / TICK_MS) * TICK_MS);
    const ends = this.#ends.get(endMs) ?? [];
    ends.push({ node, tasks });
    this.#ends.set(endMs, ends);
    return tasks;
  }
}

/** Each second as many nodes as it needs for all that is there, within the bounds, and at once. */
function idealHours(
  { minNodes, maxNodes }: SimulatedSettings,
  { slots, founders }: SimulatedNodes,
  arrivals: readonly Arrival[],
  untilMs: number,
): number {
  const least = Math.max(minNodes, founders);
  const queue = arrivals.map(({ tasks, atMs, durationMs }) => ({ atMs, durationMs, left: tasks }));
  const ends = new Map<number, number>();
  let [first, running, paidMs] = [0, 0, 0];
  for (let nowMs = 0; nowMs <= untilMs; nowMs += TICK_MS) {
    running -= ends.get(nowMs) ?? 0;
    for (let at = first; at < queue.length; at += 1) {
      const arrival = queue[at];
      if (arrival === undefined || arrival.atMs > nowMs || running === maxNodes * slots) break;
      const tasks = Math.min(arrival.left, maxNodes * slots - running);
      if (tasks > 0) {
        const endMs = nowMs + Math.max(TICK_MS, Math.ceil(arrival.durationMs / TICK_MS) * TICK_MS);
        ends.set(endMs, (ends.get(endMs) ?? 0) + tasks);
        arrival.left -= tasks;
        running += tasks;
      }
      if (arrival.left === 0 && at === first) first += 1;
    }
    const nodes = Math.min(maxNodes, Math.max(least, Math.ceil(running / slots)));
    if (nowMs > 0) paidMs += nodes * TICK_MS;
  }
  return paidMs / HOUR_MS;
}
