/** One look at the load: what it is, what the rules come to, and what of that can be done. Pure. */
import type { Autoscaling } from '../../model/autoscaling.ts';
import { dryRunOf } from '../../model/earlier-rows.ts';
import type { ScalingDecision, ScalingLoad } from '../../model/scaling.ts';
import { NO_SCALING } from '../../model/scaling.ts';
import { scalingSizeOf, type ScalingSize } from '../../scheduler/core/scaling-size.ts';
import type { StateView } from '../../scheduler/core/state-view.ts';
import { loadOf, type Load } from './load.ts';
import { leavingNodes, type ScalingMember } from './leaving-nodes.ts';
import { newNodes } from './new-nodes.ts';
import { decide, type Decision } from './policy.ts';

export interface EvaluationInput {
  readonly state: StateView;
  /** The cluster's. */
  readonly nowMs: number;
  readonly settings: Autoscaling;
  readonly members: readonly ScalingMember[];
  /** That are kept. */
  readonly voters: number;
}

export interface Evaluation {
  readonly load: Load;
  readonly size: ScalingSize;
  readonly decision: Decision;
  /** Instances to be asked for. */
  readonly add: number;
  /** Ids of instances that are being drained, and stay. */
  readonly keep: readonly string[];
  /** Ids of instances that leave. */
  readonly remove: readonly string[];
}

export function evaluate(input: EvaluationInput): Evaluation {
  const { state, nowMs, settings, voters } = input;
  const load = loadOf(state, nowMs, newNodes(state, settings));
  const size = scalingSizeOf(state);
  const { failure } = state.scaling ?? NO_SCALING;
  const past = pastOf(state, dryRunOf(settings));
  const decision = decide({ nowMs, settings, load, nodes: size, voters, ...past });
  const nothing = { load, size, add: 0, keep: [], remove: [] };
  if (decision.action === 'add_nodes') {
    const keep = staying(state).slice(0, decision.count);
    const isHeldBack = failure !== null && nowMs < failure.heldUntilMs;
    if (!isHeldBack) return { ...nothing, decision, keep, add: decision.count - keep.length };
    const why = `nothing is asked for after a failure: ${failure.reason}`;
    if (keep.length === 0) return { ...nothing, decision: withheld(decision, size, why) };
    // Nobody has to be asked for those that are there still.
    const desired = decision.desired - decision.count + keep.length;
    const reason = `${decision.reason}; ${why}`;
    return { ...nothing, decision: { ...decision, count: keep.length, desired, reason }, keep };
  }
  if (decision.action === 'none') return { ...nothing, decision };
  const isSurplus = size.active + size.joining > Math.max(settings.maxNodes, voters);
  const { ids: remove, why } = leavingNodes({ ...input, load, count: decision.count, isSurplus });
  if (remove.length === 0) return { ...nothing, decision: withheld(decision, size, why) };
  const desired = decision.desired + decision.count - remove.length;
  return { ...nothing, decision: { ...decision, count: remove.length, desired }, remove };
}

/** With what is done only what was done counts, and no dry run before it. */
function pastOf({ scaling, scalingDecisions }: StateView, isDryRun: boolean) {
  const { lastUpAtMs, lastDownAtMs } = scaling ?? NO_SCALING;
  if (isDryRun) return { lastUpAtMs, lastDownAtMs };
  const rows = [...scalingDecisions.values()];
  const done = (kind: ScalingDecision['action'], newestMs: number | null): number | null => {
    const ofKind = rows.filter(({ action }) => action === kind);
    if (!ofKind.some((row) => row.isDryRun && row.atMs === newestMs)) return newestMs;
    return ofKind.reduce<number | null>(
      (last, row) => (row.isDryRun ? last : Math.max(last ?? 0, row.atMs)),
      null,
    );
  };
  return { lastUpAtMs: done('add_nodes', lastUpAtMs), lastDownAtMs: done('remove_nodes', lastDownAtMs) };
}

function withheld(decision: Decision, size: ScalingSize, why: string): Decision {
  const desired = size.active + size.joining;
  return { ...decision, action: 'none', count: 0, desired, reason: `${decision.reason}; ${why}` };
}

export function scalingLoadOf(load: Load): ScalingLoad {
  const { queueDepth, averageWaitTime, longestWaitTime, utilization, unplaceable, nodes } = load;
  return { queueDepth, averageWaitTime, longestWaitTime, utilization, unplaceable, nodes };
}

/** Being drained, and the last to be told so first: it has most left to do. */
function staying({ instances, nodes }: StateView): readonly string[] {
  return [...instances.values()]
    .filter(({ phase, node }) => phase === 'DRAINING' && nodes.get(node)?.sessionOpen === true)
    .sort((a, b) => b.phaseSinceMs - a.phaseSinceMs || (a.id < b.id ? -1 : 1))
    .map(({ id }) => id);
}
