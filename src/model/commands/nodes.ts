/** Commands about nodes: their sessions, their health, and what operators say of them. */
import type { LabelChanges, Pressure } from '../node.ts';
import type { NodePolicy } from '../policy.ts';
import type { Pairs, Resources } from '../task.ts';
import type { IdempotencyKey, LeaderDecision, Stamped } from './stamped.ts';

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
