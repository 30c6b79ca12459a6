/** Which nodes leave when there are too many. Pure. Only what the autoscaler has made ever leaves by it. */

export interface LeavingCandidate {
  /** Of the instance. */
  readonly id: string;
  readonly node: string;
  /** Null: none is known. */
  readonly zone: string | null;
  /** It is a member: it receives the log. */
  readonly hasCopy: boolean;
  readonly isVoter: boolean;
  /** It has the log, and could vote. */
  readonly isCaughtUp: boolean;
  /** What is set aside on it: the fuller of processors and memory, from 0 to 1. */
  readonly filling: number;
  /** Attempts that would have to end, or move. */
  readonly tasks: number;
  /** When it was asked for. */
  readonly createdAtMs: number;
}

export interface OtherNode {
  readonly zone: string | null;
  readonly isVoter: boolean;
  readonly isCaughtUp: boolean;
}

/**
 * Those without a copy first: no member has to be made in their place. Of these, and then of the learners, the emptiest first,
 * then those with the fewest tasks; of equal ones those from zones with more nodes, then the youngest, which keep the fewest
 * logs. A voter only where nobody else is left, and only where another member that has caught up can take its vote without a
 * zone losing its last voter.
 * @param others nodes that stay whatever is decided
 * @returns ids, at most `count`
 */
export function chooseVictims(
  candidates: readonly LeavingCandidate[],
  others: readonly OtherNode[],
  count: number,
): readonly string[] {
  const left = [...candidates];
  const chosen: string[] = [];
  /** Who takes the votes of those chosen: each of them only one. */
  const heirs = new Set<OtherNode>();
  while (chosen.length < count) {
    const staying = [...others, ...left];
    const best = left
      .filter((one) => !heirs.has(one) && (!one.isVoter || heirOf(one, staying, heirs) !== null))
      .sort((a, b) => compare(a, b, staying))[0];
    if (best === undefined) break;
    const heir = best.isVoter ? heirOf(best, staying, heirs) : null;
    if (heir !== null) heirs.add(heir);
    chosen.push(best.id);
    left.splice(left.indexOf(best), 1);
  }
  return chosen;
}

function compare(a: LeavingCandidate, b: LeavingCandidate, staying: readonly OtherNode[]): number {
  return (
    Number(a.isVoter) - Number(b.isVoter) ||
    Number(a.hasCopy) - Number(b.hasCopy) ||
    a.filling - b.filling ||
    a.tasks - b.tasks ||
    inZone(staying, b.zone) - inZone(staying, a.zone) ||
    b.createdAtMs - a.createdAtMs ||
    (a.id < b.id ? -1 : 1)
  );
}

function inZone(nodes: readonly OtherNode[], zone: string | null): number {
  return zone === null ? 0 : nodes.filter((node) => node.zone === zone).length;
}

/** Whoever takes its vote; in its own zone, where its vote is the only one there. Null: nobody can. @param staying with the voter */
export function heirOf<T extends OtherNode>(
  { zone }: Pick<OtherNode, 'zone'>,
  staying: readonly T[],
  taken: ReadonlySet<OtherNode>,
): T | null {
  const free = staying.filter((node) => !node.isVoter && node.isCaughtUp && !taken.has(node));
  const there = free.find((node) => node.zone === zone);
  const votes = staying.filter((node) => (node.isVoter || taken.has(node)) && node.zone === zone);
  const isLast = zone !== null && votes.length === 1;
  return there ?? (isLast ? null : (free[0] ?? null));
}
