/** Commands about tasks and their attempts. */
import type { GroupRef } from '../group.ts';
import type { LabelChanges } from '../node.ts';
import type { Priority, Stopping, TaskError, TaskSpec } from '../task.ts';
import type { IdempotencyKey, LeaderDecision, Stamped } from './stamped.ts';

/** One request for tasks: all of them are accepted or none. */
export interface Submission {
  readonly tasks: readonly TaskSpec[];
  readonly idempotency: IdempotencyKey | null;
}

export interface SubmitTasksCommand extends Stamped, Submission {
  readonly type: 'submitTasks';
}

/** Submissions that came at the same time and have nothing else to do with each other: one entry costs less than many. */
export interface SubmitManyCommand extends Stamped {
  readonly type: 'submitMany';
  readonly submissions: readonly Submission[];
}

export interface CancelTaskCommand extends Stamped {
  readonly type: 'cancelTask';
  readonly taskId: string;
  readonly idempotency: IdempotencyKey | null;
}

/** A person's: begins a task anew that is over. */
export interface RetryTaskCommand extends Stamped {
  readonly type: 'retryTask';
  readonly taskId: string;
  /** Key of its spec, which memory does not hold while it is over. */
  readonly specId: string;
  /** Its batch or DAG, which may be over, too. */
  readonly group?: GroupRef | null;
  readonly idempotency: IdempotencyKey | null;
}

/** Of a task that waits; what is absent stays as it is. */
export interface UpdateTaskCommand extends Stamped {
  readonly type: 'updateTask';
  readonly taskId: string;
  readonly specId: string;
  readonly changes: TaskChanges;
  readonly idempotency: IdempotencyKey | null;
}

export interface TaskChanges {
  readonly priority?: Priority;
  readonly labels?: LabelChanges;
  /** Null: at once. */
  readonly notBeforeMs?: number | null;
}

export interface AssignCommand extends LeaderDecision {
  readonly type: 'assign';
  /** The applied index on which the plan was made: a refusal must name something that changed after it. */
  readonly planIndex: number;
  /** The first task of the queue that waits for room and that these overtake; absent: none does. */
  readonly overtakes?: string | null;
  readonly assignments: readonly {
    readonly taskId: string;
    readonly node: string;
    readonly session: number;
  }[];
}

/** FAILED tasks whose next try is due, and PENDING ones that were not due before. */
export interface RetryDueCommand extends LeaderDecision {
  readonly type: 'retryDue';
  readonly taskIds: readonly string[];
}

/** The nodes that are kept for a head of the queue which has been overtaken for long enough, from now on. */
export interface ReserveNodesCommand extends LeaderDecision {
  readonly type: 'reserveNodes';
  readonly taskId: string;
  readonly nodes: readonly string[];
}

export interface AttemptReport {
  readonly taskId: string;
  readonly assignment: number;
  readonly status: 'STARTING' | 'RUNNING' | 'COMPLETED' | 'FAILED' | 'LOST' | 'CANCELLED';
  /** The worker's wall time of what is reported. */
  readonly atMs: number;
  readonly startedAtMs: number | null;
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly error: TaskError | null;
  readonly result: unknown;
  readonly logTail: string;
  /** RUNNING only: it is being ended before its time. */
  readonly stopping?: Stopping | null;
  /** STARTING only: what it does at present, for people; empty where there is nothing to say. */
  readonly note: string;
  /** Of a container that was created. */
  readonly imageDigest: string | null;
}

export interface ReportAttemptsCommand extends Stamped {
  readonly type: 'reportAttempts';
  readonly node: string;
  readonly session: number;
  readonly reports: readonly AttemptReport[];
}
