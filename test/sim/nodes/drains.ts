/** An operator who cordons and drains nodes and takes that back, while faults happen; some drain themselves. */
import { JarvisError } from '../../../src/lib/errors.ts';
import type { CommandInput } from '../../../src/scheduler/ports.ts';
import type { Chance } from '../chance.ts';
import type { Member } from '../member.ts';
import { Violation } from '../trace.ts';
import type { Nodes } from './nodes.ts';

/** In so many runs there is none. */
const QUIET_SHARE = 0.6;

export class Drains {
  readonly #nodes: Nodes;
  readonly #chance: Chance;
  readonly #pauseMs: number;
  #stopped: boolean;

  constructor(nodes: Nodes) {
    this.#nodes = nodes;
    this.#chance = nodes.world.drainChance;
    this.#stopped = this.#chance.happens(QUIET_SHARE);
    this.#pauseMs = nodes.timeoutMs * this.#chance.between(0.3, 2);
    this.#next();
  }

  stop(): void {
    this.#stopped = true;
  }

  /** In the end every node is to take work. To be called again until that is so: what is proposed may be lost. */
  undrainAll(): void {
    const { leader } = this.#nodes.world;
    if (leader === undefined || leader.replica.core.state.cluster === null) return;
    for (const { name, drain, schedulable } of leader.replica.core.state.nodes.values())
      if (drain !== undefined || !schedulable)
        this.#propose(leader, { type: 'undrainNode', node: name, idempotency: null });
  }

  #next(): void {
    if (this.#stopped) return;
    this.#nodes.world.time.after(this.#chance.between(0, 2 * this.#pauseMs), () => {
      this.#next();
      const { leader } = this.#nodes.world;
      if (this.#stopped || leader === undefined || leader.isPaused) return;
      if (leader.replica.core.state.cluster !== null) this.#change(leader);
    });
  }

  #change(leader: Member): void {
    const chance = this.#chance;
    const node = chance.pick(this.#nodes.hosts)?.name ?? '';
    const row = leader.replica.core.state.nodes.get(node);
    if (row === undefined) return;
    const isClosed = row.drain !== undefined || !row.schedulable;
    if (isClosed && chance.happens(0.6))
      return this.#propose(leader, { type: 'undrainNode', node, idempotency: null });
    if (chance.happens(0.1)) return this.#propose(leader, { type: 'cordonNode', node, idempotency: null });
    const withinMs = chance.happens(0.4) ? 0 : Math.round(this.#nodes.timeoutMs * chance.random());
    const graceMs = chance.happens(0.5) ? null : Math.round(chance.between(0, 300));
    const startId = chance.happens(0.2) ? row.startId : null;
    this.#propose(leader, { type: 'drainNode', node, withinMs, graceMs, startId, idempotency: null });
  }

  #propose(leader: Member, input: CommandInput & { readonly node: string }): void {
    const { world } = this.#nodes;
    world.trace.tell(world.time.nowMs, input.type, input.node);
    leader.scheduler.propose(input).catch((error: unknown) => {
      if (!(error instanceof JarvisError)) world.violation ??= new Violation(String(error));
    });
  }
}
