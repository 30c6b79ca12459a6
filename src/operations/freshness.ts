/** How far and how old the state of this node is, for reads that it answers alone. */
import type { Clock } from '../lib/clock.ts';
import type { Leadership, Replica } from '../scheduler/ports.ts';
import type { ClusterInsight, MemberInsight, NodeFacts } from './insight.ts';
import type { Freshness } from './port.ts';

export class FreshnessWatch {
  readonly #options: {
    readonly replica: Pick<Replica, 'appliedIndex' | 'leadership' | 'onAdvanced' | 'onLeadership'>;
    readonly insight: ClusterInsight;
    readonly clock: Clock;
  };
  /** Both in monotonic time; null: never since the start. */
  #caughtUpMs: number | null = null;
  /** When the last leader was heard of that this node knew, while it knows none. */
  #heardMs: number | null = null;
  #leader: Leadership['leader'];

  constructor(options: {
    readonly replica: Pick<Replica, 'appliedIndex' | 'leadership' | 'onAdvanced' | 'onLeadership'>;
    readonly insight: ClusterInsight;
    readonly clock: Clock;
  }) {
    this.#options = options;
    const { replica } = options;
    this.#leader = replica.leadership().leader;
    replica.onAdvanced(() => this.#advanced());
    replica.onLeadership((now) => this.#led(now));
  }

  /** To be asked before the state is read, which can only be newer then. */
  now(): Freshness {
    const { replica, insight, clock } = this.#options;
    const facts = insight.node();
    const silentMs = this.#silentMs(facts, insight.members());
    this.#advanced();
    // Entries that are known to be committed and not applied are missing since it had applied all that it knew of.
    const isBehind = facts.appliedIndex < facts.commitIndex;
    const behindMs = isBehind ? this.#since(this.#caughtUpMs, clock) : 0;
    const isKnown = silentMs !== null && behindMs !== null;
    return { index: replica.appliedIndex, ageMs: isKnown ? Math.round(Math.max(silentMs, behindMs)) : null };
  }

  #silentMs(facts: NodeFacts, members: readonly MemberInsight[]): number | null {
    if (facts.role === 'leader') return quorumContactMs(facts, members);
    const leader = members.find(({ raftId }) => raftId === facts.leader);
    return leader === undefined ? this.#since(this.#heardMs, this.#options.clock) : leader.lastContactMs;
  }

  #advanced(): void {
    const { replica, insight, clock } = this.#options;
    if (replica.appliedIndex >= insight.commitIndex()) this.#caughtUpMs = clock.monotonicMs();
  }

  #led({ leader }: Leadership): void {
    const { insight, clock } = this.#options;
    const former = this.#leader;
    this.#leader = leader;
    if (leader !== null) this.#heardMs = null;
    else if (former !== null) {
      const contactMs = insight.members().find(({ name }) => name === former.name)?.lastContactMs ?? null;
      this.#heardMs = contactMs === null ? null : clock.monotonicMs() - contactMs;
    }
  }

  #since(atMs: number | null, clock: Clock): number | null {
    return atMs === null ? null : clock.monotonicMs() - atMs;
  }
}

/** So long ago the leader was surely still one: a majority has spoken to it since. Null where none has. */
function quorumContactMs({ raftId }: NodeFacts, members: readonly MemberInsight[]): number | null {
  const contacts = members
    .filter(({ role }) => role === 'voter')
    .map((member) => (member.raftId === raftId ? 0 : (member.lastContactMs ?? Number.POSITIVE_INFINITY)))
    .sort((left, right) => left - right);
  const contactMs = contacts[Math.floor(contacts.length / 2)] ?? 0;
  return Number.isFinite(contactMs) ? contactMs : null;
}
