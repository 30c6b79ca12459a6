/** Carries out changes of the membership on the leader, one at a time, each within a bounded time. */
import type { Clock } from '../lib/clock.ts';
import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { isJoint } from './core/confchange.ts';
import type { RaftCore } from './core/raft-core.ts';
import type { RaftId } from './core/types.ts';
import { planChange, type MembershipChange } from './membership-change.ts';
import type { Membership } from './membership.ts';
import type { PendingProposals } from './proposals.ts';

export interface MembershipChangesOptions {
  readonly core: RaftCore;
  readonly proposals: PendingProposals;
  readonly clock: Clock;
  readonly membership: () => Membership;
  /** Heard of within an election timeout; not to be asked of the node itself. */
  readonly isActive: (id: RaftId) => boolean;
  /** Heard of since the start of this node. */
  readonly wasHeard: (id: RaftId) => boolean;
}

export class MembershipChanges {
  readonly #options: MembershipChangesOptions;
  /** Those who wait for the end of a joint configuration. */
  readonly #waiting = new Set<(error: JarvisError | null) => void>();

  constructor(options: MembershipChangesOptions) {
    this.#options = options;
  }

  /**
   * To be called on a leader that has applied an entry of its own term (the rule that makes changes safe; dissertation 4.1
   * and its erratum), and followed by a round of the node. Resolves when the change is in force and no joint
   * configuration is left.
   * @throws JarvisError not_found, conflict, no_leader, too_many, outcome_unknown
   */
  async change(change: MembershipChange): Promise<Membership> {
    const { core, proposals, membership } = this.#options;
    const { lastIndex, id } = core.status();
    const planned = planChange(change, {
      membership: membership(),
      index: lastIndex + 1,
      isActive: (member) => member === id || this.#options.isActive(member),
      wasHeard: (member) => member === id || this.#options.wasHeard(member),
      isCaughtUp: (member) => member === id || this.isCaughtUp(member),
    });
    if (planned === null) return membership();
    if (
      planned.changes.some(({ type, id: who }) => who === id && (type === 'remove' || type === 'addLearner'))
    )
      return this.#handOver();
    const result = core.proposeConfChange(planned);
    if (result.type === 'refused') throw refusal(result.reason);
    const { term, index } = result;
    await new Promise((resolve, reject) => {
      proposals.add({ term, index }, resolve, reject);
    });
    await this.#left();
    await this.#settle();
    return membership();
  }

  /**
   * That a change is committed is told with the entries behind it. Until a majority has it on disk, members that restart
   * count by the configuration before, and need whom the change has removed: so one more entry follows.
   */
  async #settle(): Promise<void> {
    const { core, proposals } = this.#options;
    const result = core.propose([new Uint8Array()]);
    if (result.type === 'refused') return;
    try {
      await new Promise((resolve, reject) => {
        proposals.add({ term: result.term, index: result.index }, resolve, reject);
      });
    } catch (error) {
      // Another leader's first entry does the same.
      if (!(error instanceof JarvisError)) throw error;
    }
  }

  /** Replicating, and within a small lag of what is committed: dissertation 4.2.1, with entries for rounds. */
  isCaughtUp(id: RaftId): boolean {
    const { commit, progress } = this.#options.core.status();
    const known = progress.find((one) => one.id === id);
    return (
      known?.state === 'replicate' &&
      known.match + limits.caughtUpEntries >= commit &&
      this.#options.isActive(id)
    );
  }

  /** The membership is another one. */
  changed(): void {
    if (!isJoint(this.#options.membership().confState)) this.#wake(null);
  }

  /** Nothing more will be learnt here. */
  fail(reason: string): void {
    this.#wake(new JarvisError('outcome_unknown', `the outcome is unknown: ${reason}`));
  }

  /** The voter that answers and is furthest with the log; null where there is none beside this leader. */
  heir(isWanted: (id: RaftId) => boolean = () => true): RaftId | null {
    const { id, confState, progress } = this.#options.core.status();
    const heirs = progress.filter(
      (one) =>
        one.id !== id &&
        confState.voters.includes(one.id) &&
        this.#options.isActive(one.id) &&
        isWanted(one.id),
    );
    return heirs.sort((a, b) => b.match - a.match)[0]?.id ?? null;
  }

  /** A leader does not vote itself out: another one does, and the log has a leader all the while. */
  #handOver(): never {
    const { core } = this.#options;
    const heir = this.heir();
    if (heir === null)
      throw new JarvisError('conflict', 'this node leads, and no other voter answers that could take over');
    core.transferLeadership(heir);
    throw new JarvisError('no_leader', 'this node leads and is to go: it hands its leadership over first');
  }

  async #left(): Promise<void> {
    const { clock, membership } = this.#options;
    if (!isJoint(membership().confState)) return;
    await new Promise<void>((resolve, reject) => {
      const settle = (error: JarvisError | null): void => {
        cancel();
        this.#waiting.delete(settle);
        if (error === null) resolve();
        else reject(error);
      };
      const cancel = clock.after(limits.proposalTimeoutMs, () =>
        settle(
          new JarvisError(
            'outcome_unknown',
            'the joint configuration is not left yet: too few voters answer',
          ),
        ),
      );
      this.#waiting.add(settle);
    });
  }

  #wake(error: JarvisError | null): void {
    for (const settle of this.#waiting) settle(error);
  }
}

function refusal(reason: 'notLeader' | 'transferring' | 'overloaded' | 'pendingConfChange'): JarvisError {
  if (reason === 'pendingConfChange')
    return new JarvisError('conflict', 'another change of the membership is under way');
  if (reason === 'overloaded')
    return new JarvisError('too_many', 'too much is proposed and not yet committed');
  return new JarvisError('no_leader', `not proposed: ${reason}`);
}
