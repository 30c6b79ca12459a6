/** Commands about batches and DAGs. */
import type { GroupTable } from '../group.ts';
import type { PackedSpecs } from '../packed-specs.ts';
import type { Pairs, TaskSpec } from '../task.ts';
import type { IdempotencyKey, LeaderDecision, Stamped } from './stamped.ts';

/** What the tasks of a batch are made of. */
export type BatchWork =
  | { readonly type: 'tasks'; readonly specs: PackedSpecs }
  | { readonly type: 'template'; readonly template: TaskSpec; readonly count: number }
  /** One task for each, whose pairs are sorted. */
  | { readonly type: 'parameters'; readonly template: TaskSpec; readonly parameters: readonly Pairs[] };

interface GroupSubmission extends Stamped {
  readonly name: string;
  readonly maxParallel: number | null;
  readonly maxFailures: number | null;
  /** Tasks that one command makes, cancels or begins anew. */
  readonly sliceTasks: number;
  readonly idempotency: IdempotencyKey | null;
}

/** All of its tasks or none. The entry holds nothing else: their ids follow from its index and their positions. */
export interface SubmitBatchCommand extends GroupSubmission {
  readonly type: 'submitBatch';
  readonly work: BatchWork;
}

export interface SubmitDagCommand extends GroupSubmission {
  readonly type: 'submitDag';
  /** The `id` of each task in the DAG. */
  readonly tasks: readonly string[];
  readonly specs: PackedSpecs;
  /** For each task, positions of others; together they form no cycle. */
  readonly dependencies: readonly (readonly number[])[];
}

interface NamedGroup {
  readonly table: GroupTable;
  readonly id: string;
}

export interface CancelGroupCommand extends Stamped, NamedGroup {
  readonly type: 'cancelGroup';
  readonly idempotency: IdempotencyKey | null;
}

/** Begins anew, in a group that is over, whatever did not complete. */
export interface RetryGroupCommand extends Stamped, NamedGroup {
  readonly type: 'retryGroup';
  /** Of its first tasks, in order: their rows are in the store only. */
  readonly taskIds: readonly string[];
  readonly idempotency: IdempotencyKey | null;
}

/** The next slice of what is left to do of a group. */
export interface AdvanceGroupCommand extends LeaderDecision, NamedGroup {
  readonly type: 'advanceGroup';
  /** Where its sweep, or else the making of its tasks, stood when it was proposed. */
  readonly at: number;
  /** Of a `retry`: of the tasks from there on, in order. */
  readonly taskIds: readonly string[];
}
