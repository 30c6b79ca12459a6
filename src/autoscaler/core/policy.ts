/**
 * How many nodes are wanted, and why (use case 8; docs/autoscaling.md). Pure: the same load, nodes and past give the same
 * decision on every node, and in the simulator.
 */
import type { Autoscaling, ScalingRule } from '../../model/autoscaling.ts';
import type { Load } from './load.ts';

/** Nodes by where they are in life. */
interface NodeCounts {
  /** That work: {@link Load.nodes}. */
  readonly active: number;
  /** Asked for, and not at work yet. */
  readonly joining: number;
}

export interface PolicyInput {
  readonly nowMs: number;
  readonly settings: Pick<
    Autoscaling,
    'intervalMs' | 'maxNodes' | 'minNodes' | 'scaleDownRules' | 'scaleUpRules'
  >;
  readonly load: Pick<Load, 'averageWaitTime' | 'queueDepth' | 'utilization'>;
  readonly nodes: NodeCounts;
  /** Members that vote, or are to. */
  readonly voters: number;
  /** Of the last decision to add, and to remove; null: there was none. */
  readonly lastUpAtMs: number | null;
  readonly lastDownAtMs: number | null;
}

type ScalingAction = 'add_nodes' | 'remove_nodes';

/** Why a rule that fires does nothing, or not all that it says. */
type Held =
  | 'cooldown'
  | 'joining'
  | 'max_nodes'
  | 'min_nodes'
  | 'no_room'
  | 'scale_up'
  | 'settling'
  | 'voters';

/** What one rule comes to. */
interface RuleVerdict {
  readonly action: ScalingAction;
  readonly metric: ScalingRule['metric'];
  readonly threshold: number;
  readonly count: number;
  readonly value: number;
  readonly fires: boolean;
  /** Null: nothing holds it. */
  readonly held: Held | null;
}

export interface Decision {
  readonly action: ScalingAction | 'none';
  /** Nodes to add or to remove; 0 with `none`. */
  readonly count: number;
  /** How many there are to be then. */
  readonly desired: number;
  /** For people, in one line. */
  readonly reason: string;
  readonly rules: readonly RuleVerdict[];
}

/** After nodes were added, none is taken away for so many evaluations: the load is about to change. */
const SETTLING_INTERVALS = 6;
/** Of the utilization at which nodes are added: a steady load goes up and down a little, and is not to reach it by that. */
const ROOM = 0.9;

/** @returns what is to be done now; never leaves [min_nodes, max_nodes], nor goes below the voters */
export function decide(input: PolicyInput): Decision {
  const { settings, nodes } = input;
  const size = nodes.active + nodes.joining;
  const up = settings.scaleUpRules.map((rule) => upVerdict(rule, input));
  const lacking = settings.minNodes - size;
  if (lacking > 0) {
    const down = settings.scaleDownRules.map((rule) => downVerdict(rule, input, 'min_nodes'));
    const reason = `${size} of the ${settings.minNodes} nodes that there are to be at least`;
    return { action: 'add_nodes', count: lacking, desired: size + lacking, reason, rules: [...up, ...down] };
  }
  // Also where max_nodes was lowered, or who was away is back beside the one that took its place.
  // What is on its way may never come, and no node that works goes for it.
  const surplus = nodes.active - Math.max(settings.maxNodes, input.voters);
  if (surplus > 0) return shedding(input, up, surplus);
  if (up.some(({ fires }) => fires)) return scaleUp(input, up);
  return scaleDown(input, up);
}

function shedding(input: PolicyInput, verdicts: readonly RuleVerdict[], count: number): Decision {
  const { settings, nodes } = input;
  const size = nodes.active + nodes.joining;
  const up = verdicts.map((one) => (one.fires ? { ...one, held: one.held ?? ('max_nodes' as const) } : one));
  const down = settings.scaleDownRules.map((rule) => downVerdict(rule, input, null));
  const reason = `${nodes.active} nodes are more than the ${settings.maxNodes} that there are to be at most`;
  return { action: 'remove_nodes', count, desired: size - count, reason, rules: [...up, ...down] };
}

function scaleUp(input: PolicyInput, verdicts: readonly RuleVerdict[]): Decision {
  const { settings, nodes } = input;
  const size = nodes.active + nodes.joining;
  const acting = verdicts.filter(({ fires, held }) => fires && held === null);
  // What an earlier decision of the same rules has asked for is on its way, and is not asked for again.
  const wanted = acting.reduce((sum, { count }) => sum + count, 0) - nodes.joining;
  const count = Math.max(0, Math.min(wanted, settings.maxNodes - size));
  const hold: Held | null = wanted <= 0 ? 'joining' : count === 0 ? 'max_nodes' : null;
  const up =
    hold === null ? verdicts : verdicts.map((one) => (acting.includes(one) ? { ...one, held: hold } : one));
  const down = settings.scaleDownRules.map((rule) => downVerdict(rule, input, 'scale_up'));
  const rules = [...up, ...down];
  if (count === 0) return { action: 'none', count: 0, desired: size, reason: whyNot(rules), rules };
  return { action: 'add_nodes', count, desired: size + count, reason: whatFired(acting), rules };
}

