import type { Alerts } from './alerts.ts';
import type { Autoscaling } from './autoscaling.ts';
import type { RetryPolicy } from './task.ts';

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
  /** Which commands every member can apply (docs/adr/0012); absent: the first. */
  readonly version?: number;
  /**
   * The cluster was made from what is left of an earlier one, whose nodes may still run what they hold a lease for: nothing
   * is assigned before those are over.
   */
  readonly awaitsLeases?: boolean;
  /**
   * While a shorter T follows a shorter L: the T that still counts, and the entry that shortened L last. Null, or absent
   * in rows of before there was any: the one in `config` counts.
   */
  readonly settling?: SettlingTimeout | null;
  /** Absent until the first entry that a version which keeps account has applied. */
  readonly retained?: Retained;
  /** While one more lost voter stops the cluster; null, or absent in rows of before there was any: it does not. */
  readonly quorumRisk?: QuorumRisk | null;
  /** In the order of the queue, `headsPerPriority` of each at the most; absent: none has been overtaken so far. */
  readonly heads?: readonly QueueHead[];
}

export interface SettlingTimeout {
  readonly timeoutMs: number;
  /** Of the log: whoever ends it names the shortening that has been waited for. */
  readonly index: number;
}

export interface QuorumRisk {
  readonly sinceMs: number;
  /** For people. */
  readonly reason: string;
}

/** What is kept of what is over, and from where on; counted as rows come and go, so that nothing is ever scanned for it. */
export interface Retained {
  /** Entries before it have no events any more. */
  readonly eventsFrom: number;
  /** Tasks that ended, and keys that were used, in entries before it have expired. */
  readonly finishedFrom: number;
  readonly usedKeysFrom: number;
  readonly eventCount: number;
  readonly finishedTaskCount: number;
  readonly idempotencyKeyCount: number;
}

/** @param index of the first entry that may have any of it */
export function nothingRetained(index: number): Retained {
  return {
    eventsFrom: index,
    finishedFrom: index,
    usedKeysFrom: index,
    eventCount: 0,
    finishedTaskCount: 0,
    idempotencyKeyCount: 0,
  };
}

/** A PENDING task that was the first of its priority to wait for room when others overtook it. */
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
  /** Absent in clusters that formed before there was any: then {@link DEFAULT_RETENTION} counts. */
  readonly retention?: Retention;
  /** What tasks are given that say nothing of it; absent: the default of Jarvis itself. */
  readonly retryPolicy?: RetryPolicy;
  /** Absent in clusters that formed before there was any: then the default counts. */
  readonly scheduling?: {
    readonly policy: SchedulingPolicy;
  };
  // Absent, both, in clusters that formed before there was any: then the default counts.
  readonly autoscaling?: Autoscaling;
  readonly alerts?: Alerts;
}

/** Whether tasks are spread over the nodes, or fill one before the next. */
export const SCHEDULING_POLICIES = ['spread', 'binpack'] as const;
export type SchedulingPolicy = (typeof SCHEDULING_POLICIES)[number];

export function schedulingOf(config: ClusterConfig | undefined): { readonly policy: SchedulingPolicy } {
  return config?.scheduling ?? { policy: 'spread' };
}

/** How long, and how much, is kept of what is over. */
export interface Retention {
  readonly tasksMs: number;
  readonly maxTasks: number;
  readonly eventsMs: number;
  /** Of output, on each node. Absent, as the next, in clusters that formed before there was any: the default counts. */
  readonly logsMs?: number;
  readonly maxLogBytes?: number;
}

/** How long, and how much, output is kept on each node. */
export interface LogRetention {
  readonly logsMs: number;
  readonly maxLogBytes: number;
}

export const DEFAULT_LOG_RETENTION: LogRetention = {
  logsMs: 7 * 24 * 3_600_000,
  maxLogBytes: 10 * 1024 ** 3,
};

export function logRetentionOf({ retention }: Pick<ClusterConfig, 'retention'>): LogRetention {
  return {
    logsMs: retention?.logsMs ?? DEFAULT_LOG_RETENTION.logsMs,
    maxLogBytes: retention?.maxLogBytes ?? DEFAULT_LOG_RETENTION.maxLogBytes,
  };
}

export const DEFAULT_RETENTION: Retention = {
  tasksMs: 7 * 24 * 3_600_000,
  maxTasks: 1_000_000,
  eventsMs: 24 * 3_600_000,
};

export const DEFAULT_MEMBERSHIP = { learners: 20, voterGraceMs: 5 * 60_000 } as const;

/** The first answer given for an idempotency key, kept so that a repeated request gets it again. */
export interface IdempotencyRow {
  readonly key: string;
  readonly requestDigest: string;
  readonly answer: unknown;
  readonly atMs: number;
}
