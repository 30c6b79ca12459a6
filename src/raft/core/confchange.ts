/**
 * Membership changes (Raft dissertation, chapter 4): one voter at a time directly, more of them through a joint
 * configuration in which both the old and the new majority must agree. Pure: a configuration in, the next one out, or
 * the reason why not. The texts of the reasons are those of etcd/raft, whose scripts this passes.
 */
import type { ConfState, RaftId } from './types.ts';

export type ConfChangeType = 'addVoter' | 'addLearner' | 'remove' | 'update';

export interface SingleChange {
  readonly type: ConfChangeType;
  readonly id: RaftId;
}

/**
 * `auto`: through a joint configuration only where more than one thing changes, which is then left automatically;
 * `implicit`: always through one, left automatically; `explicit`: always through one, left by an empty `auto` change.
 */
export type ConfChangeTransition = 'auto' | 'implicit' | 'explicit';

export interface ConfChange {
  readonly transition: ConfChangeTransition;
  /** Applied in order. */
  readonly changes: readonly SingleChange[];
  /** Opaque to Raft: what the shell wants to have with the change (a member's name, incarnation and address). */
  readonly context: Uint8Array;
}

/** Where a member's progress comes from: `new` ones are probed from the beginning. */
export type MemberOrigin = 'kept' | 'new';

export type Changed =
  | {
      readonly type: 'changed';
      readonly confState: ConfState;
      readonly members: ReadonlyMap<RaftId, MemberOrigin>;
    }
  | { readonly type: 'refused'; readonly reason: string };

export function isJoint(confState: ConfState): boolean {
  return confState.votersOutgoing.length > 0;
}

export function leavesJoint(change: ConfChange): boolean {
  return change.transition === 'auto' && change.changes.length === 0;
}

/** Does with the configuration what a committed change says. */
export function changeConfiguration(confState: ConfState, change: ConfChange): Changed {
  if (leavesJoint(change)) return leaveJoint(confState);
  if (change.transition !== 'auto' || change.changes.length > 1) {
    return enterJoint(confState, change.changes, change.transition !== 'explicit');
  }
  return simpleChange(confState, change.changes);
}

/** At most one voter comes or goes: every majority of the old configuration overlaps every one of the new. */
export function simpleChange(confState: ConfState, changes: readonly SingleChange[]): Changed {
  if (isJoint(confState)) return refused("can't apply simple config change in joint config");
  const draft = new Draft(confState);
  if (!draft.apply(changes)) return refused('removed all voters');
  const before = new Set(confState.voters);
  const left = confState.voters.filter((id) => !draft.voters.has(id));
  const joined = [...draft.voters].filter((id) => !before.has(id));
  if (left.length + joined.length > 1)
    return refused('more than one voter changed without entering joint config');
  return draft.finish(false);
}

export function enterJoint(
  confState: ConfState,
  changes: readonly SingleChange[],
  autoLeave: boolean,
): Changed {
  if (isJoint(confState)) return refused('config is already joint');
  if (confState.voters.length === 0) return refused("can't make a zero-voter config joint");
  const draft = new Draft(confState);
  draft.outgoing = new Set(confState.voters);
  if (!draft.apply(changes)) return refused('removed all voters');
  return draft.finish(autoLeave);
}

export function leaveJoint(confState: ConfState): Changed {
  if (!isJoint(confState)) return refused("can't leave a non-joint config");
  const draft = new Draft(confState);
  draft.leave();
  return draft.finish(false);
}

function refused(reason: string): Changed {
  return { type: 'refused', reason };
}

/** A configuration while it is being changed. */
class Draft {
  readonly voters: Set<RaftId>;
  outgoing: Set<RaftId>;
  readonly #learners: Set<RaftId>;
  /** Voters of the outgoing configuration that become learners when the joint state is left. */
  readonly #learnersNext: Set<RaftId>;
  readonly #members: Map<RaftId, MemberOrigin>;

  constructor(confState: ConfState) {
    this.voters = new Set(confState.voters);
    this.outgoing = new Set(confState.votersOutgoing);
    this.#learners = new Set(confState.learners);
    this.#learnersNext = new Set(confState.learnersNext);
    const everyone = [...this.voters, ...this.outgoing, ...this.#learners, ...this.#learnersNext];
    this.#members = new Map(everyone.map((id) => [id, 'kept']));
  }

  /** @returns false where no voter would be left */
  apply(changes: readonly SingleChange[]): boolean {
    for (const { type, id } of changes) {
      if (id === 0) continue;
      if (type === 'addVoter') this.#addVoter(id);
      else if (type === 'addLearner') this.#addLearner(id);
      else if (type === 'remove') this.#remove(id);
    }
    return this.voters.size > 0;
  }

  leave(): void {
    for (const id of this.#learnersNext) this.#learners.add(id);
    this.#learnersNext.clear();
    for (const id of this.outgoing) {
      if (!this.voters.has(id) && !this.#learners.has(id)) this.#members.delete(id);
    }
    this.outgoing.clear();
  }

  finish(autoLeave: boolean): Changed {
    const confState: ConfState = {
      voters: sorted(this.voters),
      votersOutgoing: sorted(this.outgoing),
      learners: sorted(this.#learners),
      learnersNext: sorted(this.#learnersNext),
      autoLeave,
    };
    return { type: 'changed', confState, members: this.#members };
  }

  #addVoter(id: RaftId): void {
    if (!this.#members.has(id)) this.#members.set(id, 'new');
    this.#learners.delete(id);
    this.#learnersNext.delete(id);
    this.voters.add(id);
  }

  #addLearner(id: RaftId): void {
    if (this.#learners.has(id)) return;
    const origin = this.#members.get(id) ?? 'new';
    this.#remove(id);
    this.#members.set(id, origin);
    // A voter that still counts in the outgoing majority must not be a learner at the same time.
    if (this.outgoing.has(id)) this.#learnersNext.add(id);
    else this.#learners.add(id);
  }

  #remove(id: RaftId): void {
    this.voters.delete(id);
    this.#learners.delete(id);
    this.#learnersNext.delete(id);
    // A voter of the outgoing configuration is still sent the log.
    if (!this.outgoing.has(id)) this.#members.delete(id);
  }
}

function sorted(ids: ReadonlySet<RaftId>): readonly RaftId[] {
  return [...ids].sort((a, b) => a - b);
}
