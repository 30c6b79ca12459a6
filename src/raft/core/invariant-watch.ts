/** What must hold after every event, whatever peers say (Raft paper, figures 2 and 3). */
import { invariant } from '../../lib/assert.ts';
import type { Member } from './member.ts';

export class InvariantWatch {
  readonly #member: Member;
  #term: number;
  #vote: number;
  #committed: number;
  #applied: number;

  constructor(member: Member) {
    this.#member = member;
    this.#term = member.term;
    this.#vote = member.vote;
    this.#committed = member.log.committed;
    this.#applied = member.log.applied;
    this.check();
  }

  /** @throws InvariantError */
  check(): void {
    const { term, vote, role, leader, id, log } = this.#member;
    invariant(term >= this.#term, 'the term never decreases');
    invariant(term > this.#term || this.#vote === 0 || vote === this.#vote, 'a vote is cast once in a term');
    invariant(log.committed >= this.#committed, 'the commit index never decreases');
    invariant(log.applied >= this.#applied, 'the applied index never decreases');
    invariant(log.applied <= log.committed, 'only what is committed is applied');
    invariant(log.committed <= log.lastIndex && log.durable <= log.lastIndex, 'positions are in the log');
    invariant((role === 'leader') === (leader === id), 'a leader, and nobody else, knows itself as leader');
    invariant(role !== 'candidate' || vote === id, 'a candidate votes for itself');
    this.#term = term;
    this.#vote = vote;
    this.#committed = log.committed;
    this.#applied = log.applied;
  }
}
