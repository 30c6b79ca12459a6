/**
 * What makes one node better than another. Scores are at most 1; the mean of those that apply decides. Only the planner
 * asks for them: what they come to is not replicated, the assignment is.
 */
import { meetsRule } from '../../../model/placement.ts';
import type { WeightedRule } from '../../../model/placement.ts';
import type { Pairs } from '../../../model/task.ts';

/** Of the node that has just failed the task. */
export const PENALTY = -1;
/** Of nodes that have nothing in common. */
export const FARTHEST = 4;

/** Most of what keeps a node busy beside its tasks is noise: the daemon, a backup, another node on the same machine. */
const BUSY_FROM = 0.5;
/** What is measured changes all the time: differences below a step are none. */
const BUSY_STEPS = 10;

/** `spread`: the more stays free, the better. @param cpu share that stays free with the task on it @returns 0 to 1 */
export function spreadScore(cpu: number, memory: number): number {
  return (cpu + memory) / 2;
}

/** `binpack`: the less stays free, the better; Nomad's formula (nomad/structs/funcs.go, ScoreFitBinPack). 0 to 1. */
export function binpackScore(cpu: number, memory: number): number {
  return Math.min(Math.max(20 - (10 ** cpu + 10 ** memory), 0), 18) / 18;
}

/**
 * How little something outside Jarvis keeps a node busy: what is measured beyond what is set aside for tasks.
 * @param measured share of the cpu that is busy @param allocated share that is set aside @returns 0 to 1; 1: not at all
 */
export function idlenessOf(measured: number, allocated: number): number {
  const outside = measured - Math.max(allocated, 0);
  return outside < BUSY_FROM ? 1 : Math.max(0, 1 - Math.round(outside * BUSY_STEPS) / BUSY_STEPS);
}

/** The weights of the rules that hold, as a share of all weights. -1 to 1. */
export function affinityScore(rules: readonly WeightedRule[], labels: Pairs): number {
  let met = 0;
  let all = 0;
  for (const rule of rules) {
    all += Math.abs(rule.weight);
    if (meetsRule(labels, rule)) met += rule.weight;
  }
  return all === 0 ? 0 : met / all;
}

/** @param distance 0 same node, 1 same rack, 2 same zone, 3 same region, else 4 */
export function localityScore(distance: number): number {
  return 1 - distance / FARTHEST;
}
