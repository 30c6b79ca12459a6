/** Those who use the cluster: writers and readers of registers, and the traffic of a scheduler with its workers. */
import { JarvisError } from '../../src/lib/errors.ts';
import type { Command } from '../../src/model/commands.ts';
import type { Pairs, TaskRow, TaskSpec } from '../../src/model/task.ts';
import { ON_NODE_LOSS, PRIORITIES } from '../../src/model/task.ts';
import { nodeHolding } from '../../src/scheduler/core/node-loads.ts';
import { NODE_CAPACITY, registrationOf, reportOf, specOf } from '../../src/scheduler/core/testing/values.ts';
import type { CommandInput } from '../../src/scheduler/ports.ts';
import { encodeCommand } from '../../src/store/codec.ts';
import type { Chance } from './chance.ts';
import { GroupTraffic } from './group-traffic.ts';
import type { Member } from './member.ts';
import { encodeWrite } from './replica.ts';
import { WALL_START_MS } from './scheduler-work.ts';
import { Violation } from './trace.ts';
import type { World } from './world.ts';

const REGISTERS = 3;
export const WORKERS = ['w1', 'w2', 'w3'] as const;
const REPORTS = ['STARTING', 'RUNNING', 'COMPLETED', 'FAILED', 'LOST', 'CANCELLED'] as const;
const CONFIG = {
  heartbeat: { intervalMs: 2000, warningMs: 10_000, timeoutMs: 30_000 },
  // Soon, for runs of a minute.
  retention: { tasksMs: 10_000, maxTasks: 40, eventsMs: 8000 },
};

export class Clients {
  readonly #world: World;
  readonly #chance: Chance;
  readonly #pauseMs: number;
  readonly #groups: GroupTraffic;
  #values = 0;
  #stopped = false;

  constructor(world: World) {
    this.#world = world;
    this.#chance = world.chance.fork();
    this.#groups = new GroupTraffic(this.#chance);
    this.#pauseMs = this.#chance.pick([60, 100, 200]) ?? 100;
    this.#next();
  }

  stop(): void {
    this.#stopped = true;
  }

  /** @returns whether the node took it */
  write(member: Member): boolean {
    const { registers, trace } = this.#world;
    const key = this.#chance.whole(REGISTERS);
    this.#values += 1;
    const value = this.#values;
    const floor = registers.floor(key);
    const result = member.propose(encodeWrite(key, value), {
      done: (index) => registers.wrote(key, value, index as number, floor),
      failed: (error) => {
        if (!(error instanceof JarvisError) || error.code !== 'no_leader') {
          trace.count('proposal of unknown outcome');
          return;
        }
        trace.count('proposal lost for certain');
        registers.lost(value);
      },
    });
    if (result.type === 'refused' && result.reason === 'overloaded')
      trace.count('proposal refused as overloaded');
    return result.type === 'accepted';
  }

  read(member: Member): void {
    const { registers, trace } = this.#world;
    const key = this.#chance.whole(REGISTERS);
    const floor = registers.floor(key);
    const answered = (): void => {
      if (!member.isAlive) return;
      trace.count('read answered');
      registers.read(key, member.replica.registers.get(key)?.index ?? 0, floor);
    };
    member
      .read()
      .then(answered, () => {})
      .catch((error: unknown) => {
        this.#world.violation ??= error instanceof Error ? error : new Violation(String(error));
      });
  }

