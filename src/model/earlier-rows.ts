/**
 * Rows that were written by earlier versions lack what came later, such as containers, and stay as they are: their
 * digests are made of their bytes. Whoever reads such a field reads it through here.
 */
import type { Autoscaling, ScalingCapacity, ScalingProvider } from './autoscaling.ts';
import type { ClusterRow, QuorumRisk, SettlingTimeout } from './cluster.ts';
import type { GroupRow } from './group.ts';
import type { LabelChanges, NodeDrain, NodeRow, Pressure, RestartGrace } from './node.ts';
import type { NodePolicy } from './policy.ts';
import type { Affinity, Concurrency, Locality } from './placement.ts';
import { DEFAULT_POLICY } from './policy.ts';
import type { ContainerSpec, OnNodeLoss, Pairs, TaskLimits, TaskNeeds, TaskRow, TaskSpec } from './task.ts';

export const NO_LIMITS: TaskLimits = { cpuMillis: null, memoryBytes: null, pids: null };

type Earlier<Row, Field extends keyof Row> = { readonly [F in Field]?: Row[F] | undefined };

/** Null: a process of the node. */
export function containerOf({ container }: Earlier<TaskSpec, 'container'>): ContainerSpec | null {
  return container ?? null;
}

export function limitsOf({ limits }: Earlier<TaskSpec, 'limits'>): TaskLimits {
  return limits ?? NO_LIMITS;
}

/** Of a process; null: the node's own. */
export function userOf({ user }: Earlier<TaskSpec, 'user'>): string | null {
  return user ?? null;
}

export function onNodeLossOf({ onNodeLoss }: Earlier<TaskSpec, 'onNodeLoss'>): OnNodeLoss {
  return onNodeLoss ?? 'reschedule';
}

export function labelsOf({ labels }: Pick<TaskRow, 'labels'>, spec: Pick<TaskSpec, 'labels'>): Pairs {
  return labels ?? spec.labels;
}

export function needsOf({ needs }: Earlier<TaskRow, 'needs'>): TaskNeeds {
  return needs ?? null;
}

/** Also of a registration. 0: not known. */
export function startCounterOf({ startCounter }: Earlier<NodeRow, 'startCounter'>): number {
  return startCounter ?? 0;
}

/** 0: not known. */
export function bootSessionOf({ bootSession }: Earlier<NodeRow, 'bootSession'>): number {
  return bootSession ?? 0;
}

/** Null: the T in the configuration counts. */
export function settlingOf({ settling }: Earlier<ClusterRow, 'settling'>): SettlingTimeout | null {
  return settling ?? null;
}

/** Null: the cluster can lose another voter. */
export function quorumRiskOf({ quorumRisk }: Earlier<ClusterRow, 'quorumRisk'>): QuorumRisk | null {
  return quorumRisk ?? null;
}

/** What the node runs short of. */
export function pressureOf({ pressure }: Earlier<NodeRow, 'pressure'>): readonly Pressure[] {
  return pressure ?? [];
}

/** Null: the node has no longer T than the others. */
export function graceOf({ grace }: Earlier<NodeRow, 'grace'>): RestartGrace | null {
  return grace ?? null;
}

/** Null: the node is not being drained. */
export function drainOf({ drain }: Earlier<NodeRow, 'drain'>): NodeDrain | null {
  return drain ?? null;
}

/** Of the settings of scaling, which are kept as they were stated. */
export function dryRunOf({ dryRun }: Earlier<Autoscaling, 'dryRun'>): boolean {
  return dryRun ?? false;
}

const NOT_KNOWN: ScalingCapacity = { cpuMillis: null, memoryBytes: null };

/** What the settings say that each node of the provider offers. */
export function statedCapacityOf(settings: Autoscaling, provider: ScalingProvider): ScalingCapacity {
  return settings[provider]?.capacity ?? NOT_KNOWN;
}

const NO_CHANGES: LabelChanges = [];

export function operatorLabelsOf({ operatorLabels }: Earlier<NodeRow, 'operatorLabels'>): LabelChanges {
  return operatorLabels ?? NO_CHANGES;
}

/** Also of a registration. */
export function policyOf({ policy }: Earlier<NodeRow, 'policy'>): NodePolicy {
  return policy ?? DEFAULT_POLICY;
}

const NO_LABELS: Pairs = [];

/** Of a task's row: the labels that others may keep apart from. */
export function rowLabelsOf({ labels }: Earlier<TaskRow, 'labels'>): Pairs {
  return labels ?? NO_LABELS;
}

/** The batch or DAG that it was submitted with; null: none. */
export function groupIdOf({ batchId, dagId }: Earlier<TaskRow, 'batchId' | 'dagId'>): string | null {
  return batchId ?? dagId ?? null;
}

/** Of a batch or DAG; null: nothing that is known of. */
export function stoppedBeforeOf({ stoppedBefore }: Earlier<GroupRow, 'stoppedBefore'>): 'failures' | null {
  return stoppedBefore ?? null;
}

// Of specs and of rows alike; null: nothing is asked.

export function affinityOf({ affinity }: Earlier<TaskSpec, 'affinity'>): Affinity | null {
  return affinity ?? null;
}

export function localityOf({ locality }: Earlier<TaskSpec, 'locality'>): Locality | null {
  return locality ?? null;
}

export function concurrencyOf({ concurrency }: Earlier<TaskSpec, 'concurrency'>): Concurrency | null {
  return concurrency ?? null;
}

export function notBeforeOf({ notBeforeMs }: Earlier<TaskSpec, 'notBeforeMs'>): number | null {
  return notBeforeMs ?? null;
}

/** Null: it is due. */
export function waitsUntilOf({ waitsUntilMs }: Earlier<TaskRow, 'waitsUntilMs'>): number | null {
  return waitsUntilMs ?? null;
}
