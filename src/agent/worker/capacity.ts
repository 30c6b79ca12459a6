/** What a node offers to tasks: stated (`--capacity cpu=4,memory=8Gi`), or measured less what is kept back. */
import { availableParallelism, totalmem } from 'node:os';

import type { Resources } from '../../model/task.ts';

/** @param bounds of the control groups that the node is confined to; null, each for itself: none */
export function measuredCapacity(bounds: {
  readonly cpuMillis: number | null;
  readonly memoryBytes: number | null;
}): Resources {
  // 0 or absurdly high where no limit is set for this process.
  const constrained = process.constrainedMemory();
  const total = totalmem();
  return {
    // Where there is a quota, that is one, but in whole processors.
    cpuMillis: bounds.cpuMillis ?? availableParallelism() * 1000,
    memoryBytes: Math.min(
      constrained > 0 && constrained < total ? constrained : total,
      bounds.memoryBytes ?? total,
    ),
  };
}

/** What is stated is taken as it stands; `reserve` only reduces what was measured (docs/contract.md, section 1). */
export function nodeCapacity(options: {
  /** null, each for itself: measured. */
  readonly stated: { readonly cpuMillis: number | null; readonly memoryBytes: number | null };
  readonly reserve: Resources;
  readonly measured: Resources;
}): Resources {
  const { stated, reserve, measured } = options;
  return {
    cpuMillis: stated.cpuMillis ?? Math.max(0, measured.cpuMillis - reserve.cpuMillis),
    memoryBytes: stated.memoryBytes ?? Math.max(0, measured.memoryBytes - reserve.memoryBytes),
  };
}
