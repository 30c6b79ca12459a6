import type {
  CreateTokenCommand,
  RevokeTokenCommand,
  ExpireTokensCommand,
  AdmitCopylessCommand,
  DismissCopylessCommand,
  BarMemberCommand,
  CreateJoinTokenCommand,
  DeleteJoinTokenCommand,
  UseJoinTokenCommand,
} from './commands/admission.ts';
import type { AdvanceAlertsCommand, QuorumRiskCommand, AutoscalerFailedCommand } from './commands/alerts.ts';
import type {
  InitClusterCommand,
  ReformClusterCommand,
  LeasesOverCommand,
  SetHeartbeatCommand,
  SetConfigCommand,
  TimeoutSettledCommand,
  ExpireCommand,
  RememberRequestCommand,
  ForgetRequestCommand,
  LogsHandedOverCommand,
  RaiseVersionCommand,
} from './commands/cluster.ts';
import type {
  SubmitBatchCommand,
  SubmitDagCommand,
  CancelGroupCommand,
  RetryGroupCommand,
  AdvanceGroupCommand,
} from './commands/groups.ts';
import type {
  RegisterNodeCommand,
  ReconcileNodeCommand,
  NodeHealthCommand,
  NodePressureCommand,
  NodeOfflineCommand,
  RemoveNodeCommand,
  CordonNodeCommand,
  DrainNodeCommand,
  UndrainNodeCommand,
  LabelNodeCommand,
  DrainOverdueCommand,
  NodeDrainedCommand,
  GrantGraceCommand,
  GraceOverCommand,
} from './commands/nodes.ts';
import type { AutoscalerDecidedCommand, InstanceProgressCommand } from './commands/scaling.ts';
import type {
  SubmitTasksCommand,
  SubmitManyCommand,
  CancelTaskCommand,
  RetryTaskCommand,
  UpdateTaskCommand,
  AssignCommand,
  RetryDueCommand,
  ReserveNodesCommand,
  ReportAttemptsCommand,
} from './commands/tasks.ts';

export type * from './commands/admission.ts';
export type * from './commands/alerts.ts';
export type * from './commands/cluster.ts';
export type * from './commands/groups.ts';
export type * from './commands/nodes.ts';
export type * from './commands/scaling.ts';
export type * from './commands/stamped.ts';
export type * from './commands/tasks.ts';

/**
 * Everything that can change the replicated state. A command is a plain object, stamped by the leader; `apply` reads
 * nothing but the state, the command and its position in the log.
 */
export type Command =
  | InitClusterCommand
  | ReformClusterCommand
  | LeasesOverCommand
  | SubmitTasksCommand
  | SubmitManyCommand
  | CancelTaskCommand
  | RetryTaskCommand
  | UpdateTaskCommand
  | AssignCommand
  | RegisterNodeCommand
  | ReconcileNodeCommand
  | ReportAttemptsCommand
  | NodeHealthCommand
  | NodePressureCommand
  | NodeOfflineCommand
  | RemoveNodeCommand
  | CordonNodeCommand
  | DrainNodeCommand
  | UndrainNodeCommand
  | LabelNodeCommand
  | RememberRequestCommand
  | ForgetRequestCommand
  | DrainOverdueCommand
  | NodeDrainedCommand
  | RetryDueCommand
  | SetHeartbeatCommand
  | SetConfigCommand
  | TimeoutSettledCommand
  | GrantGraceCommand
  | GraceOverCommand
  | ExpireCommand
  | ReserveNodesCommand
  | LogsHandedOverCommand
  | CreateTokenCommand
  | RevokeTokenCommand
  | ExpireTokensCommand
  | SubmitBatchCommand
  | SubmitDagCommand
  | CancelGroupCommand
  | RetryGroupCommand
  | AdvanceGroupCommand
  | CreateJoinTokenCommand
  | DeleteJoinTokenCommand
  | UseJoinTokenCommand
  | AdvanceAlertsCommand
  | QuorumRiskCommand
  | AutoscalerFailedCommand
  | AutoscalerDecidedCommand
  | InstanceProgressCommand
  | BarMemberCommand
  | AdmitCopylessCommand
  | DismissCopylessCommand
  | RaiseVersionCommand;
