/**
 * Promise 4: two attempts of one task never run at the same time. Judged by what the tasks themselves have written alone:
 * an attempt that leaves a line while another one of its task has begun and has not ended yet.
 */
import type { RunLine } from './recorder.ts';

/** Whether nothing of the node could have ended what should not run (guards.ts). */
export type IsUnguarded = (node: string, atMs: number) => boolean;

interface Stretch {
  readonly first: RunLine;
  readonly last: RunLine;
  readonly lines: readonly RunLine[];
}

export function judgeOverlap(runs: readonly RunLine[], isUnguarded: IsUnguarded): readonly string[] {
  return [...Map.groupBy(runs, ({ id }) => id)].flatMap(([id, lines]) => overlapsOf(id, lines, isUnguarded));
}

/** At most one for each two of its attempts. */
function overlapsOf(id: string, lines: readonly RunLine[], isUnguarded: IsUnguarded): readonly string[] {
  const stretches = [...Map.groupBy(lines, ({ token }) => token).values()].map(stretchOf);
  return stretches.flatMap((one, at) =>
    stretches.slice(at + 1).flatMap((other) => {
      const line =
        one.lines.find((each) => isDuring(each, other, isUnguarded)) ??
        other.lines.find((each) => isDuring(each, one, isUnguarded));
      return line === undefined
        ? []
        : [`${id}: ${nameOf(one)} and ${nameOf(other)}: both ran at ${line.atMs} ms`];
    }),
  );
}

/** The clock is read in hundredths of a second, cut off: what is later by it is later. */
function isDuring(line: RunLine, { first, last }: Stretch, isUnguarded: IsUnguarded): boolean {
  const { atMs } = line;
  if (atMs <= first.atMs || atMs >= last.atMs) return false;
  return !isUnguarded(line.node, atMs) && !isUnguarded(first.node, atMs);
}

function stretchOf(unordered: readonly RunLine[]): Stretch {
  const lines = unordered.toSorted((a, b) => a.atMs - b.atMs);
  const [first, last] = [lines[0], lines.at(-1)];
  if (first === undefined || last === undefined) throw new Error('a group has members');
  return { first, last, lines };
}

function nameOf({ first, last }: Stretch): string {
  const { attempt, token, node } = first;
  return `attempt ${attempt} (token ${token}) on ${node} from ${first.atMs} to ${last.atMs} ms`;
}
