/** Who leads, as far as this node knows, and who wants to hear of it. */
import { messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { RaftId, SoftState } from './core/types.ts';

export interface RaftLeadership {
  /** Leader, and an entry of its own term is applied: what it reads is its predecessors' last word. */
  readonly isLeader: boolean;
  readonly term: number;
  readonly leader: RaftId;
}

type Listener = (leadership: RaftLeadership) => void;

export class LeadershipNews {
  readonly #term: () => number;
  readonly #logger: Log;
  readonly #onFailure: (error: unknown) => void;
  readonly #listeners = new Set<Listener>();
  #soft: SoftState = { leader: 0, role: 'follower' };
  #announced: RaftLeadership = { isLeader: false, term: 0, leader: 0 };
  /** Term in which this node became leader, and whether an entry of it has been applied. */
  #leaderTerm = 0;
  #ownTermApplied = false;

  /** @param options.term of the core, now */
  constructor(options: { term: () => number; logger: Log; onFailure: (error: unknown) => void }) {
    this.#term = options.term;
    this.#logger = options.logger;
    this.#onFailure = options.onFailure;
  }

  get current(): RaftLeadership {
    return this.#announced;
  }

  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  changed(soft: SoftState): void {
    this.#soft = soft;
    const term = this.#term();
    if (soft.role !== 'leader') this.#ownTermApplied = false;
    else if (term !== this.#leaderTerm) {
      this.#leaderTerm = term;
      this.#ownTermApplied = false;
    }
    this.#tell();
  }

  /** The term may be another one without a change of role or leader. To be called after every round. */
  look(): void {
    if (this.#term() !== this.#announced.term) this.changed(this.#soft);
  }

  /** An entry of the term has been applied. */
  applied(term: number): void {
    if (this.#soft.role !== 'leader' || term !== this.#leaderTerm || this.#ownTermApplied) return;
    this.#ownTermApplied = true;
    this.#tell();
  }

  /** The node takes part no more. */
  over(): void {
    if (this.#announced.isLeader) this.#announce({ ...this.#announced, isLeader: false, leader: 0 });
  }

  #tell(): void {
    const isLeader = this.#soft.role === 'leader' && this.#ownTermApplied;
    this.#announce({ isLeader, term: this.#term(), leader: this.#soft.leader });
  }

  #announce(leadership: RaftLeadership): void {
    const { isLeader, term, leader } = this.#announced;
    if (isLeader === leadership.isLeader && term === leadership.term && leader === leadership.leader) return;
    this.#announced = leadership;
    this.#logger.info({ ...leadership }, 'leadership');
    for (const listener of this.#listeners) this.#call(listener, leadership);
  }

  /** Whoever does not hear of a leadership acts on the last one: that is a bug, and no reason to leave others untold. */
  #call(listener: Listener, leadership: RaftLeadership): void {
    try {
      listener(leadership);
    } catch (error) {
      this.#logger.error({ error: messageOf(error) }, 'a listener of the leadership threw');
      this.#onFailure(error);
    }
  }
}
