/**
 * What the cluster has to do and what it has to do it with, as scaling rules see it (docs/contract.md, section 6). Pure.
 * Work counts only where more nodes would help it: what waits for dependencies, a time, a concurrency key or its turn in
 * its batch does not, and what fits no kind of node is reported by itself.
 */
import { concurrencyOf } from '../../model/earlier-rows.ts';
import type { NodeRow } from '../../model/node.ts';
import type { Resources } from '../../model/task.ts';
import type { QueuedRequest } from '../../scheduler/core/pending-queue.ts';
import { maximumOf } from '../../scheduler/core/placement/waiting.ts';
import { whyNowhere } from '../../scheduler/core/placement/why-nowhere.ts';
import type { StateView } from '../../scheduler/core/state-view.ts';

export interface Load {
  /** Tasks that could run, and are on no node yet. */
  readonly queueDepth: number;
  /** Seconds, of those: the mean, and the longest that is known of. 0 where there are none. */
  readonly averageWaitTime: number;
  readonly longestWaitTime: number;
  /** Tasks that could run if any node could hold them. */
  readonly unplaceable: number;
  /** Percent of the processors or the memory of the nodes that work, whichever is fuller, that is set aside. */
  readonly utilization: number;
  /** Nodes that work, or will once they are heard of again: what is being drained or is OFFLINE is none. */
  readonly nodes: number;
  readonly capacity: Resources;
  readonly allocated: Resources;
}

type LoadState = Pick<StateView, 'allocated' | 'isHeld' | 'keyUse' | 'nodes' | 'queuedRequests' | 'roomIn'>;

/** Nodes are looked at one by one for so many requests; what has others is taken for placeable. */
const REQUESTS_JUDGED = 1000;

/** @param newNodes what nodes that are yet to come would be like, beside those that there are */
export function loadOf(state: LoadState, nowMs: number, newNodes: readonly NodeRow[] = []): Load {
  return { ...waitingOf(state, nowMs, newNodes), ...usedOf(state) };
}

type Waiting = Pick<Load, 'averageWaitTime' | 'longestWaitTime' | 'queueDepth' | 'unplaceable'>;

function waitingOf(state: LoadState, nowMs: number, newNodes: readonly NodeRow[]): Waiting {
  const nodes = [...state.nodes.values(), ...newNodes];
  const rooms = new Rooms(state);
  let [depth, unplaceable, waitSumMs, longestMs, judged] = [0, 0, 0, 0, 0];
  for (const queued of state.queuedRequests()) {
    const count = rooms.of(queued);
    if (count === 0) continue;
    judged += 1;
    if (judged <= REQUESTS_JUDGED && whyNowhere(queued.first, nodes, null) !== null) {
      unplaceable += count;
      continue;
    }
    rooms.take(queued, count);
    depth += count;
    const meanMs = Math.max(0, nowMs - queued.sinceSumMs / queued.count);
    waitSumMs += count * meanMs;
    // The first may have been queued anew: others behind it wait for longer then.
    longestMs = Math.max(longestMs, nowMs - queued.firstSinceMs, meanMs);
  }
  return {
    queueDepth: depth,
    averageWaitTime: depth === 0 ? 0 : waitSumMs / depth / 1000,
    longestWaitTime: longestMs / 1000,
    unplaceable,
  };
}

/** How many more tasks may run, of what bounds that: a key, or a batch or DAG. */
class Rooms {
  readonly #state: LoadState;
  readonly #left = new Map<string, number>();

  constructor(state: LoadState) {
    this.#state = state;
  }

  /** How many of the tasks would run if there were nodes enough, beside those that were taken. */
  of(queued: QueuedRequest): number {
    if (this.#state.isHeld(queued.first)) return 0;
    return Math.max(0, Math.min(queued.count, ...this.#boundsOf(queued).map(({ left }) => left)));
  }

  /** They count as running from now on. */
  take(queued: QueuedRequest, count: number): void {
    for (const { name, left } of this.#boundsOf(queued)) this.#left.set(name, left - count);
  }

  #boundsOf({ request, first }: QueuedRequest) {
    return [this.#ofKey(first), this.#ofGate(request.gate)].filter((bound) => bound !== null);
  }

  #ofKey(task: QueuedRequest['first']): { readonly name: string; readonly left: number } | null {
    const concurrency = concurrencyOf(task);
    if (concurrency === null) return null;
    const name = `key ${concurrency.key}`;
    const holding = this.#state.keyUse(concurrency.key)?.holding ?? 0;
    return { name, left: this.#left.get(name) ?? maximumOf(concurrency, this.#state) - holding };
  }

  #ofGate(gate: string): { readonly name: string; readonly left: number } | null {
    const room = gate === '' ? null : this.#state.roomIn(gate);
    if (room === null) return null;
    const name = `gate ${gate}`;
    return { name, left: this.#left.get(name) ?? room };
  }
}

function usedOf(state: LoadState): Pick<Load, 'allocated' | 'capacity' | 'nodes' | 'utilization'> {
  const capacity = { cpuMillis: 0, memoryBytes: 0 };
  const allocated = { cpuMillis: 0, memoryBytes: 0 };
  let nodes = 0;
  for (const node of state.nodes.values()) {
    if (node.status === 'AVAILABLE' || node.status === 'UNHEALTHY') nodes += 1;
    if (node.status !== 'AVAILABLE') continue;
    const used = state.allocated(node.name);
    capacity.cpuMillis += node.capacity.cpuMillis;
    capacity.memoryBytes += node.capacity.memoryBytes;
    allocated.cpuMillis += used.cpuMillis;
    allocated.memoryBytes += used.memoryBytes;
  }
  const shares = [
    share(allocated.cpuMillis, capacity.cpuMillis),
    share(allocated.memoryBytes, capacity.memoryBytes),
  ];
  return { capacity, allocated, nodes, utilization: 100 * Math.max(...shares) };
}

function share(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}
