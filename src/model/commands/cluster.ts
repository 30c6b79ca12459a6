/** Commands about the cluster as a whole: its beginning, its settings, and what it keeps. */
import type { ClusterConfig } from '../cluster.ts';
import type { IdempotencyKey, LeaderDecision, Stamped } from './stamped.ts';

/** The first command of a cluster's log; refused ever after. */
export interface InitClusterCommand extends LeaderDecision {
  readonly type: 'initCluster';
  readonly clusterId: string;
  readonly epoch: number;
  readonly config: ClusterConfig;
  /** That all founders know; absent: the first. */
  readonly version?: number;
}

/** Every member knows that cluster version (docs/adr/0012). */
export interface RaiseVersionCommand extends LeaderDecision {
  readonly type: 'raiseVersion';
  readonly version: number;
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

/** The key of a request that is carried out by something else than a command, such as a change of the membership. */
export interface RememberRequestCommand extends Stamped {
  readonly type: 'rememberRequest';
  readonly idempotency: IdempotencyKey;
  readonly answer: RememberedAnswer;
}

/** Of a request that was remembered before it was carried out, and then was not. */
export interface ForgetRequestCommand extends Stamped {
  readonly type: 'forgetRequest';
  readonly idempotency: IdempotencyKey;
}

/** Null; of a transfer of leadership the term in which it was asked for. */
export type RememberedAnswer = { readonly term: number } | null;

/** A node that is about to leave has given the output that it keeps to another. */
export interface LogsHandedOverCommand extends Stamped {
  readonly type: 'logsHandedOver';
  readonly node: string;
  /** Of the node's data directory. */
  readonly incarnation: string;
  readonly holder: string;
}
