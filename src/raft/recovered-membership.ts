/**
 * Who is a member, as a node finds it on its disk. Names and addresses stand in the log, beside what it begins behind; the
 * core holds the configuration alone.
 */
import { allMembers } from './core/quorum.ts';
import type { Entry } from './core/types.ts';
import { foundingMembership, replayMembership, type Membership } from './membership.ts';
import type { LogBase, Peer, SnapshotFile } from './ports.ts';
import { StorageError } from './storage-error.ts';

export interface FoundOnDisk {
  readonly founders: readonly Peer[];
  /** Of the log. */
  readonly path: string;
  readonly log: { readonly snapshot: LogBase | null; readonly entries: readonly Entry[] };
  /** Newest first. */
  readonly files: readonly Pick<SnapshotFile, 'meta' | 'peers'>[];
  readonly applied: number;
}

/**
 * The membership as of `applied`.
 * @throws StorageError log_corrupt where it is not known who every member is: one that took part all the same would
 * refuse its own peers, as removed
 */
export function recoveredMembership(found: FoundOnDisk): Membership {
  const membership = membershipFound(found);
  const known = new Set(membership.peers.map(({ raftId }) => raftId));
  const unknown = allMembers(membership.confState).filter((id) => !known.has(id));
  if (unknown.length === 0) return membership;
  throw new StorageError(
    'log_corrupt',
    found.path,
    `nothing says any more who the members ${unknown.join(', ')} are: no snapshot file of index ${startOf(found).index} or later is whole`,
  );
}

/** The same, with those alone of whom is known who they are. */
export function membershipFound(found: Omit<FoundOnDisk, 'path'>): Membership {
  return replayMembership(startOf(found), found.log.entries, found.applied);
}

function startOf({ founders, files, log, applied }: Omit<FoundOnDisk, 'path'>): Membership {
  const founding = foundingMembership(founders);
  if (log.snapshot === null) return founding;
  const { index, confState, peers } = log.snapshot;
  if (peers !== undefined) return { index, confState, peers };
  // One that the log begins behind may be damaged, and a newer one whole.
  const file = files.find(({ meta }) => meta.index >= index && meta.index <= applied);
  if (file === undefined) return { ...founding, index, confState };
  return { index: file.meta.index, confState: file.meta.confState, peers: file.peers };
}
