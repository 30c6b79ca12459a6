/** Of the nodes that the autoscaler has made, those that can go without what runs on them having nowhere to go. Pure. */
import { zoneOf, type NodeRow } from '../../model/node.ts';
import type { InstanceRow } from '../../model/scaling.ts';
import type { TaskRow } from '../../model/task.ts';
import { whyNowhere } from '../../scheduler/core/placement/why-nowhere.ts';
import { requestKey } from '../../scheduler/core/request.ts';
import type { StateView } from '../../scheduler/core/state-view.ts';
import type { Load } from './load.ts';
import { utilizationCeiling, type PolicyInput } from './policy.ts';
import { chooseVictims, type LeavingCandidate, type OtherNode } from './victims.ts';

/** A node that was let in. */
export interface ScalingMember {
  readonly name: string;
  /** It receives the log; else it works without a copy of the state. */
  readonly hasCopy: boolean;
  readonly isVoter: boolean;
  readonly isCaughtUp: boolean;
}

interface LeavingInput {
  readonly state: StateView;
  readonly members: readonly ScalingMember[];
  readonly settings: Pick<PolicyInput['settings'], 'scaleUpRules'>;
  readonly load: Pick<Load, 'allocated' | 'capacity'>;
  /** At most. */
  readonly count: number;
  /** There are more nodes than there may be: they go, whatever room the others have. */
  readonly isSurplus: boolean;
}

/** @returns ids of instances, and why there are no more */
export function leavingNodes(input: LeavingInput): { readonly ids: readonly string[]; readonly why: string } {
  const { state, count, isSurplus } = input;
  let candidates = candidatesOf(input);
  const others: OtherNode[] = [...othersOf(input, candidates)];
  let why = 'no node is there that the autoscaler may take away';
  for (;;) {
    const ids = chooseVictims(candidates, others, count);
    const chosen = candidates.filter(({ id }) => ids.includes(id));
    if (isSurplus) return { ids, why };
    const bound = chosen.find(({ node }) => isBound(state, node, chosen));
    if (bound === undefined) {
      const fitting = withRoom(input, ids, candidates);
      return fitting.length > 0 || ids.length === 0
        ? { ids: fitting, why }
        : { ids: [], why: 'the others have no room for what they do' };
    }
    // It stays, and so do its vote and its zone.
    candidates = candidates.filter((one) => one !== bound);
    others.push(bound);
    why = 'what runs on them fits no other node';
  }
}

/** Whether something runs there that no node could take which stays: ended with the drain, it would wait for ever, or have the node made anew. */
function isBound(state: StateView, name: string, leaving: readonly LeavingCandidate[]): boolean {
  const gone = new Set(leaving.map(({ node }) => node));
  const staying = [...state.nodes.values()].filter(
    (node) => works(node) && node.schedulable && !gone.has(node.name),
  );
  const kinds = new Map<string, TaskRow>();
  for (const id of state.tasksOn(name)) {
    const task = state.tasks.get(id);
    if (task !== undefined) kinds.set(requestKey(task), task);
  }
  return [...kinds.values()].some((task) => whyNowhere(task, staying, null) !== null);
}

/** As many of them as the rest has room without: nodes need not be alike. */
function withRoom(
  { state, settings, load }: LeavingInput,
  ids: readonly string[],
  candidates: readonly LeavingCandidate[],
): readonly string[] {
  const ceiling = utilizationCeiling(settings) / 100;
  const { allocated } = load;
  for (let count = ids.length; count > 0; count -= 1) {
    let { cpuMillis, memoryBytes } = load.capacity;
    for (const id of ids.slice(0, count)) {
      const node = state.nodes.get(candidates.find((one) => one.id === id)?.node ?? '');
      if (node?.status !== 'AVAILABLE') continue;
      cpuMillis -= node.capacity.cpuMillis;
      memoryBytes -= node.capacity.memoryBytes;
    }
    if (allocated.cpuMillis <= cpuMillis * ceiling && allocated.memoryBytes <= memoryBytes * ceiling)
      return ids.slice(0, count);
  }
  return [];
}

function candidatesOf({ state, members }: LeavingInput): readonly LeavingCandidate[] {
  const candidates: LeavingCandidate[] = [];
  for (const instance of state.instances.values()) {
    const node = state.nodes.get(instance.node);
    if (instance.phase === 'JOINED' && works(node))
      candidates.push(candidateOf(instance, node, { state, members }));
  }
  return candidates;
}

function othersOf(
  { state, members }: LeavingInput,
  candidates: readonly LeavingCandidate[],
): readonly OtherNode[] {
  const own = new Set(candidates.map(({ node }) => node));
  return members
    .filter(({ name }) => !own.has(name))
    .map(({ name, isVoter, isCaughtUp }) => {
      const node = state.nodes.get(name);
      // One that is away or about to leave takes no vote over.
      return { isVoter, isCaughtUp: isCaughtUp && works(node), zone: zoneOf(node) };
    });
}

function works(node: NodeRow | undefined): node is NodeRow {
  return node?.status === 'AVAILABLE' || node?.status === 'UNHEALTHY';
}

function candidateOf(
  { id, createdAtMs }: InstanceRow,
  node: NodeRow,
  { state, members }: Pick<LeavingInput, 'members' | 'state'>,
): LeavingCandidate {
  const used = state.allocated(node.name);
  const { cpuMillis, memoryBytes } = node.capacity;
  const member = members.find(({ name }) => name === node.name);
  return {
    id,
    node: node.name,
    zone: zoneOf(node),
    hasCopy: member?.hasCopy ?? false,
    isVoter: member?.isVoter ?? false,
    isCaughtUp: member?.isCaughtUp ?? false,
    filling: Math.max(used.cpuMillis / Math.max(1, cpuMillis), used.memoryBytes / Math.max(1, memoryBytes)),
    tasks: state.tasksOn(node.name).size,
    createdAtMs,
  };
}
