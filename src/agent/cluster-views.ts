/**
 * What the leader tells nodes without a copy of the cluster. They ask every few seconds, so it is made once for all of them. Of
 * thousands each would be sent the names of thousands with every one that comes or goes: so these are renewed the less often, the more
 * there are. Nobody waits for them but a new node that calls another one of those itself.
 */
import { createHash } from 'node:crypto';

import type { ClusterView } from '../generated/raft.ts';
import { invariant } from '../lib/assert.ts';
import type { Clock } from '../lib/clock.ts';
import { logRetentionOf } from '../model/cluster.ts';
import { peerToWire } from '../raft/form-cluster.ts';
import type { Membership } from '../raft/membership.ts';
import type { RaftNode } from '../raft/node.ts';
import type { Replica } from '../scheduler/ports.ts';
import { COPYLESS_LIMITS } from './copyless/limits.ts';
import type { CopylessNames } from './copyless-names.ts';

const DIGEST_DIGITS = 16;

/** All that a view is made of. */
interface Sources {
  readonly membership: Membership;
  readonly names: readonly string[];
  readonly logsMs: number;
  readonly maxLogBytes: number;
}

interface ClusterViewsOptions {
  readonly raft: Pick<RaftNode, 'membership'>;
  readonly replica: Pick<Replica, 'state'>;
  readonly names: Pick<CopylessNames, 'all'>;
  readonly clock: Pick<Clock, 'monotonicMs'>;
}

interface Made {
  readonly of: Sources;
  readonly view: ClusterView;
  /** Until then other names do for a while. */
  readonly namesUntilMs: number;
}

export class ClusterViews {
  readonly #options: ClusterViewsOptions;
  #made: Made | null = null;

  constructor(options: ClusterViewsOptions) {
    this.#options = options;
  }

  /** The same object as long as nothing has changed that cannot wait. To be asked on a leader. */
  current(): ClusterView {
    const { raft, replica, names, clock } = this.#options;
    const { cluster } = replica.state;
    invariant(cluster !== null, 'a leader without a cluster');
    const now = { membership: raft.membership, names: names.all, ...logRetentionOf(cluster.config) };
    const nowMs = clock.monotonicMs();
    if (this.#made === null || !mayStay(this.#made, now, nowMs)) this.#made = madeOf(now, nowMs);
    return this.#made.view;
  }
}

function mayStay({ of, namesUntilMs }: Made, now: Sources, nowMs: number): boolean {
  return (
    of.membership === now.membership &&
    (of.names === now.names || nowMs < namesUntilMs) &&
    of.logsMs === now.logsMs &&
    of.maxLogBytes === now.maxLogBytes
  );
}

function madeOf(sources: Sources, nowMs: number): Made {
  const { membership, names, logsMs, maxLogBytes } = sources;
  const told = {
    members: membership.peers.map(peerToWire),
    nodes_without_copy: [...names],
    log_max_age_ms: logsMs,
    log_max_bytes: maxLogBytes,
  };
  const text = JSON.stringify(told);
  const digest = createHash('sha256').update(text).digest('hex').slice(0, DIGEST_DIGITS);
  const holdMs = Math.floor((text.length * names.length) / COPYLESS_LIMITS.viewBytesPerMs);
  return { of: sources, view: { digest, ...told }, namesUntilMs: nowMs + holdMs };
}
