/** What belongs to the cluster as a whole: one row. */
export interface ClusterRow {
  readonly clusterId: string;
  /** Leads every fencing token, id and session number; raised by restore and recover. */
  readonly epoch: number;
  readonly formedAtMs: number;
  /** Never goes back: max(the state's time, the stamp of the leader's newest command). */
  readonly timeMs: number;
  /** Assignments made so far. */
  readonly assignmentCounter: number;
  /** Registrations made so far. */
  readonly sessionCounter: number;
  readonly config: ClusterConfig;
  /**
   * The cluster was made from what is left of an earlier one, whose nodes may still run what they hold a lease for: nothing
   * is assigned before those are over.
   */
  readonly awaitsLeases?: boolean;
  /** In the order of the queue, one for each priority at the most; absent: none has been overtaken so far. */
  readonly heads?: readonly QueueHead[];
}

/** The first PENDING task of its priority that waits for room, and that others have overtaken. */
export interface QueueHead {
  readonly taskId: string;
  /** When it was overtaken first. */
  readonly sinceMs: number;
  /** Kept for it: nothing behind it is placed there. */
  readonly nodes: readonly string[];
}

/** Settings that belong to the cluster, not to a node (docs/contract.md, section 6). Milliseconds. */
export interface ClusterConfig {
  readonly heartbeat: {
    readonly intervalMs: number;
    readonly warningMs: number;
    readonly timeoutMs: number;
  };
  /** Absent in clusters that formed before there was any: then the default counts. */
  readonly membership?: {
    /** Kept by the autopilot. */
    readonly voters: number;
    /** Nodes beside the voters that receive the log. */
    readonly learners: number;
    /** A voter that is dead for so long is replaced. */
    readonly voterGraceMs: number;
  };
  /** Absent in clusters that formed before there was any: then the default counts. */
  readonly scheduling?: {
    readonly policy: SchedulingPolicy;
  };
}

/** Whether tasks are spread over the nodes, or fill one before the next. */
export const SCHEDULING_POLICIES = ['spread', 'binpack'] as const;
export type SchedulingPolicy = (typeof SCHEDULING_POLICIES)[number];

export function schedulingOf(config: ClusterConfig | undefined): { readonly policy: SchedulingPolicy } {
  return config?.scheduling ?? { policy: 'spread' };
}

export const DEFAULT_MEMBERSHIP = { learners: 20, voterGraceMs: 5 * 60_000 } as const;

/** The first answer given for an idempotency key, kept so that a repeated request gets it again. */
export interface IdempotencyRow {
  readonly key: string;
  readonly requestDigest: string;
  readonly answer: unknown;
  readonly atMs: number;
}
