/** What an attempt uses, as counters: what a driver tells of attempts that run, and what is read of each of them. */
import type { AttemptKey } from './driver.ts';

/** Each by itself null where it cannot be told. */
export interface AttemptCounters {
  /** Microseconds on processors since it began. */
  readonly cpuUs: number | null;
  /** Without the part of the page cache that is given up first. */
  readonly memoryBytes: number | null;
  /** Null also where there is no limit. */
  readonly memoryLimitBytes: number | null;
  /** Threads of all its processes. */
  readonly pids: number | null;
  /** From and to disks since it began. */
  readonly readBytes: number | null;
  readonly writtenBytes: number | null;
  /** In a network of its own, since it began. */
  readonly receivedBytes: number | null;
  readonly transmittedBytes: number | null;
}

export const NO_COUNTERS: AttemptCounters = {
  cpuUs: null,
  memoryBytes: null,
  memoryLimitBytes: null,
  pids: null,
  readBytes: null,
  writtenBytes: null,
  receivedBytes: null,
  transmittedBytes: null,
};

/** An attempt that runs, and where what it consists of is found. */
export interface RunningAttempt extends AttemptKey {
  readonly attempt: number;
  readonly fencingToken: string;
  /** Wall time. */
  readonly startedAtMs: number;
  /** The control group that holds all of it, from the root of the hierarchies; null: it has none. */
  readonly cgroup: string | null;
  /** Only then it may have a network of its own. */
  readonly isContainer: boolean;
}
