/** What is done to the nodes and when, from the seed alone: the same seed, the same faults at the same times. */
import type { Random } from '../../src/lib/random.ts';

/** A node by its place in the list, or whoever leads then (and the place where nobody is known to). */
interface Target {
  readonly place: number;
  readonly leader: boolean;
}

export interface Fault {
  /** From the start of the run. */
  readonly atMs: number;
  readonly type: 'kill' | 'pause' | 'killTwo' | 'killAll';
  readonly target: Target;
  /** Until what was killed is started again, and what was paused goes on. */
  readonly durationMs: number;
}

const NODES = 3;
const FIRST_MS = 1500;
const LAST_MS = 1000;

/** With how much of the whole each is drawn, and how long it lasts. A majority is never away for long. */
const KINDS: readonly {
  readonly type: Fault['type'];
  readonly share: number;
  readonly durationMs: readonly [number, number];
}[] = [
  { type: 'kill', share: 0.45, durationMs: [200, 5000] },
  { type: 'pause', share: 0.3, durationMs: [300, 5000] },
  { type: 'killTwo', share: 0.12, durationMs: [200, 2000] },
  { type: 'killAll', share: 0.13, durationMs: [50, 1000] },
];
/** Between the end of one and the begin of the next: sometimes too short for a node to be back. */
const GAP_MS: readonly [number, number] = [700, 4000];

export function planFaults(seconds: number, random: Random): readonly Fault[] {
  const faults: Fault[] = [];
  const endMs = seconds * 1000 - LAST_MS;
  for (let atMs = FIRST_MS; atMs < endMs;) {
    const kind = faults.length === 0 ? KINDS[0] : drawKind(random());
    if (kind === undefined) break;
    const target = {
      place: Math.floor(random() * NODES),
      // The one whose loss matters most is met every time in the beginning, and often later.
      leader: random() < 0.5 || faults.length === 0,
    };
    const durationMs = between(kind.durationMs, random());
    faults.push({ atMs, type: kind.type, target, durationMs });
    atMs += durationMs + between(GAP_MS, random());
  }
  return faults;
}

function drawKind(drawn: number) {
  let sum = 0;
  return (
    KINDS.find(({ share }) => {
      sum += share;
      return drawn < sum;
    }) ?? KINDS.at(-1)
  );
}

export function between([least, most]: readonly [number, number], drawn: number): number {
  return Math.round(least + drawn * (most - least));
}
