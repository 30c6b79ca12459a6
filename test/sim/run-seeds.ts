/** Seed after seed, with what they came to: for people on stdout, for programs in a file. */
import { writeFileSync } from 'node:fs';

import { MUTANTS } from './mutants.ts';
import { simulateNodes } from './nodes/simulate-nodes.ts';
import { simulate, type SeedResult } from './simulation.ts';
import { COUNTERS } from './trace.ts';

const MINUTES_PER_HOUR = 60;
const MS_PER_MINUTE = 60_000;

export interface Run {
  readonly seeds: Iterable<number>;
  /** Whichever of their runs it was that failed before, they have both, also where one of them is replayed by itself. */
  readonly failedBefore: ReadonlySet<number>;
  readonly mutant: string | null;
  readonly json: string | null;
}

/** Nodes take longer than all the rest, so only every so many seeds have a run of them. */
const NODES_EVERY = 4;

/** A mutant is looked for where it can show. */
function* runsOf(
  seed: number,
  { mutant, failedBefore }: Run,
): Generator<(seed: number) => Promise<SeedResult>> {
  const world = MUTANTS.find(({ name }) => name === mutant)?.world;
  if (world !== 'nodes') yield simulate;
  const isDue = failedBefore.has(seed) || seed % NODES_EVERY === 0;
  if (world === 'nodes' || (mutant === null && isDue)) yield simulateNodes;
}

/** Stops at the first seed that breaks something. @returns whether none did */
export async function runSeeds(options: Run): Promise<boolean> {
  const { seeds, mutant, json } = options;
  const startedAtMs = performance.now();
  const counters = new Map<string, number>();
  let count = 0;
  let virtualMs = 0;
  let committed = 0;
  let failure: SeedResult | null = null;
  let last: SeedResult | null = null;
  for (const seed of seeds) {
    count += 1;
    for (const run of runsOf(seed, options)) {
      const result = await run(seed);
      last = result;
      virtualMs += result.virtualMs;
      committed += result.committed;
      for (const [name, times] of result.counters) counters.set(name, (counters.get(name) ?? 0) + times);
      if (result.violation !== null) failure = result;
      if (failure !== null) break;
    }
    if (failure !== null) break;
  }
  const tookMs = performance.now() - startedAtMs;
  for (const name of COUNTERS) console.log(`${String(counters.get(name) ?? 0).padStart(9)}  ${name}`);
  const hours = (virtualMs / MS_PER_MINUTE / MINUTES_PER_HOUR).toFixed(2);
  console.log(
    `sim: ${count} seeds, ${hours} virtual hours, ${committed} entries committed, ${Math.round(tookMs / Math.max(1, count))} ms a seed`,
  );
  if (last !== null) console.log(`sim: seed ${last.seed} ended with trace ${last.trace}`);
  if (failure !== null) report(failure, mutant);
  if (json !== null) {
    const failed =
      failure === null ? null : { seed: failure.seed, violation: failure.violation, trace: failure.trace };
    const summary = {
      count,
      virtualMs,
      committed,
      tookMs,
      mutant,
      failure: failed,
      counters: Object.fromEntries(counters),
    };
    writeFileSync(json, `${JSON.stringify(summary, null, 2)}\n`);
  }
  return failure === null;
}

function report({ seed, violation, trace, lastEvents }: SeedResult, mutant: string | null): void {
  const more = mutant === null ? '' : ` --mutant ${mutant}`;
  console.error(`${lastEvents.join('\n')}\n`);
  console.error(`FAIL seed ${seed} trace ${trace}: ${violation}`);
  console.error(`again: npm run sim -- --seed ${seed} --count 1${more}`);
}
