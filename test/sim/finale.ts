/** The end of a run: faults end for a quorum only, which must lead, finish everything that it took, and agree. */
import { isJoint } from '../../src/raft/core/confchange.ts';
import { allMembers } from '../../src/raft/core/quorum.ts';
import { decides } from './checks.ts';
import type { Clients } from './clients.ts';
import { checkGroups } from './group-traffic.ts';
import type { Machine } from './machine.ts';
import { CORE_SETTINGS } from './machine.ts';
import { Violation } from './trace.ts';
import { Workers } from './workers.ts';
import type { World } from './world.ts';

const ELECTION_TIMEOUTS = 10;
/** For all that was accepted to be committed and applied by the whole quorum, once there is a leader. */
const SETTLE_MS = 15_000;
const STEP_MS = 100;

export async function heal(world: World, clients: Clients): Promise<void> {
  const { network, time, trace } = world;
  trace.note(time.nowMs, 'healing');
  const quorum = chooseQuorum(world);
  network.heal();
  for (const machine of world.machines) {
    machine.slowDiskUntilMs = 0;
    if (quorum.includes(machine)) {
      machine.member?.resume();
      await machine.start();
    } else await machine.crash(true);
  }
  const electionMs = ELECTION_TIMEOUTS * 2 * CORE_SETTINGS.electionTicks * world.tickMs;
  await until(world, electionMs, 'a leader', () => world.leader !== undefined);
  await until(world, SETTLE_MS, 'everything that was accepted to be committed', () => {
    const { leader } = world;
    if (leader === undefined) return false;
    const { commit, lastIndex, term, transferTarget, confState } = leader.core.status();
    // A joint configuration that is left by itself is left, whoever leads.
    if (isJoint(confState) && confState.autoLeave) return false;
    if (transferTarget !== 0 || commit < lastIndex || leader.core.termAt(commit) !== term) return false;
    return followersOf(world).every(({ replica }) => replica.appliedIndex === commit);
  });
  await finishTasks(world);
  await finalWrite(world, clients);
  world.registers.judge(world.checks.writtenAt);
}

/** Retries are due within seconds, and three workers hold twelve tasks at once. */
const TASKS_MS = 60_000;

/** With workers that do what they are told, everything that was accepted becomes final. */
async function finishTasks(world: World): Promise<void> {
  const workers = new Workers(world);
  await until(world, TASKS_MS, 'end of all tasks', () => {
    const { leader } = world;
    if (leader === undefined) return false;
    const { cluster, tasks, batches, dags } = leader.replica.core.state;
    return cluster === null || tasks.size + batches.size + dags.size === 0;
  });
  workers.stop();
  if (world.leader !== undefined) checkGroups(world.leader.replica, world.trace);
}

/** One more entry passes through everything. */
async function finalWrite(world: World, clients: Clients): Promise<void> {
  let index = 0;
  await until(world, SETTLE_MS, 'a last write', () => {
    const { leader } = world;
    if (leader === undefined) return false;
    if (index === 0 && clients.write(leader)) index = leader.core.status().lastIndex;
    return index > 0 && followersOf(world).every(({ replica }) => replica.appliedIndex >= index);
  });
}

/** All that run and are members, learners too: those who were removed may never hear of it. */
function followersOf(world: World): World['members'] {
  const members = allMembers(world.checks.configuration.confState);
  return world.members.filter(({ id }) => members.includes(id));
}

async function until(world: World, withinMs: number, what: string, holds: () => boolean): Promise<void> {
  const { time } = world;
  const endMs = time.nowMs + withinMs;
  while (!holds()) {
    if (time.nowMs >= endMs)
      throw new Violation(`liveness: no ${what} within ${withinMs} ms of healing a quorum`);
    await time.run(time.nowMs + STEP_MS, () => world.violation !== null);
    if (world.violation !== null) throw world.violation;
  }
}

/** As few as can decide, sometimes all; all where a change of membership is under way, whose outcome decides who counts. */
function chooseQuorum(world: World): readonly Machine[] {
  const { machines, chance } = world;
  const healthy = machines.filter(({ disk }) => world.isHealthy(disk.raftId));
  if (world.changeInDoubt || chance.happens(0.25)) return healthy;
  const chosen = new Set(healthy);
  const counted = [...world.configurations(), ...world.checks.recentConfigurations].filter((confState) =>
    decides(confState, (id) => world.isHealthy(id)),
  );
  for (const machine of healthy) {
    if (chance.happens(0.3)) continue;
    const isIn = (id: number): boolean =>
      [...chosen].some((one) => one !== machine && one.disk.raftId === id);
    if (counted.every((confState) => decides(confState, isIn))) chosen.delete(machine);
  }
  return [...chosen];
}
