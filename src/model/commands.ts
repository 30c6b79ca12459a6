import type { ScalingProvider } from './autoscaling.ts';
import type { ClusterConfig } from './cluster.ts';
import type { GroupRef, GroupTable } from './group.ts';
import type { LabelChanges } from './node.ts';
import type { PackedSpecs } from './packed-specs.ts';
import type { Pressure } from './node.ts';
import type { NodePolicy } from './policy.ts';
import type { Pairs, Priority, Resources, Stopping, TaskError, TaskSpec } from './task.ts';
import type { InstancePhase, ScalingDecision } from './scaling.ts';
import type { Role, SecretHash } from './token.ts';

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
  | RaiseVersionCommand;

interface Stamped {
  /** The leader's wall time at the proposal, milliseconds since 1970 UTC. */
  readonly atMs: number;
}

/** Decisions of a leader: refused when the entry's term is another, also one that the same process appended later. */
interface LeaderDecision extends Stamped {
  readonly term: number;
}

/** Makes the same request with the same key, repeated by its sender, happen once. */
export interface IdempotencyKey {
  /** principal, route and the sender's key, joined */
  readonly key: string;
  readonly requestDigest: string;
}

/** The first command of a cluster's log; refused ever after. */
export interface InitClusterCommand extends LeaderDecision {
  readonly type: 'initCluster';
  readonly clusterId: string;
  readonly epoch: number;
  readonly config: ClusterConfig;
  /** That all founders know; absent: the first. */
  readonly version?: number;
}

/**
 * The state goes on as that of another cluster: written offline, into the first snapshot of a cluster that is made from
 * what is left of one, or from a backup. Tokens, ids and sessions are above all earlier ones by the epoch.
 */
export interface ReformClusterCommand extends Stamped {
  readonly type: 'reformCluster';
  readonly clusterId: string;
  readonly epoch: number;
}

/** A leader has led for as long as a node may be silent: whatever leases an earlier cluster granted are over [EPOCH]. */
export interface LeasesOverCommand extends LeaderDecision {
  readonly type: 'leasesOver';
}

/** One request for tasks: all of them are accepted or none. */
export interface Submission {
  readonly tasks: readonly TaskSpec[];
  readonly idempotency: IdempotencyKey | null;
}

