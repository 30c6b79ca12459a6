/**
 * A task as the replicated state holds it. Rows are immutable: a change makes a new object. Maps whose keys a user
 * chooses are lists of pairs, sorted by key, so that every replica encodes the same bytes.
 */
import type { Affinity, Concurrency, Locality } from './placement.ts';

export const PRIORITIES = ['critical', 'high', 'normal', 'low'] as const;
export type Priority = (typeof PRIORITIES)[number];

/** What becomes of a task that is on a node which is lost: `wait` moves it on proof or an operator's word only. */
export const ON_NODE_LOSS = ['reschedule', 'fail', 'wait'] as const;
export type OnNodeLoss = (typeof ON_NODE_LOSS)[number];

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

/** What an attempt can never exceed; null: no cap. */
export interface TaskLimits {
  readonly cpuMillis: number | null;
  readonly memoryBytes: number | null;
  readonly pids: number | null;
}

/** A path of the node that the container sees as `target`. Both are absolute and without `.` or `..`. */
export interface Mount {
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
}

export const NETWORK_MODES = ['bridge', 'none', 'host'] as const;
export type NetworkMode = (typeof NETWORK_MODES)[number];

export const PULL_POLICIES = ['if_not_present', 'always', 'never'] as const;
export type PullPolicy = (typeof PULL_POLICIES)[number];

/** What makes a task a container. */
export interface ContainerSpec {
  /** As the user wrote it; `lib/image-reference.ts` says what it names. */
  readonly image: string;
  /** `name`, `uid` or `uid:gid`; null: the image's. */
  readonly user: string | null;
  readonly mounts: readonly Mount[];
  readonly network: NetworkMode;
  readonly pullPolicy: PullPolicy;
}

/** What of a container the policies of nodes look at: containers whose needs are equal may run on the same nodes. */
export interface ContainerNeeds {
  /** Host of the image. */
  readonly registry: string;
  readonly user: string | null;
  readonly hostNetwork: boolean;
  readonly mounts: readonly Pick<Mount, 'source' | 'readOnly'>[];
}

/** What of a command decides on which nodes it may run. */
interface CommandNeeds {
  readonly registry: null;
  readonly user: string | null;
  /** Limits that only control groups can enforce. */
  readonly cgroups: boolean;
}

/** Null: a command that any node which runs commands may run. */
export type TaskNeeds = ContainerNeeds | CommandNeeds | null;

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
  /** Null: a process of the node. */
  readonly container: ContainerSpec | null;
  /** Of a process: `name`, `uid` or `uid:gid`; null: the node's own. A container has its own field. */
  readonly user: string | null;
  /** With an image it replaces the image's CMD, and may be empty. */
  readonly command: readonly string[];
  readonly env: Pairs;
  readonly workingDir: string | null;
  /** Set aside for it. */
  readonly resources: Resources;
  readonly limits: TaskLimits;
  readonly priority: Priority;
  readonly timeoutMs: number | null;
  readonly stopGraceMs: number;
  readonly retryPolicy: RetryPolicy;
  readonly onNodeLoss: OnNodeLoss;
  readonly labels: Pairs;
  // Each absent where nothing is asked.
  /** Names in `env` whose values nobody is shown; sorted. */
  readonly sensitiveEnv?: readonly string[] | null;
  readonly notBeforeMs?: number | null;
  readonly concurrency?: Concurrency | null;
  readonly affinity?: Affinity | null;
  readonly locality?: Locality | null;
}

export interface TaskError {
  readonly type: string;
  readonly message: string;
}

/** An attempt that runs is being ended before its time: TERM was sent, KILL follows. */
export interface Stopping {
  /** `stopped`: on somebody's request; else by the node itself. */
  readonly reason: 'stopped' | 'timeout' | 'leaseLost';
  readonly sinceMs: number;
  /** At the latest. */
  readonly killAtMs: number;
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
  /** `repository@sha256:…` of the image that it ran, or the image's id where it came from no registry. */
  readonly imageDigest: string | null;
  /** Its node is told to stop it, for another reason than a cancel: the task goes on elsewhere. Absent: it is not. */
  readonly stopFor?: 'drain';
  /** Absent: nobody has begun to end it, or it has ended since. */
  readonly stopping?: Stopping;
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
  /** Taken from the spec: what it needs of a node beside the resources. */
  readonly needs: TaskNeeds;
  // Copies of the spec's, for placement; each absent where it asks for nothing.
  /** Also as they were changed after the submission; absent: those of the spec. */
  readonly labels?: Pairs;
  readonly concurrency?: Concurrency | null;
  readonly affinity?: Affinity | null;
  readonly locality?: Locality | null;
  readonly notBeforeMs?: number | null;
  /** PENDING only: not due yet, and in no queue until then. */
  readonly waitsUntilMs?: number | null;
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
  /** The batch that it belongs to, and its place there. Absent, like what follows: it belongs to none. */
  readonly batchId?: string | null;
  readonly batchIndex?: number;
  /** The DAG that it belongs to, and its id there. */
  readonly dagId?: string | null;
  readonly dagTask?: string;
  /** Of a task from a template, sorted by name: what its spec is filled in with, beside the index. */
  readonly parameters?: Pairs | null;
  /** Id of its batch or DAG, where that bounds how many of it run at a time. */
  readonly gate?: string;
}

export interface SpecRow {
  readonly id: string;
  readonly spec: TaskSpec;
}
