import { invariant } from '../../lib/assert.ts';
import { limits } from '../../lib/limits.ts';

/** Every bound of the monitor. */
export const MONITOR_LIMITS = {
  /** Between two samples of a history, at least; and how many are kept: a quarter of an hour. */
  historyIntervalMs: 10_000,
  historySamples: 90,
  /** Attempts that have a history; those beyond it are measured all the same. */
  attemptHistories: 1000,

  /** Between the beginnings of two rounds over all attempts, at least. */
  roundIntervalMs: 2000,
  /** A round takes this thread for at most one part in so many of the time until the next: half a percent of a core. */
  roundCostDivisor: 200,
  /** So long in one go, then others have their turn. */
  sliceMs: 2,
  slicePauseMs: 20,
  /** Processes of one attempt that are read one by one; those beyond it are left out. */
  processesOfAttempt: 512,
  /** Containers about which the engine is asked in one round, where their group cannot be read. */
  engineQuestions: 4,
  /** An attempt counts as having begun at least so long ago: what it used is no rate before. */
  minAgeMs: 100,
} as const;

invariant(
  MONITOR_LIMITS.attemptHistories <= limits.tasksPerNode,
  'no more histories than attempts can run on a node',
);
