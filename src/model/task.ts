/**
 * A task as the replicated state holds it. Rows are immutable: a change makes a new object. Maps whose keys a user
 * chooses are lists of pairs, sorted by key, so that every replica encodes the same bytes.
 */

export const PRIORITIES = ['critical', 'high', 'normal', 'low'] as const;
export type Priority = (typeof PRIORITIES)[number];

export type TaskStatus =
  | 'WAITING'
  | 'PENDING'
  | 'ASSIGNED'
  | 'RUNNING'
  | 'COMPLETED'
  | 'FAILED'
  | 'PERMANENTLY_FAILED'
  | 'CANCELLED'
  | 'SKIPPED';

export type AttemptStatus =
  | 'ASSIGNED'
  | 'STARTING'
  | 'RUNNING'
  | 'COMPLETED'
  | 'FAILED'
  | 'LOST'
  | 'CANCELLED';

export type Pairs = readonly (readonly [key: string, value: string])[];

export interface Resources {
  readonly cpuMillis: number;
  readonly memoryBytes: number;
}

export interface RetryPolicy {
  /** Executions in all: 3 is one try and two retries. */
  readonly maxAttempts: number;
  readonly backoffStrategy: 'exponential' | 'fixed';
  /** Seconds. */
  readonly backoffBase: number;
  /** Seconds. */
  readonly maxBackoff: number;
  readonly retryableErrors: readonly string[];
  readonly nonRetryableErrors: readonly string[];
}

/** What the user asked for, validated and with every default filled in. */
export interface TaskSpec {
  readonly name: string;
  readonly command: readonly string[];
  readonly env: Pairs;
  readonly workingDir: string | null;
  readonly resources: Resources;
  readonly priority: Priority;
  readonly timeoutMs: number | null;
  readonly stopGraceMs: number;
  readonly retryPolicy: RetryPolicy;
  readonly labels: Pairs;
}

export interface TaskError {
  readonly type: string;
  readonly message: string;
}

/** One execution, or the try of one. */
export interface Attempt {
  readonly attempt: number;
  /** Cluster-wide counter: rises with every assignment; with the epoch it is the fencing token. */
  readonly assignment: number;
  readonly node: string;
  /** The session of the node for which the assignment was made, or which has adopted it since. */
  readonly session: number;
  readonly status: AttemptStatus;
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly error: TaskError | null;
  readonly assignedAtMs: number;
  readonly startedAtMs: number | null;
  readonly finishedAtMs: number | null;
  /** The last output of an attempt that failed, at most 4 KiB. */
  readonly logTail: string;
}

/** The changing half of a task; its spec stands in a row of its own, written once. */
export interface TaskRow {
  readonly id: string;
  readonly namespace: 'default';
  readonly name: string;
  /** Key of the {@link SpecRow}. */
  readonly specId: string;
  /** Order of submission: index of the entry, then the position in it. */
  readonly createdIndex: number;
  readonly createdPosition: number;
  readonly priority: Priority;
  /** A copy of the spec's: what is set aside while it is ASSIGNED or RUNNING. */
  readonly resources: Resources;
  readonly status: TaskStatus;
  readonly statusReason: string | null;
  /** A person asked for the end of what still runs: it is CANCELLED once nothing of it does. */
  readonly cancelRequested: boolean;
  /** Executions begun so far. */
  readonly attempt: number;
  readonly retryCount: number;
  /** Attempts lost with their node since the last that was not. */
  readonly consecutiveLosses: number;
  /** FAILED only: when the next try is due. */
  readonly retryAtMs: number | null;
  readonly result: unknown;
  readonly createdAtMs: number;
  readonly scheduledAtMs: number | null;
  readonly startedAtMs: number | null;
  readonly finishedAtMs: number | null;
  /** The newest last; older ones than `limits.attemptsKept` are dropped. */
  readonly attempts: readonly Attempt[];
}

export interface SpecRow {
  readonly id: string;
  readonly spec: TaskSpec;
}
