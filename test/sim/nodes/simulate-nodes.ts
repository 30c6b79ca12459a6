/** One seed of nodes: a minute of tasks and faults, then peace, in which everything has to come to its end. */
import { messageOf } from '../../../src/lib/errors.ts';
import type { SeedResult } from '../simulation.ts';
import { Violation } from '../trace.ts';
import { World } from '../world.ts';
import { Drains } from './drains.ts';
import { NodeNemesis } from './nemesis-nodes.ts';
import { Nodes } from './nodes.ts';
import { Restarts } from './restarts.ts';
import { TimeoutChanges } from './timeout-changes.ts';
import { Users } from './users.ts';

const FAULTY_MS = 60_000;
const PEACE_MS = 120_000;
const STEP_MS = 250;
/** The longest chain of promises between two events of one process. */
const TURNS = 16;

export async function simulateNodes(seed: number): Promise<SeedResult> {
  const world = new World(seed, { hasNodes: true });
  const { time, trace, checks } = world;
  time.turns = TURNS;
  let violation: string | null = null;
  try {
    await run(world);
  } catch (error) {
    violation = messageOf(error);
    if (error instanceof Error && error.name !== 'Violation') violation += `\n${error.stack ?? ''}`;
  }
  return {
    seed,
    violation,
    trace: trace.hash,
    lastEvents: trace.story(),
    virtualMs: time.nowMs,
    events: time.events,
    committed: checks.committedIndex,
    counters: trace.counters,
  };
}

async function run(world: World): Promise<void> {
  const nodes = new Nodes(world);
  try {
    await live(world, nodes);
  } finally {
    for (const host of [...nodes.hosts, ...nodes.abandoned]) host.dispose();
  }
}

async function live(world: World, nodes: Nodes): Promise<void> {
  for (const machine of founders(world)) await machine.start();
  for (const host of nodes.hosts) host.startDaemon();
  const users = new Users(world);
  const nemesis = new NodeNemesis(nodes, users);
  const changes = new TimeoutChanges(nodes, nemesis);
  const restarts = new Restarts(nodes, nemesis);
  const drains = new Drains(nodes);
  await pass(world, FAULTY_MS);
  nemesis.stop();
  changes.stop();
  restarts.stop();
  drains.stop();
  users.stop();
  await heal(world, nodes, drains);
}

/** The others wait to join, which is tested elsewhere. */
function founders(world: World): World['machines'] {
  return world.machines.filter(({ disk }) => world.founding.voters.includes(disk.raftId));
}

async function heal(world: World, nodes: Nodes, drains: Drains): Promise<void> {
  world.trace.tell(world.time.nowMs, 'healing');
  world.network.heal();
  for (const machine of founders(world)) {
    machine.member?.resume();
    await machine.start();
  }
  for (const host of nodes.abandoned) host.retire();
  for (const host of nodes.hosts) host.heal();
  const endMs = world.time.nowMs + PEACE_MS;
  while (openTasks(world) > 0 || heldGroups(nodes).length > 0) {
    if (world.time.nowMs >= endMs)
      throw new Violation(
        `liveness: ${openTasks(world)} tasks are open ${PEACE_MS} ms after the last fault, and held are ${heldGroups(nodes).join(', ')}`,
      );
    drains.undrainAll();
    await pass(world, STEP_MS);
  }
}

/** Whoever ended them forgets them in the end: a watchdog stays for as long as there is one. */
function heldGroups({ hosts }: Nodes): readonly string[] {
  return hosts.flatMap(({ files }) => [...files.guards.values()].map(({ cgroup }) => cgroup));
}

function openTasks(world: World): number {
  const state = world.leader?.replica.core.state;
  return state === undefined || state.cluster === null ? Infinity : state.tasks.size;
}

async function pass(world: World, durationMs: number): Promise<void> {
  await world.time.run(world.time.nowMs + durationMs, () => world.violation !== null);
  if (world.violation !== null) throw world.violation;
}
