/**
 * What is done to the nodes and when, from the seed alone: the same seed and the same kinds, the same faults at the same
 * times. Two lanes run side by side, one of what befalls processes and one of what befalls the network; in each of them
 * one fault comes after the other.
 */
import { seededRandom, type Random } from '../../src/lib/random.ts';

export const FAULT_KINDS = [
  'kill',
  'kill-watchdog',
  'pause-daemon',
  'pause-watchdog',
  'pause-both',
  'pause-engine',
  'lost-disk',
  'cut',
  'one-way',
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** A node by its place in the list, or whoever leads then (and the place where nobody is known to). */
interface Target {
  readonly place: number;
  readonly leader: boolean;
}

export interface Fault {
  /** From the start of the run. */
  readonly atMs: number;
  readonly kind: FaultKind;
  readonly target: Target;
  /** Of nodes: 2 and 3 occur with `kill` only. */
  readonly count: number;
  /** Until what was killed is started again, what was paused goes on, what was cut is mended. */
  readonly durationMs: number;
  readonly network: {
    /** Its links to all others, or to the next one only. */
    readonly scope: 'node' | 'link';
    /** One-way: what the target sends is lost, or what it should receive. */
    readonly direction: 'outward' | 'inward';
    readonly heal: 'late' | 'lost';
  };
}

type Span = readonly [least: number, most: number];

export const NODES = 3;
const FIRST_MS = 1500;
const LAST_MS = 1000;
const NETWORK: ReadonlySet<FaultKind> = new Set(['cut', 'one-way']);
/** The heartbeat timeout of the nodes is 3 s: about half of the pauses and cuts last longer than any lease. */
const DURATION_MS: Readonly<Record<FaultKind, Span>> = {
  kill: [200, 5000],
  'kill-watchdog': [200, 1000],
  'pause-daemon': [500, 7000],
  'pause-watchdog': [500, 7000],
  'pause-both': [500, 7000],
  'pause-engine': [500, 7000],
  'lost-disk': [200, 3000],
  cut: [500, 7000],
  'one-way': [500, 7000],
};
/** A majority is never away for long. */
const KILL_TWO_MS: Span = [200, 2000];
const KILL_ALL_MS: Span = [50, 1000];
/** Between the end of one and the begin of the next: sometimes too short for a node to be back. */
const GAP_MS: Span = [700, 4000];

export function planFaults(
  seconds: number,
  seed: number,
  kinds: readonly FaultKind[],
): readonly (readonly Fault[])[] {
  const lanes = [kinds.filter((kind) => !NETWORK.has(kind)), kinds.filter((kind) => NETWORK.has(kind))];
  return lanes.map((lane, at) => planLane(seconds, seededRandom(seed + at), lane));
}

function planLane(seconds: number, random: Random, kinds: readonly FaultKind[]): readonly Fault[] {
  const faults: Fault[] = [];
  const endMs = seconds * 1000 - LAST_MS;
  let bag: FaultKind[] = [];
  for (let atMs = FIRST_MS; atMs < endMs;) {
    if (bag.length === 0) bag = shuffled(kinds, random);
    const kind = bag.pop();
    if (kind === undefined) break;
    const fault = draw(kind, atMs, random);
    // The one whose loss matters most is met in the beginning, every time.
    faults.push(faults.length === 0 ? { ...fault, target: { ...fault.target, leader: true } } : fault);
    atMs += fault.durationMs + between(GAP_MS, random());
  }
  return faults;
}

function draw(kind: FaultKind, atMs: number, random: Random): Fault {
  const target = { place: Math.floor(random() * NODES), leader: random() < 0.5 };
  const many = random();
  const count = kind !== 'kill' || many < 0.7 ? 1 : many < 0.85 ? 2 : NODES;
  const span = count === NODES ? KILL_ALL_MS : count === 2 ? KILL_TWO_MS : DURATION_MS[kind];
  const durationMs = between(span, random());
  const network = {
    scope: random() < 0.7 ? 'node' : 'link',
    direction: random() < 0.5 ? 'outward' : 'inward',
    heal: random() < 0.5 ? 'late' : 'lost',
  } as const;
  return { atMs, kind, target, count, durationMs, network };
}

/** Every kind comes before any comes again. */
function shuffled(kinds: readonly FaultKind[], random: Random): FaultKind[] {
  return kinds
    .map((kind) => ({ kind, drawn: random() }))
    .sort((a, b) => a.drawn - b.drawn)
    .map(({ kind }) => kind);
}

export function between([least, most]: Span, drawn: number): number {
  return Math.round(least + drawn * (most - least));
}
