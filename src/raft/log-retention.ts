/**
 * How much of the log a leader keeps in memory beyond what its snapshots ask for: what followers need that are behind.
 * Were it cut under a follower that is being sent a snapshot, or has just installed one, it would need the next snapshot,
 * and where sending one takes longer than taking one it would never catch up. Bounded in bytes all the same.
 */
import type { ProgressStatus } from './core/status.ts';
import type { Entry, RaftId } from './core/types.ts';

/** A follower, and the index of what it has, or will have with the snapshot that it is sent: it needs what is behind. */
export interface Follower {
  readonly id: RaftId;
  readonly index: number;
}

/** Those that answer, or are being sent a snapshot. Nothing is kept for one that is away: it gets a snapshot. */
export function followersOf(
  progress: readonly ProgressStatus[],
  known: { readonly self: RaftId; readonly isActive: (id: RaftId) => boolean },
): readonly Follower[] {
  const followers: Follower[] = [];
  for (const { id, state, match, next, pendingSnapshot } of progress) {
    if (id === known.self) continue;
    // The file that is sent may be newer; but the core asks for what is behind this one first, once it was sent.
    if (state === 'snapshot') followers.push({ id, index: pendingSnapshot });
    // What is probed is believed to be there: it may be the snapshot that has just been sent.
    else if (known.isActive(id)) followers.push({ id, index: state === 'probe' ? next - 1 : match });
  }
  return followers;
}

/**
 * @param log what could be cut: from the first entry that is there to the last that a snapshot covers
 * @returns up to where it is cut, and whom that leaves without what they need
 */
export function retention(
  log: readonly Entry[],
  followers: readonly Follower[],
  maxBytes: number,
): { readonly through: number; readonly givenUp: readonly RaftId[] } {
  const first = log[0];
  const last = log.at(-1);
  if (first === undefined || last === undefined) return { through: 0, givenUp: [] };
  // From the end: as much as may stay, and below it nothing.
  let least = last.index;
  let bytes = 0;
  for (const entry of log.toReversed()) {
    bytes += entry.data.byteLength;
    if (bytes > maxBytes) break;
    least = entry.index - 1;
  }
  // Whose entries are gone already has been given up before.
  const needing = followers.filter(({ index }) => index >= first.index - 1);
  const kept = needing.filter(({ index }) => index >= least);
  return {
    through: Math.min(last.index, ...kept.map(({ index }) => index)),
    givenUp: needing.filter(({ index }) => index < least).map(({ id }) => id),
  };
}