function scaleDown(input: PolicyInput, up: readonly RuleVerdict[]): Decision {
  const { settings, nodes, voters } = input;
  const size = nodes.active + nodes.joining;
  const verdicts = settings.scaleDownRules.map((rule) => downVerdict(rule, input, holdOfDown(input)));
  const acting = verdicts.filter(({ fires, held }) => fires && held === null);
  const wanted = Math.max(0, ...acting.map(({ count }) => count));
  const least = Math.max(settings.minNodes, voters);
  const fitting = Math.max(0, Math.min(wanted, size - least));
  let count = fitting;
  while (count > 0 && !leavesRoom(input, count)) count -= 1;
  const hold: Held = fitting > 0 ? 'no_room' : settings.minNodes >= voters ? 'min_nodes' : 'voters';
  const down =
    count > 0 ? verdicts : verdicts.map((one) => (acting.includes(one) ? { ...one, held: hold } : one));
  const rules = [...up, ...down];
  if (count === 0) return { action: 'none', count: 0, desired: size, reason: whyNot(rules), rules };
  return { action: 'remove_nodes', count, desired: size - count, reason: whatFired(acting), rules };
}

/** What keeps every node, whatever the rules say. */
function holdOfDown({ nowMs, settings, nodes, lastUpAtMs }: PolicyInput): Held | null {
  if (nodes.joining > 0) return 'joining';
  const isSettling = lastUpAtMs !== null && nowMs - lastUpAtMs < SETTLING_INTERVALS * settings.intervalMs;
  return isSettling ? 'settling' : null;
}

/** Whether the others can hold what there is without making a rule fire that adds nodes again. */
function leavesRoom({ settings, load, nodes }: PolicyInput, count: number): boolean {
  if (nodes.active <= count) return false;
  return (load.utilization * nodes.active) / (nodes.active - count) <= utilizationCeiling(settings);
}

/** Percent: fuller than that those that stay are not to be. */
export function utilizationCeiling({ scaleUpRules }: Pick<PolicyInput['settings'], 'scaleUpRules'>): number {
  const rules = scaleUpRules.filter(({ metric }) => metric === 'cluster_utilization');
  return Math.min(100, ...rules.map(({ threshold }) => ROOM * threshold));
}

function upVerdict(rule: ScalingRule, { nowMs, load, lastUpAtMs }: PolicyInput): RuleVerdict {
  const value = valueOf(rule, load);
  const fires = value > rule.threshold;
  const isCooling = lastUpAtMs !== null && nowMs - lastUpAtMs < rule.cooldownMs;
  return { ...verdictOf(rule, 'add_nodes', value), fires, held: fires && isCooling ? 'cooldown' : null };
}

function downVerdict(
  rule: ScalingRule,
  { nowMs, load, lastDownAtMs }: PolicyInput,
  hold: Held | null,
): RuleVerdict {
  const value = valueOf(rule, load);
  const fires = value < rule.threshold;
  const isCooling = lastDownAtMs !== null && nowMs - lastDownAtMs < rule.cooldownMs;
  const held = hold ?? (isCooling ? 'cooldown' : null);
  return { ...verdictOf(rule, 'remove_nodes', value), fires, held: fires ? held : null };
}

function verdictOf(
  { metric, threshold, count }: ScalingRule,
  action: ScalingAction,
  value: number,
): Omit<RuleVerdict, 'fires' | 'held'> {
  return { action, metric, threshold, count, value };
}

function valueOf({ metric }: ScalingRule, load: PolicyInput['load']): number {
  if (metric === 'queue_depth') return load.queueDepth;
  return metric === 'average_wait_time' ? load.averageWaitTime : load.utilization;
}

function whatFired(rules: readonly RuleVerdict[]): string {
  return rules.map(sentence).join('; ');
}

function whyNot(rules: readonly RuleVerdict[]): string {
  const held = rules.filter(({ fires }) => fires);
  if (held.length === 0) return 'no rule fires';
  return held.map((rule) => `${sentence(rule)}, held: ${HELD_TEXTS[rule.held ?? 'joining']}`).join('; ');
}

function sentence({ action, metric, threshold, value }: RuleVerdict): string {
  const rounded = Math.round(value * 10) / 10;
  return `${metric} ${rounded} ${action === 'add_nodes' ? 'above' : 'below'} ${threshold}`;
}

const HELD_TEXTS: Readonly<Record<Held, string>> = {
  cooldown: 'its cooldown is not over',
  joining: 'nodes are on their way',
  max_nodes: 'there are max_nodes',
  min_nodes: 'there are min_nodes',
  no_room: 'the others have no room for what they do',
  scale_up: 'a rule to add nodes fires',
  settling: 'nodes were added a moment ago',
  voters: 'the rest are voters',
};
