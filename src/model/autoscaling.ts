/** When nodes are added and taken away, and by whom (docs/contract.md, section 6). */

export const SCALING_METRICS = ['queue_depth', 'average_wait_time', 'cluster_utilization'] as const;
type ScalingMetric = (typeof SCALING_METRICS)[number];

export const SCALING_PROVIDERS = ['process', 'docker', 'aws', 'command'] as const;
export type ScalingProvider = (typeof SCALING_PROVIDERS)[number];

export interface ScalingRule {
  readonly metric: ScalingMetric;
  /** Runnable tasks, seconds or percent, as the metric has it. */
  readonly threshold: number;
  /** Since the last action of its kind. */
  readonly cooldownMs: number;
  /** Nodes that it adds, or removes. */
  readonly count: number;
}

/** Null: what the provider itself finds. */
export interface ScalingCapacity {
  readonly cpuMillis: number | null;
  readonly memoryBytes: number | null;
}

export interface ProcessScaling {
  readonly capacity: ScalingCapacity;
}

export interface DockerScaling {
  readonly image: string;
  readonly capacity: ScalingCapacity;
  /** `host`, or the name of a network of the engine; null: `host`. */
  readonly network: string | null;
  /** SOURCE:TARGET or SOURCE:TARGET:ro; null: none. */
  readonly mounts: readonly string[] | null;
}

export interface AwsScaling {
  /** Absent: the row is of a version before that, and nothing is known. */
  readonly capacity?: ScalingCapacity;
  readonly region: string;
  readonly instanceType: string;
  readonly imageId: string | null;
  readonly subnetId: string | null;
  readonly securityGroupIds: readonly string[];
  readonly keyName: string | null;
  readonly instanceProfile: string | null;
}

/** Each a program with its arguments (docs/providers.md). */
export interface CommandScaling {
  /** Absent: the row is of a version before that, and nothing is known. */
  readonly capacity?: ScalingCapacity;
  readonly add: readonly string[];
  readonly remove: readonly string[];
  readonly list: readonly string[];
}

export interface Autoscaling {
  readonly enabled: boolean;
  /** What the rules come to is recorded, and nothing is done. */
  readonly dryRun: boolean;
  readonly minNodes: number;
  readonly maxNodes: number;
  readonly scaleUpRules: readonly ScalingRule[];
  readonly scaleDownRules: readonly ScalingRule[];
  /** Between two evaluations of the rules. */
  readonly intervalMs: number;
  readonly provider: ScalingProvider;
  /** Of each provider that settings are given for. */
  readonly process: ProcessScaling | null;
  readonly docker: DockerScaling | null;
  readonly aws: AwsScaling | null;
  readonly command: CommandScaling | null;
}