interface SubmitTasksCommand extends Stamped, Submission {
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

export interface RegisterNodeCommand extends Stamped {
  readonly type: 'registerNode';
  readonly name: string;
  readonly incarnation: string;
  readonly machineId: string;
  readonly bootId: string;
  readonly startId: string;
  /** Which start of the data directory it is. */
  readonly startCounter: number;
  readonly version: string;
  readonly address: string;
  readonly http: string;
  readonly labels: Pairs;
  readonly drivers: readonly string[];
  readonly policy: NodePolicy;
  readonly isolation: string;
  readonly capacity: Resources;
}

/** The inventory of a session: judges only assignments made for earlier sessions of the node. */
export interface ReconcileNodeCommand extends Stamped {
  readonly type: 'reconcileNode';
  readonly node: string;
  readonly session: number;
  readonly known: readonly { readonly taskId: string; readonly assignment: number }[];
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

/** Past `heartbeat.warning`: no new work; or heard of again. */
export interface NodeHealthCommand extends LeaderDecision {
  readonly type: 'nodeHealth';
  readonly node: string;
  readonly session: number;
  readonly healthy: boolean;
}

/** The node says that it runs short of something, or of nothing any more. */
export interface NodePressureCommand extends LeaderDecision {
  readonly type: 'nodePressure';
  readonly node: string;
  readonly session: number;
  /** Sorted, each once. */
  readonly pressure: readonly Pressure[];
}

/** Past `heartbeat.timeout`: ends the session that it names, and no other. */
export interface NodeOfflineCommand extends LeaderDecision {
  readonly type: 'nodeOffline';
  readonly node: string;
  readonly session: number;
}

/** An operator's: the node is gone for good. */
export interface RemoveNodeCommand extends LeaderDecision {
  readonly type: 'removeNode';
  readonly node: string;
  /** Its newest one as the operator's request was looked at: a node that has registered since is not meant. */
  readonly session: number;
  /** The operator vouches that nothing of it runs any more. */
  readonly dead: boolean;
  /** Who asks. */
  readonly principal: string;
  readonly idempotency: IdempotencyKey | null;
}

/** An operator's: no new work there; what runs goes on. */
export interface CordonNodeCommand extends Stamped {
  readonly type: 'cordonNode';
  readonly node: string;
  readonly idempotency: IdempotencyKey | null;
}

/** An operator's, or a node's own before it stops. Given again, the newest deadline and grace count. */
export interface DrainNodeCommand extends Stamped {
  readonly type: 'drainNode';
  readonly node: string;
  /** From now on, by the cluster's time. */
  readonly withinMs: number;
  /** TERM to KILL after the deadline; null: each task's own. */
  readonly graceMs: number | null;
  /** The start of the daemon that asks for itself; null: an operator asks. */
  readonly startId: string | null;
  readonly idempotency: IdempotencyKey | null;
}

/** An operator's: neither drained nor cordoned any more. */
export interface UndrainNodeCommand extends Stamped {
  readonly type: 'undrainNode';
  readonly node: string;
  readonly idempotency: IdempotencyKey | null;
}

/** The key of a request that is carried out by something else than a command, such as a change of the membership. */
interface RememberRequestCommand extends Stamped {
  readonly type: 'rememberRequest';
  readonly idempotency: IdempotencyKey;
  readonly answer: RememberedAnswer;
}

/** Of a request that was remembered before it was carried out, and then was not. */
interface ForgetRequestCommand extends Stamped {
  readonly type: 'forgetRequest';
  readonly idempotency: IdempotencyKey;
}

/** Null; of a transfer of leadership the term in which it was asked for. */
export type RememberedAnswer = { readonly term: number } | null;

/** An operator's: what is not named stays as it is. */
export interface LabelNodeCommand extends Stamped {
  readonly type: 'labelNode';
  readonly node: string;
  readonly labels: LabelChanges;
  readonly idempotency: IdempotencyKey | null;
}

/** The deadline has passed: what is on the node is stopped there, and moved. */
export interface DrainOverdueCommand extends LeaderDecision {
  readonly type: 'drainOverdue';
  readonly node: string;
  /** Index of the drain that is meant. */
  readonly drain: number;
}

/** Nothing is left on the node, and what is to be done before it may go is done. */
export interface NodeDrainedCommand extends LeaderDecision {
  readonly type: 'nodeDrained';
  readonly node: string;
  /** Index of the drain that is meant. */
  readonly drain: number;
}

/** FAILED tasks whose next try is due, and PENDING ones that were not due before. */
export interface RetryDueCommand extends LeaderDecision {
  readonly type: 'retryDue';
  readonly taskIds: readonly string[];
}

/** An operator's. What is absent stays as it is. */
export interface SetHeartbeatCommand extends Stamped {
  readonly type: 'setHeartbeat';
  readonly heartbeat: Partial<ClusterConfig['heartbeat']>;
  readonly idempotency: IdempotencyKey | null;
}

/**
 * An operator's. Of a block whatever is in it, with the defaults of the leader's version where nothing is said: what a
 * replica makes of it does not depend on its own.
 */
export interface SetConfigCommand extends LeaderDecision {
  readonly type: 'setConfig';
  /** What is absent stays as it is. */
  readonly heartbeat: Partial<ClusterConfig['heartbeat']>;
  readonly blocks: Partial<Omit<ClusterConfig, 'heartbeat'>>;
  readonly idempotency: IdempotencyKey | null;
}

/** A leader has counted one old T since that shortening, or since it became leader [SHORTWAIT] [SHORTNEW]. */
export interface TimeoutSettledCommand extends LeaderDecision {
  readonly type: 'timeoutSettled';
  /** The entry that shortened the lease: a later one has to be waited for anew. */
  readonly index: number;
}

/** A node is about to be restarted and asks for a lease of that length: it gets a longer T with it, at once. */
export interface GrantGraceCommand extends LeaderDecision {
  readonly type: 'grantGrace';
  readonly node: string;
  readonly session: number;
  readonly leaseMs: number;
}

/** A leader has counted one T of the grace since the node came back in a later session, or since it became leader. */
export interface GraceOverCommand extends LeaderDecision {
  readonly type: 'graceOver';
  readonly node: string;
  readonly session: number;
  /** In which the longer lease was granted. */
  readonly graceSession: number;
}

/**
 * Deletes what retention keeps no longer; whether that is so is judged again where it is applied. Names what stands in
 * the rows, which `apply` could not look up otherwise.
 */
export interface ExpireCommand extends LeaderDecision {
  readonly type: 'expire';
  /** Oldest first, as all of them, and without a gap. */
  readonly events: readonly EntryPart[];
  /** With the ids in each. */
  readonly finished: readonly (EntryPart & { readonly ids: readonly string[] })[];
  /** With the keys in each. */
  readonly usedKeys: readonly (EntryPart & { readonly ids: readonly string[] })[];
  /** Names of the DAGs among what has finished. */
  readonly dagNames?: readonly string[];
  /** Ids. */
  readonly joinTokens?: readonly string[];
}

/** One of the rows of an entry. */
export interface EntryPart {
  readonly index: number;
  readonly part: number;
}

/** The nodes that are kept for a head of the queue which has been overtaken for long enough, from now on. */
export interface ReserveNodesCommand extends LeaderDecision {
  readonly type: 'reserveNodes';
  readonly taskId: string;
  readonly nodes: readonly string[];
}

/** A node that is about to leave has given the output that it keeps to another. */
export interface LogsHandedOverCommand extends Stamped {
  readonly type: 'logsHandedOver';
  readonly node: string;
  /** Of the node's data directory. */
  readonly incarnation: string;
  readonly holder: string;
}

/** An admin's. The leader has made id and secret; the secret itself never comes into the log. */
export interface CreateTokenCommand extends Stamped {
  readonly type: 'createToken';
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  readonly secret: SecretHash;
  /** From now on, by the cluster's time; null: for ever. */
  readonly validMs: number | null;
  /** Who asks. */
  readonly principal: string;
  /** A leader's own, where there is no token of an admin that can be used. */
  readonly isFirst: boolean;
  readonly idempotency: IdempotencyKey | null;
}

/** An admin's: it lets nobody in any more. */
export interface RevokeTokenCommand extends Stamped {
  readonly type: 'revokeToken';
  readonly id: string;
  readonly idempotency: IdempotencyKey | null;
}

/** Forgets the tokens that ended long ago. */
export interface ExpireTokensCommand extends LeaderDecision {
  readonly type: 'expireTokens';
}

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

/** Before an operator's removal of a member, so that none is removed and not barred. */
export interface BarMemberCommand extends Stamped {
  readonly type: 'barMember';
  readonly name: string;
}

/** Every member knows that cluster version (docs/adr/0012). */
export interface RaiseVersionCommand extends LeaderDecision {
  readonly type: 'raiseVersion';
  readonly version: number;
}

/** An admin's. The secret itself never comes near the log. */
export interface CreateJoinTokenCommand extends Stamped {
  readonly type: 'createJoinToken';
  readonly secretHash: string;
  /** Who asks. */
  readonly principal: string;
  readonly validMs: number;
  readonly uses: number;
  /** The only name that it is good for; null: any that is free. */
  readonly node: string | null;
  readonly idempotency: IdempotencyKey | null;
}

/** An admin's: nobody comes in by it any more. */
export interface DeleteJoinTokenCommand extends Stamped {
  readonly type: 'deleteJoinToken';
  readonly id: string;
  readonly idempotency: IdempotencyKey | null;
}

/** A node that the cluster does not know has shown the secret. */
export interface UseJoinTokenCommand extends Stamped {
  readonly type: 'useJoinToken';
  readonly id: string;
  readonly secretHash: string;
  readonly node: string;
  /** As in `JoinTokenUse`. */
  readonly holder: string;
}

/** A request for a message to a webhook whose outcome is known. */
export interface AlertAttempt {
  readonly id: string;
  /** Which of the message's, from 1 on: another leader may have recorded it. */
  readonly attempt: number;
  /** What went wrong, for people; null: it was delivered. */
  readonly failure: string | null;
  /** As the receiver asks; null: it does not. */
  readonly retryAfterMs: number | null;
}

export interface AdvanceAlertsCommand extends LeaderDecision {
  readonly type: 'advanceAlerts';
  readonly attempts: readonly AlertAttempt[];
  /** Messages that have gathered for long enough. */
  readonly close: readonly string[];
}

/** One more lost voter stops the cluster; or not any more. */
export interface QuorumRiskCommand extends LeaderDecision {
  readonly type: 'quorumRisk';
  readonly atRisk: boolean;
  /** For people. */
  readonly reason: string;
}

/** The autoscaler could not do what its rules ask for. A person is told once, until it has recovered. */
export interface AutoscalerFailedCommand extends LeaderDecision {
  readonly type: 'autoscalerFailed';
  /** Of nodes. */
  readonly provider: string;
  /** For people. */
  readonly reason: string;
  /** No node is asked for meanwhile; absent: none is waited for. */
  readonly holdMs?: number;
}

/** What the rules come to: with it is written what is to be done, before any provider hears of it. */
export interface AutoscalerDecidedCommand extends LeaderDecision {
  readonly type: 'autoscalerDecided';
  /** Sequence of the newest decision that it knows of: refused where there is a later one. */
  readonly after: number;
  readonly provider: ScalingProvider;
  readonly decision: ScalingDecision;
  /** It is recorded, and nothing is done. */
  readonly isDryRun: boolean;
  /** Instances to be asked for. */
  readonly add: number;
  /** Ids of instances that are being drained, and stay. */
  readonly keep: readonly string[];
  /** Ids of those whose nodes are drained, to leave; and for how long what runs there may end by itself. */
  readonly remove: readonly string[];
  readonly drainMs: number;
}

/** How far instances have come. A step of a row that has changed since it was looked at is passed over. */
export interface InstanceProgressCommand extends LeaderDecision {
  readonly type: 'instanceProgress';
  readonly steps: readonly InstanceStep[];
  /** Nothing fails any more. */
  readonly hasRecovered: boolean;
}

export type InstanceStep =
  | InstanceAsking
  | InstanceAsked
  | InstanceMoved
  | InstanceFailed
  | InstanceGone
  | InstanceAdopted;

interface NamedInstance {
  readonly id: string;
  readonly revision: number;
}

/** The provider is about to be asked to make it. */
interface InstanceAsking extends NamedInstance {
  readonly type: 'asking';
  readonly host: string | null;
  readonly joinTokenId: string | null;
}

/** It was asked for what the phase needs, and has answered. */
interface InstanceAsked extends NamedInstance {
  readonly type: 'ended';
}

interface InstanceMoved extends NamedInstance {
  readonly type: 'moved';
  readonly phase: InstancePhase;
  /** For people. */
  readonly reason: string;
  /** Where it has become known. */
  readonly providerId?: string;
  /** It has not become what it was to be. */
  readonly hasFailed?: boolean;
}

/** What the phase needs came to nothing, and is tried again later. */
interface InstanceFailed extends NamedInstance {
  readonly type: 'failed';
  readonly error: string;
  readonly retryMs: number;
}

/** The provider has nothing of it any more, or was never asked. */
interface InstanceGone extends NamedInstance {
  readonly type: 'gone';
}

/** It is tagged as this cluster's, and no row is of it. */
interface InstanceAdopted {
  readonly type: 'adopted';
  readonly id: string;
  readonly node: string;
  readonly provider: ScalingProvider;
  readonly providerId: string;
  readonly host: string | null;
  readonly phase: Extract<InstancePhase, 'JOINED' | 'TERMINATING'>;
}

/** What a command came to. A refusal is a value: nothing has changed. */
export type Outcome<Result = unknown> =
  | { readonly type: 'done'; readonly result: Result }
  | { readonly type: 'refused'; readonly code: RefusalCode; readonly message: string };

export type RefusalCode =
  | 'not_found'
  | 'forbidden'
  | 'conflict'
  | 'idempotency_conflict'
  | 'invalid'
  | 'too_many'
  | 'stale_decision'
  | 'stale_session'
  | 'internal';
