/** What the leader tells nodes without a copy of the cluster. They ask every few seconds, so it is made once for all of them. */
import { createHash } from 'node:crypto';

import type { ClusterView } from '../generated/raft.ts';
import { invariant } from '../lib/assert.ts';
import { logRetentionOf } from '../model/cluster.ts';
import { peerToWire } from '../raft/form-cluster.ts';
import type { Membership } from '../raft/membership.ts';
import type { RaftNode } from '../raft/node.ts';
import type { Replica } from '../scheduler/ports.ts';
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
}

export class ClusterViews {
  readonly #options: ClusterViewsOptions;
  #made: { readonly of: Sources; readonly view: ClusterView } | null = null;

  constructor(options: ClusterViewsOptions) {
    this.#options = options;
  }

  /** The same object as long as nothing has changed. To be asked on a leader. */
  current(): ClusterView {
    const { raft, replica, names } = this.#options;
    const { cluster } = replica.state;
    invariant(cluster !== null, 'a leader without a cluster');
    const now = { membership: raft.membership, names: names.all, ...logRetentionOf(cluster.config) };
    if (this.#made === null || !isSame(this.#made.of, now)) this.#made = { of: now, view: viewOf(now) };
    return this.#made.view;
  }
}

function isSame(a: Sources, b: Sources): boolean {
  return (
    a.membership === b.membership &&
    a.names === b.names &&
    a.logsMs === b.logsMs &&
    a.maxLogBytes === b.maxLogBytes
  );
}

function viewOf({ membership, names, logsMs, maxLogBytes }: Sources): ClusterView {
  const told = {
    members: membership.peers.map(peerToWire),
    nodes_without_copy: [...names],
    log_max_age_ms: logsMs,
    log_max_bytes: maxLogBytes,
  };
  const digest = createHash('sha256').update(JSON.stringify(told)).digest('hex').slice(0, DIGEST_DIGITS);
  return { digest, ...told };
}
