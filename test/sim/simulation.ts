/** One seed: a cluster, its users, its operator and its nemesis for a minute of virtual time, then peace for a quorum. */
import { messageOf } from '../../src/lib/errors.ts';
import { Clients } from './clients.ts';
import { heal } from './finale.ts';
import { LaterTraffic } from './later-traffic.ts';
import { Nemesis } from './nemesis.ts';
import { Operator } from './operator.ts';
import { World } from './world.ts';

const FAULTY_MS = 60_000;

export interface SeedResult {
  readonly seed: number;
  /** What broke, or null. */
  readonly violation: string | null;
  readonly trace: string;
  readonly lastEvents: readonly string[];
  readonly virtualMs: number;
  readonly events: number;
  readonly committed: number;
  readonly counters: ReadonlyMap<string, number>;
}

export async function simulate(seed: number): Promise<SeedResult> {
  const world = new World(seed);
  const { time, trace, checks } = world;
  let violation: string | null = null;
  try {
    await run(world, seed);
  } catch (error) {
    // Whatever is thrown is a finding: an invariant of the core, or a broken promise.
    violation = messageOf(error);
    if (error instanceof Error && error.name !== 'Violation') violation += `\n${error.stack ?? ''}`;
  }
  return {
    seed,
    violation,
    trace: trace.hash,
    lastEvents: trace.lastEvents(),
    virtualMs: time.nowMs,
    events: time.events,
    committed: checks.committedIndex,
    counters: trace.counters,
  };
}

async function run(world: World, seed: number): Promise<void> {
  for (const machine of world.machines) await machine.start();
  const clients = new Clients(world);
  const later = new LaterTraffic(world, seed);
  const operator = world.chance.happens(0.8) ? new Operator(world) : null;
  const nemesis = new Nemesis(world);
  await world.time.run(FAULTY_MS, () => world.violation !== null);
  if (world.violation !== null) throw world.violation;
  clients.stop();
  later.stop();
  operator?.stop();
  nemesis.stop();
  await heal(world, clients);
}
