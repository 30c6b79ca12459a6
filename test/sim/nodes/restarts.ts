/** Planned restarts: the daemon asks for a longer lease, ends once it has it or has waited long enough, and is back later. */
import { clusterTimeoutMs } from '../../../src/model/timeouts.ts';
import type { Chance } from '../chance.ts';
import { Violation } from '../trace.ts';
import type { Host } from './host.ts';
import type { NodeNemesis } from './nemesis-nodes.ts';
import type { Nodes } from './nodes.ts';

/** In so many runs there are none. */
const QUIET_SHARE = 0.6;

export class Restarts {
  readonly #nodes: Nodes;
  readonly #nemesis: NodeNemesis;
  readonly #chance: Chance;
  readonly #pauseMs: number;
  #stopped: boolean;

  constructor(nodes: Nodes, nemesis: NodeNemesis) {
    this.#nodes = nodes;
    this.#nemesis = nemesis;
    this.#chance = nodes.world.settingChance.fork();
    this.#stopped = this.#chance.happens(QUIET_SHARE);
    this.#pauseMs = nodes.timeoutMs * this.#chance.between(0.5, 4);
    this.#next();
  }

  stop(): void {
    this.#stopped = true;
  }

  #next(): void {
    const { world } = this.#nodes;
    world.time.after(this.#chance.between(0, 2 * this.#pauseMs), () => {
      if (this.#stopped) return;
      this.#next();
      const host = this.#chance.pick(this.#nodes.hosts);
      // Virtual time waits for what an event gives back: this lasts for many.
      if (host !== undefined)
        this.#restart(host).catch((error: unknown) => {
          world.violation ??= new Violation(String(error));
        });
    });
  }

  /** Does not end where the daemon does not. */
  async #restart(host: Host): Promise<void> {
    const { agent, daemon } = host;
    const { timeoutMs } = this.#nodes;
    if (agent === null || daemon?.isRunning !== true || !this.#nemesis.canWatch(host)) return;
    const leaseMs = timeoutMs * this.#chance.between(1.3, 4);
    host.tell('restart', Math.round(leaseMs));
    await agent.prepareRestart(leaseMs);
    if (host.daemon !== daemon || !daemon.isRunning || !this.#nemesis.canWatch(host)) return;
    if (this.#stopped) return this.#restartAtOnce(host);
    const isLong = this.#chance.happens(0.7);
    const awayMs = isLong ? leaseMs * this.#chance.between(0.4, 1.1) : this.#chance.between(5, 300);
    const isBusy = isExecuting(host);
    this.#nemesis.killDaemon(host, awayMs);
    this.#nemesis.later(awayMs + 1, () => this.#look(host, isBusy, awayMs));
    // At times it stands still soon after it is back.
    const ambushMs = this.#chance.between(50, 800);
    if (this.#chance.happens(0.5))
      this.#nemesis.later(awayMs + ambushMs, () => this.#nemesis.stopDaemon(host, 1.5 * timeoutMs));
  }

  /** All is healed: nobody would start it later, and one that is about to be restarted takes no work. */
  #restartAtOnce(host: Host): void {
    if (!this.#nodes.hosts.includes(host)) return;
    host.killDaemon();
    host.startDaemon();
  }

  #look(host: Host, isBusy: boolean, awayMs: number): void {
    const { world } = this.#nodes;
    const cluster = world.leader?.replica.core.state.cluster ?? null;
    if (!isBusy || !isExecuting(host) || cluster === null) return;
    // Longer than any lease but the one that was asked for.
    if (awayMs > clusterTimeoutMs(cluster))
      world.trace.count('tasks outlived a restart that was longer than a lease');
  }
}

function isExecuting({ groups }: Host): boolean {
  return [...groups.executing()].length > 0;
}
