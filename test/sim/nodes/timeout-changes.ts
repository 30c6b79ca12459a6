/**
 * An operator who lengthens and shortens the timeout while faults happen, and what goes wrong around that moment: the leader
 * that took it in is deposed, with what waits in its queue, and a node is out of reach with what it was granted last.
 */
import { JarvisError } from '../../../src/lib/errors.ts';
import type { Chance } from '../chance.ts';
import type { Member } from '../member.ts';
import { Violation } from '../trace.ts';
import type { NodeNemesis } from './nemesis-nodes.ts';
import type { Nodes } from './nodes.ts';

/** Of the timeout that the cluster began with: what killing may take fits the shortest. */
const FACTORS = [1, 1, 1.6, 2.5, 2.5] as const;
/** In so many runs it stays as it is. */
const QUIET_SHARE = 0.6;
/** A proposal waits so long for its turn, in part of the cases (`limits.proposalQueueMs`). */
const QUEUE_MS = 1500;

export class TimeoutChanges {
  readonly #nodes: Nodes;
  readonly #nemesis: NodeNemesis;
  readonly #chance: Chance;
  readonly #pauseMs: number;
  #timeoutMs: number;
  #stopped: boolean;

  constructor(nodes: Nodes, nemesis: NodeNemesis) {
    this.#nodes = nodes;
    this.#nemesis = nemesis;
    this.#chance = nodes.world.settingChance.fork();
    this.#stopped = this.#chance.happens(QUIET_SHARE);
    this.#pauseMs = nodes.timeoutMs * this.#chance.between(1, 4);
    this.#timeoutMs = nodes.timeoutMs;
    this.#next();
  }

  stop(): void {
    this.#stopped = true;
  }

  #next(): void {
    this.#nodes.world.time.after(this.#chance.between(0, 2 * this.#pauseMs), () => {
      if (this.#stopped) return;
      this.#next();
      const { leader } = this.#nodes.world;
      if (leader !== undefined && !leader.isPaused && leader.replica.core.state.cluster !== null)
        this.#change(leader);
    });
  }

  #change(leader: Member): void {
    const { timeoutMs: least, world } = this.#nodes;
    const timeoutMs = Math.round(least * (this.#chance.pick(FACTORS) ?? 1));
    if (timeoutMs === this.#timeoutMs) return;
    const isLonger = timeoutMs > this.#timeoutMs;
    this.#timeoutMs = timeoutMs;
    world.trace.tell(world.time.nowMs, 'timeout asked for', timeoutMs);
    const queuedMs = isLonger && this.#chance.happens(0.8) ? QUEUE_MS * this.#chance.random() : 0;
    leader.scheduler
      .propose({ type: 'setHeartbeat', heartbeat: { timeoutMs }, idempotency: null }, queuedMs)
      .catch((error: unknown) => {
        if (!(error instanceof JarvisError)) world.violation ??= new Violation(String(error));
      });
    if (this.#chance.happens(0.7)) this.#ambush(leader, queuedMs);
  }

  /** @param queuedMs its proposal is lost with it before, and may be committed after that */
  #ambush(leader: Member, queuedMs: number): void {
    const { world, hosts, timeoutMs } = this.#nodes;
    const host = this.#chance.pick(hosts);
    const usualMs = this.#chance.between(10, 300);
    const deposedMs = queuedMs > 0 ? queuedMs * this.#chance.between(0.4, 0.95) : usualMs;
    if (this.#chance.happens(0.7))
      this.#nemesis.later(deposedMs, () => {
        const heir = this.#chance.pick(world.members.filter((one) => one !== leader && !one.isPaused));
        if (heir !== undefined && leader.isAlive && !leader.isPaused)
          leader.input(() => leader.core.transferLeadership(heir.id));
      });
    // Longer than the longest lease that it may have.
    const awayMs = timeoutMs * this.#chance.between(1.2, 2.8);
    const isCut = this.#chance.happens(0.6);
    this.#nemesis.later(deposedMs * this.#chance.between(0.6, 1.1), () => {
      if (host === undefined || !hosts.includes(host)) return;
      if (isCut) this.#nemesis.cut(host, awayMs);
      else this.#nemesis.stopDaemon(host, awayMs);
    });
  }
}
