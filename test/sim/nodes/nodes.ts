/** The machines that run tasks, and what must hold of all of them: at most one attempt of a task executes at any moment. */
import { killTimeMs } from '../../../src/model/lease.ts';
import type { World } from '../world.ts';
import { Violation } from '../trace.ts';
import type { Execution } from './groups.ts';
import { Host } from './host.ts';

/**
 * What killing may take, of the time that leases leave for it. In some runs nearly all of it; in the others something is
 * left for whoever has to notice first that a watchdog hangs, or has died.
 */
const KILL_PART = 0.4;
const SLOW_KILL_PART = 0.97;
/** What the clock's steps and the timers between lease and kill come to. */
const NOTICE_MS = 5;
const NAMES = ['w1', 'w2', 'w3'] as const;

export class Nodes {
  readonly world: World;
  /** Those that speak for their names now. */
  readonly hosts: Host[] = [];
  /** Machines that were given up: what runs there runs on. */
  readonly abandoned: Host[] = [];
  readonly timeoutMs: number;
  /** Then watchdogs neither hang nor die. */
  readonly killsSlowly: boolean;
  readonly #killMs: number;
  readonly #latencyMs: number;

  constructor(world: World) {
    this.world = world;
    const { nodeChance: chance, nodeSettings } = world;
    this.timeoutMs = nodeSettings.config.heartbeat.timeoutMs;
    this.killsSlowly = nodeSettings.isWorst;
    const killMs = killTimeMs(this.timeoutMs);
    this.#killMs = this.killsSlowly ? killMs * SLOW_KILL_PART - NOTICE_MS : killMs * KILL_PART;
    this.#latencyMs = chance.pick([0.3, 2, 10]) ?? 2;
    for (const name of NAMES.slice(0, chance.happens(0.5) ? 2 : 3)) this.hosts.push(this.#host(name));
    world.onEnded = (member) => {
      for (const host of this.hosts)
        for (const stream of host.streams) if (stream.member === member) stream.end('the leader has ended');
    };
  }

  onHost: (host: Host) => void = () => {};

  /** Nobody but the daemon keeps its leases. */
  isAlone(name: string): boolean {
    return this.hosts.some((host) => host.name === name && host.noLaunchUntilMs > this.world.time.nowMs);
  }

  /** Its place is taken by another machine, or by another data directory on the same one. */
  replace(host: Host, what: 'incarnation' | 'machine'): Host {
    const { trace, time } = this.world;
    host.killDaemon();
    const other = this.#host(host.name);
    if (what === 'machine') {
      other.files = host.files.copy();
      other.incarnation = host.incarnation;
      other.machineId = `${host.machineId}+`;
    } else {
      other.machineId = host.machineId;
      other.incarnation = `${host.incarnation}+`;
    }
    this.onHost(other);
    this.hosts[this.hosts.indexOf(host)] = other;
    this.abandoned.push(host);
    trace.tell(time.nowMs, `another ${what}`, host.name);
    trace.count(what === 'machine' ? 'data directory moved' : 'node back with an empty directory');
    return other;
  }

  #host(name: string): Host {
    const { world } = this;
    const { nodeChance: chance } = world;
    return new Host({
      name,
      world,
      chance: chance.fork(),
      rate: world.nodeSettings.nodeRate(),
      killMs: this.#killMs,
      killsSlowly: this.killsSlowly,
      latencyMs: this.#latencyMs,
      onExecute: (execution) => this.#check(execution),
    });
  }

  #check(execution: Execution): void {
    const { taskId, assignment, node } = execution;
    const { time, trace } = this.world;
    trace.count('attempt executed');
    trace.tell(time.nowMs, 'executes', taskId, assignment, node);
    for (const host of [...this.hosts, ...this.abandoned]) {
      for (const other of host.groups.executing()) {
        if (other.taskId !== taskId || other === execution) continue;
        if (other.assignment === assignment && other.node === node) continue;
        trace.tell(time.nowMs, 'also executes', other.assignment, other.node, other.group, host.describe());
        this.world.violation ??= new Violation(
          `two attempts of ${taskId} execute: ${other.assignment} on ${other.node} and ${assignment} on ${node}`,
        );
      }
    }
  }
}
