import type { NodePolicy } from './policy.ts';
import type { Pairs, Resources } from './task.ts';

const ZONE_LABEL = 'zone';

/** Something that a node may run short of. */
export type Pressure = (typeof PRESSURES)[number];
export const PRESSURES = ['disk', 'memory'] as const;

export type NodeStatus = 'AVAILABLE' | 'UNHEALTHY' | 'OFFLINE' | 'DRAINING' | 'DRAINED';

/** A node as the replicated state holds it; heartbeats and usage are the leader's own and stand elsewhere. */
export interface NodeRow {
  readonly name: string;
  readonly incarnation: string;
  readonly machineId: string;
  readonly bootId: string;
  /** One start of a daemon: a repeated registration of the same start keeps its session. */
  readonly startId: string;
  /** Which start of the data directory that is; 0: not known. */
  readonly startCounter: number;
  /** epoch · 2^29 + a counter: rises with every registration, cluster-wide. */
  readonly session: number;
  /**
   * The first session since the machine was booted, as far as is known; 0: not known. What was assigned for sessions
   * before it has ended with the boot that it ran in.
   */
  readonly bootSession: number;
  /** Whether the session still stands: OFFLINE ends it for good. */
  readonly sessionOpen: boolean;
  /** Whether this session's inventory has been taken: before that nothing is placed there. */
  readonly reconciled: boolean;
  readonly status: NodeStatus;
  readonly schedulable: boolean;
  readonly version: string;
  readonly address: string;
  readonly http: string;
  readonly labels: Pairs;
  readonly drivers: readonly string[];
  /** What containers may use of the node itself. */
  readonly policy: NodePolicy;
  readonly isolation: string;
  readonly capacity: Resources;
  readonly joinedAtMs: number;
  /** What it runs short of, sorted; absent: nothing. No new work meanwhile. */
  readonly pressure?: readonly Pressure[];
  /** A longer T of its own; absent: none. */
  readonly grace?: RestartGrace;
  /** Absent: it is not being drained. */
  readonly drain?: NodeDrain;
  /** What an operator has said of its labels; absent: nothing. Wins key by key over what the node says itself. */
  readonly operatorLabels?: LabelChanges;
}

/** Null: none is known. */
export function zoneOf(node: Pick<NodeRow, 'labels'> | undefined): string | null {
  return node?.labels.find(([label]) => label === ZONE_LABEL)?.[1] ?? null;
}

/** Sorted by key. Null: the label is taken away. */
export type LabelChanges = readonly (readonly [key: string, value: string | null])[];

/** Nobody gets new work there; what runs may end by itself until the deadline, and is then stopped and moved. */
export interface NodeDrain {
  /** Of the entry that asked for it last: whoever carries it on names it. */
  readonly index: number;
  readonly startedAtMs: number;
  /** By the cluster's time. */
  readonly deadlineMs: number;
  /** TERM to KILL after the deadline; null: each task's own. */
  readonly graceMs: number | null;
  /** The deadline has passed, and what was there then is being stopped. */
  readonly isOverdue: boolean;
  /** When it was DRAINED; null: not yet. */
  readonly finishedAtMs: number | null;
  /** The start of a daemon that drains itself before it stops: ends with the next one. Null: an operator's. */
  readonly startId: string | null;
}

/** For a restart that takes longer than a lease (`restart_grace`). */
export interface RestartGrace {
  readonly timeoutMs: number;
  /** In which the longer lease that goes with it is granted; in a later one only the longer T still counts. */
  readonly session: number;
}
