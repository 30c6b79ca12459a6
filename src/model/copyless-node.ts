/** A node that was let in beyond the learners: it runs tasks, and has no copy of the state (docs/adr/0013). */
export interface CopylessNodeRow {
  readonly name: string;
  readonly incarnation: string;
  /** Where it is reached. */
  readonly address: string;
  readonly admittedAtMs: number;
}

interface CopylessRows {
  readonly copylessNodes: ReadonlyMap<string, CopylessNodeRow>;
}

interface Member {
  readonly incarnation: string;
}

/**
 * Who really is without a copy, by name: a row whose incarnation is a member's is left from before that became one. Takes
 * time for each of them.
 */
export function copylessNodes(
  { copylessNodes: rows }: CopylessRows,
  peers: readonly Member[],
): readonly CopylessNodeRow[] {
  const members = new Set(peers.map(({ incarnation }) => incarnation));
  return [...rows.values()]
    .filter(({ incarnation }) => !members.has(incarnation))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The one of that name, in no time that grows with the number of such nodes. */
export function copylessNode(
  { copylessNodes: rows }: CopylessRows,
  peers: readonly Member[],
  name: string,
): CopylessNodeRow | null {
  const row = rows.get(name);
  if (row === undefined || peers.some(({ incarnation }) => incarnation === row.incarnation)) return null;
  return row;
}
