/** What makes one node better than another. A score is between 0 and 1; the mean of those that apply decides. */
import type { TaskRow } from '../../../model/task.ts';
import type { Candidate } from './filters.ts';

interface Score {
  readonly name: string;
  /** @returns null where the score has nothing to say of the task */
  of(task: TaskRow, candidate: Candidate): number | null;
}

/** `spread`: the share of the node that stays free with the task on it, mean of cpu and memory. */
const resourcesLeft: Score = {
  name: 'resourcesLeft',
  of({ resources }, { node: { capacity }, allocated }) {
    const cpu = shareLeft(capacity.cpuMillis, allocated.cpuMillis + resources.cpuMillis);
    const memory = shareLeft(capacity.memoryBytes, allocated.memoryBytes + resources.memoryBytes);
    return (cpu + memory) / 2;
  },
};

const SCORES: readonly Score[] = [resourcesLeft];

/** Of a node that no filter rules out. */
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

function shareLeft(capacity: number, used: number): number {
  return capacity > 0 ? 1 - used / capacity : 0;
}
