/** What makes one node better than another. A score is between 0 and 1; the mean of those that apply decides. */
import type { TaskRow } from '../../../model/task.ts';
import type { Candidate } from './filters.ts';

export interface Score {
  readonly name: string;
  /** @returns null where the score has nothing to say of the task */
  of(task: TaskRow, candidate: Candidate): number | null;
}

/** `spread`: the share of the node that stays free with the task on it, mean of cpu and memory. */
const resourcesLeft: Score = {
  name: 'resourcesLeft',
  of(task, { node, allocated }) {
    const cpu = 1 - (allocated.cpuMillis + task.resources.cpuMillis) / node.capacity.cpuMillis;
    const memory = 1 - (allocated.memoryBytes + task.resources.memoryBytes) / node.capacity.memoryBytes;
    return (cpu + memory) / 2;
  },
};

export const SCORES: readonly Score[] = [resourcesLeft];

export function scoreOf(task: TaskRow, candidate: Candidate): number {
  let sum = 0;
  let count = 0;
  for (const score of SCORES) {
    const value = score.of(task, candidate);
    if (value === null) continue;
    sum += value;
    count += 1;
  }
  return count === 0 ? 0 : sum / count;
}
