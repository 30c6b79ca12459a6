/** Faults that wait for their moment: a start that is on its way, a decision that is not in the log yet. */
import type { Chance } from '../chance.ts';
import type { Member } from '../member.ts';
import type { Host } from './host.ts';
import type { NodeNemesis } from './nemesis-nodes.ts';
import type { Nodes } from './nodes.ts';

export class Ambushes {
  readonly #nodes: Nodes;
  readonly #nemesis: NodeNemesis;
  readonly #chance: Chance;
  readonly #share: number;
  #stopped = false;

  constructor(nodes: Nodes, nemesis: NodeNemesis) {
    this.#nodes = nodes;
    this.#nemesis = nemesis;
    this.#chance = nodes.world.nodeChance.fork();
    this.#share = this.#chance.pick([0, 0.05, 0.15]) ?? 0;
    nodes.onHost = (host) => {
      host.onContainerStart = () => this.#containerStarts(host);
      host.onProcessStart = () => this.#processStarts(host);
    };
    for (const host of nodes.hosts) nodes.onHost(host);
    nodes.world.onOffline = (member, node) => this.#offline(member, node);
  }

  stop(): void {
    this.#stopped = true;
  }

  #happens(): boolean {
    return !this.#stopped && this.#chance.happens(this.#share);
  }

  /** It waits in a stopped engine, and whoever asked for it is gone, or out of reach, until the task may run elsewhere. */
  #containerStarts(host: Host): void {
    const { timeoutMs, world } = this.#nodes;
    if (!this.#happens() || host.engine.process.isStopped || this.#nodes.isAlone(host.name)) return;
    const longMs = timeoutMs * this.#chance.between(1, 1.6);
    world.trace.tell(world.time.nowMs, 'start waits in a stopped engine', host.name);
    world.trace.count('start waits in a stopped engine');
    this.#nemesis.hold(host.engine.process, longMs * this.#chance.between(0.8, 2));
    const kind = this.#chance.whole(3);
    this.#nemesis.later(this.#chance.between(0, 20), () => {
      if (kind === 0) this.#nemesis.stopDaemon(host, longMs);
      else if (kind === 1) this.#nemesis.killDaemon(host);
      else this.#nemesis.cut(host, longMs);
    });
  }

  /** It lies in the watchdog's socket while its daemon dies and another one takes its place; or until the lease is over. */
  #processStarts(host: Host): number {
    if (!this.#happens()) return 0;
    const { world, timeoutMs } = this.#nodes;
    world.trace.tell(world.time.nowMs, 'start lies in the socket', host.name);
    if (this.#chance.happens(0.5)) {
      const lateMs = timeoutMs * this.#chance.between(1.05, 1.4);
      this.#nemesis.later(0.01, () => this.#nemesis.stopDaemon(host, lateMs + 200));
      return lateMs;
    }
    this.#nemesis.later(0.01, () => this.#nemesis.killDaemon(host, this.#chance.between(1, 60)));
    return this.#chance.between(100, 1200);
  }

  /** The node is back, and another leads who hears of it, before the one who decided leads again. */
  #offline(member: Member, node: string): void {
    if (this.#stopped || !this.#chance.happens(4 * this.#share)) return;
    const { hosts, world } = this.#nodes;
    const host = hosts.find(({ name }) => name === node);
    const other = this.#chance.pick(world.members.filter((one) => one !== member && !one.isPaused));
    if (host === undefined || other === undefined) return;
    world.trace.tell(world.time.nowMs, 'decided, and deposed', member.id, node);
    host.upCutUntilMs = 0;
    host.downCutUntilMs = 0;
    host.daemon?.resume();
    member.later(0, () => member.input(() => member.core.transferLeadership(other.id)));
    other.later(this.#chance.between(300, 900), () =>
      other.input(() => other.core.transferLeadership(member.id)),
    );
  }
}
