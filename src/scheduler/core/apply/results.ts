import type { Command } from '../../../model/commands.ts';
import type { AssignResult } from './assign.ts';
import type { AdvanceGroupResult, ChangeGroupResult } from './change-group.ts';
import type { CancelTaskResult } from './cancel-task.ts';
import type { ExpireResult } from './expire.ts';
import type { ReserveNodesResult } from './heads.ts';
import type { ReconcileNodeResult } from './reconcile-node.ts';
import type { RegisterNodeResult } from './register-node.ts';
import type { ReportAttemptsResult } from './report-attempts.ts';
import type { RemoveNodeResult } from './remove-node.ts';
import type { RetryTaskResult } from './retry-task.ts';
import type { UpdateTaskResult } from './update-task.ts';
import type { RetryDueResult } from './retry-due.ts';
import type { SubmitGroupResult } from './submit-group.ts';
import type { SubmitManyResult, SubmitTasksResult } from './submit-tasks.ts';

/** What an outcome `done` carries, by command: plain data, also for idempotency keys, which remember it. */
export interface CommandResults extends Record<Command['type'], unknown> {
  readonly initCluster: null;
  readonly reformCluster: null;
  readonly leasesOver: null;
  readonly submitTasks: SubmitTasksResult;
  readonly submitMany: SubmitManyResult;
  readonly cancelTask: CancelTaskResult;
  readonly retryTask: RetryTaskResult;
  readonly updateTask: UpdateTaskResult;
  readonly assign: AssignResult;
  readonly registerNode: RegisterNodeResult;
  readonly reconcileNode: ReconcileNodeResult;
  readonly reportAttempts: ReportAttemptsResult;
  readonly nodeHealth: null;
  readonly nodeOffline: null;
  readonly removeNode: RemoveNodeResult;
  readonly retryDue: RetryDueResult;
  readonly setHeartbeat: null;
  readonly timeoutSettled: null;
  readonly grantGrace: null;
  readonly graceOver: null;
  readonly expire: ExpireResult;
  readonly reserveNodes: ReserveNodesResult;
  readonly logsHandedOver: null;
  readonly submitBatch: SubmitGroupResult;
  readonly submitDag: SubmitGroupResult;
  readonly cancelGroup: ChangeGroupResult;
  readonly retryGroup: ChangeGroupResult;
  readonly advanceGroup: AdvanceGroupResult;
}