  #next(): void {
    this.#world.time.after(this.#chance.between(0, 2 * this.#pauseMs), () => {
      if (this.#stopped) return;
      this.#next();
      this.#act();
    });
  }

  #act(): void {
    const chance = this.#chance;
    // Whoever believes to lead is asked, also where somebody else does by now.
    const leading = this.#world.members.filter((one) => one.isLeading && !one.isPaused);
    const member = chance.pick(leading);
    if (member === undefined) return;
    // Two that believe to lead: the moment in which a stale answer would show.
    if (leading.length > 1) for (const one of leading) this.read(one);
    const choice = chance.random();
    if (choice < 0.3) for (let left = 1 + chance.whole(3); left > 0; left -= 1) this.write(member);
    else if (choice < 0.6) this.read(member);
    else this.#command(member);
  }

  #command(member: Member): void {
    const input = this.#input(member);
    if (input === null) return;
    // Wall clocks differ and jump: leaders stamp times of the past and of the future.
    const jumpMs = this.#chance.happens(0.2) ? this.#chance.between(-20_000, 20_000) : 0;
    const command = {
      ...input,
      atMs: Math.floor(WALL_START_MS + member.world.time.nowMs + jumpMs),
    } as Command;
    member.propose(encodeCommand(command), { done: () => {}, failed: () => {} });
  }

  #input(member: Member): CommandInput | null {
    const chance = this.#chance;
    const { state } = member.replica.core;
    const { term } = member.core.status();
    if (state.cluster === null)
      return { type: 'initCluster', term, clusterId: 'simulated', epoch: 3, config: CONFIG };
    const worker = chance.pick(WORKERS) ?? 'w1';
    const session = state.nodes.get(worker)?.session ?? 0;
    if (session === 0) return this.#registration(member, worker);
    const open = [...state.tasks.keys()];
    const taskId = chance.pick(open) ?? 'task-none';
    switch (chance.whole(15)) {
      case 0:
        return this.#registration(member, worker);
      case 1: {
        const known = [...state.tasksOn(worker)].map((id) => ({
          taskId: id,
          assignment: assignmentOf(member, id),
        }));
        return { type: 'reconcileNode', node: worker, session, known };
      }
      case 2:
        return { type: 'cancelTask', taskId, idempotency: null };
      case 3: {
        const taskIds = [...state.retriesDue(member.world.time.nowMs + WALL_START_MS + 1000)].map(
          ({ id }) => id,
        );
        return { type: 'retryDue', term, taskIds };
      }
      case 4:
        return { type: 'nodeHealth', term, node: worker, session, healthy: chance.happens(0.7) };
      case 5: {
        if (chance.happens(0.2)) return { type: 'nodeOffline', term, node: worker, session };
        if (!chance.happens(0.2)) return null;
        const removal = { dead: chance.happens(0.3), principal: 'operator', idempotency: null };
        return { type: 'removeNode', term, node: worker, session, ...removal };
      }
      case 6:
      case 7:
      case 8:
        return this.#report(member);
      case 9:
      case 10:
        return this.#groups.input(member, open.length <= 30);
      default: {
        const idempotency = chance.happens(0.5)
          ? { key: `key-${chance.whole(20)}`, requestDigest: 'same' }
          : null;
        if (open.length > 30) return { type: 'submitTasks', tasks: [], idempotency };
        const spec = specOf({
          onNodeLoss: chance.pick(ON_NODE_LOSS) ?? 'reschedule',
          ...placementOf(chance, Math.floor(member.world.time.nowMs) + WALL_START_MS),
        });
        if (open.length % 2 === 0) return { type: 'submitTasks', tasks: [spec, spec], idempotency };
        const submissions = [
          { tasks: [spec], idempotency },
          { tasks: [spec], idempotency: null },
        ];
        return { type: 'submitMany', submissions };
      }
    }
  }

  /** Of starts and boots in and out of order: registrations come late, too. */
  #registration(member: Member, worker: string): CommandInput {
    const { state } = member.replica.core;
    const start = this.#chance.whole(3);
    return registrationOf(worker, {
      startId: `${worker}-${start}`,
      startCounter: (state.nodes.get(worker)?.startCounter ?? 1) - 1 + start,
      bootId: `boot-${this.#chance.whole(2)}`,
      labels: labelsOf(worker),
    });
  }

  #report(member: Member): CommandInput | null {
    const { state } = member.replica.core;
    const task = this.#chance.pick([...state.tasks.values()].filter((one) => nodeHolding(one) !== null));
    // Reports come late: what an earlier attempt came to is nobody's business any more.
    const attempt = this.#chance.happens(0.2)
      ? this.#chance.pick(task?.attempts ?? [])
      : task?.attempts.at(-1);
    if (task === undefined || attempt === undefined) return null;
    const at = { taskId: task.id, assignment: attempt.assignment, atMs: WALL_START_MS };
    const session = state.nodes.get(attempt.node)?.session ?? 0;
    const reports = [reportOf(at, this.#chance.pick(REPORTS) ?? 'LOST')];
    return { type: 'reportAttempts', node: attempt.node, session, reports };
  }
}

/** Two of the workers stand in zone a. */
export function labelsOf(worker: string): Pairs {
  return worker === WORKERS[2] ? [] : [['zone', 'a']];
}

/** Mostly nothing, else one of what placement knows. */
function placementOf(chance: Chance, nowMs: number): Partial<TaskSpec> {
  const rules = { required: [], preferred: [], anti: [] };
  const inZone = { key: 'zone', operator: 'in', values: ['a'] } as const;
  switch (chance.whole(14)) {
    case 0:
      return { notBeforeMs: nowMs + chance.whole(5000) };
    case 1:
      return { concurrency: { key: 'db', max: 2 } };
    case 2:
      return { concurrency: { key: 'db', max: 3 } };
    case 3:
      return { labels: [['team', 'x']] };
    case 4:
      return { affinity: { ...rules, anti: [{ batch: null, labels: [['team', 'x']] }] } };
    case 5:
      return { affinity: { ...rules, required: [inZone] } };
    case 6:
      return { affinity: { ...rules, preferred: [{ ...inZone, weight: 50 }] } };
    case 7:
      return { locality: { near: [{ place: null, task: 'task' }] } };
    case 8:
      return { priority: chance.pick(PRIORITIES) ?? 'normal' };
    case 9:
      // Of a whole node: it is overtaken.
      return { resources: NODE_CAPACITY };
    default:
      return {};
  }
}

function assignmentOf(member: Member, taskId: string): number {
  const task = member.replica.row('task', taskId) as TaskRow | null;
  return task?.attempts.at(-1)?.assignment ?? 0;
}
