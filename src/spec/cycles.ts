/** Cycles of a directed graph. */

/**
 * Some of the cycles, none of which share a node, each in the order of its edges; at least one where there are any.
 * @param edges for each node, those that it points to
 */
export function cyclesIn(
  edges: readonly (readonly number[])[],
  most: number,
): readonly (readonly number[])[] {
  const left = withoutLeaves(edges);
  const cycles: number[][] = [];
  const seen = new Set<number>();
  for (const start of left) {
    if (cycles.length >= most) break;
    // Each that is left points to one that is: whoever walks on comes back to where it has been.
    const walk = new Map<number, number>();
    let at: number | undefined = start;
    while (at !== undefined && !seen.has(at) && !walk.has(at)) {
      walk.set(at, walk.size);
      at = edges[at]?.find((next) => left.has(next));
    }
    const first = at === undefined ? undefined : walk.get(at);
    if (first !== undefined) cycles.push([...walk.keys()].slice(first));
    for (const node of walk.keys()) seen.add(node);
  }
  return cycles;
}

/** What is left once every node is taken away all of whose targets are (A. B. Kahn, 1962). Ascending. */
function withoutLeaves(edges: readonly (readonly number[])[]): ReadonlySet<number> {
  const open = edges.map((targets) => targets.length);
  const sources: number[][] = edges.map(() => []);
  for (const [node, targets] of edges.entries()) for (const target of targets) sources[target]?.push(node);
  const leaves = open.flatMap((count, node) => (count === 0 ? [node] : []));
  const left = new Set(edges.keys());
  for (let leaf = leaves.pop(); leaf !== undefined; leaf = leaves.pop()) {
    left.delete(leaf);
    for (const source of sources[leaf] ?? []) {
      open[source] = (open[source] ?? 0) - 1;
      if (open[source] === 0) leaves.push(source);
    }
  }
  return left;
}
