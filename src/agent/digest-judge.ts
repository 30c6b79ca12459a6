/**
 * Whether this replica has made of the log what the majority has. Pure. A digest counts for the voter that told it; where
 * a majority of all voters agrees on one at some index, whoever has another there is wrong, itself included. Learners are
 * judged and do not judge.
 */
import type { RaftId } from '../raft/core/types.ts';

export interface DigestSample {
  readonly index: number;
  readonly digest: string;
}

export interface Replica {
  readonly id: RaftId;
  readonly samples: readonly DigestSample[];
}

export type DigestVerdict =
  /** Nothing that could be compared, or not by enough. */
  | { readonly type: 'unknown' }
  | { readonly type: 'agrees'; readonly index: number }
  | { readonly type: 'minority'; readonly index: number; readonly own: string; readonly majority: string }
  /** So many differ that no majority can agree any more: nobody can tell who is right. */
  | { readonly type: 'split'; readonly index: number; readonly digests: ReadonlyMap<RaftId, string> };

/** Replicas that made something else of the same log. */
export interface StateDifference {
  readonly index: number;
  readonly digests: ReadonlyMap<RaftId, string>;
}

/**
 * The newest index at which any two differ, learners included; null for none. One difference is one too many, however few
 * have answered and whoever may be right.
 */
export function findDifference(replicas: readonly Replica[]): StateDifference | null {
  const byIndex = new Map<number, Map<RaftId, string>>();
  for (const { id, samples } of replicas) {
    for (const { index, digest } of samples) {
      const digests = byIndex.get(index) ?? new Map<RaftId, string>();
      byIndex.set(index, digests.set(id, digest));
    }
  }
  let newest: StateDifference | null = null;
  for (const [index, digests] of byIndex) {
    if (new Set(digests.values()).size > 1 && index > (newest?.index ?? -1)) newest = { index, digests };
  }
  return newest;
}

/** @param voters of the configuration that stays @param others what they told; whoever did not answer is not in it */
export function judgeDigests(
  own: Replica,
  others: readonly Replica[],
  voters: readonly RaftId[],
): DigestVerdict {
  let agrees: number | null = null;
  // The newest first: an index that enough of them have reached is what counts.
  for (const { index, digest } of own.samples.toReversed()) {
    const digests = digestsAt(index, [own, ...others], voters);
    const [leading, count] = mostFrequent(digests);
    const needed = Math.floor(voters.length / 2) + 1;
    if (count >= needed) {
      if (leading !== digest) return { type: 'minority', index, own: digest, majority: leading };
      // An older one cannot differ where a newer one agrees: the digest is of the whole state.
      agrees = index;
      break;
    }
    const missing = voters.length - digests.size;
    if (count + missing < needed) return { type: 'split', index, digests };
  }
  return agrees === null ? { type: 'unknown' } : { type: 'agrees', index: agrees };
}

function digestsAt(
  index: number,
  replicas: readonly Replica[],
  voters: readonly RaftId[],
): ReadonlyMap<RaftId, string> {
  const digests = new Map<RaftId, string>();
  for (const { id, samples } of replicas) {
    const sample = samples.find((one) => one.index === index);
    if (sample !== undefined && voters.includes(id)) digests.set(id, sample.digest);
  }
  return digests;
}

function mostFrequent(digests: ReadonlyMap<RaftId, string>): readonly [digest: string, count: number] {
  const counts = new Map<string, number>();
  for (const digest of digests.values()) counts.set(digest, (counts.get(digest) ?? 0) + 1);
  let best: readonly [string, number] = ['', 0];
  for (const entry of counts) if (entry[1] > best[1]) best = entry;
  return best;
}
