/**
 * Commands on their way into the log: those that come in one turn of the event loop share an append. While leadership is
 * being handed over none is proposed (dissertation 3.10); they wait, for at most an election timeout, and go on here or
 * are sent on to the next leader.
 */
import { JarvisError, messageOf } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { ProposeResult, RaftCore } from './core/raft-core.ts';
import type { PendingProposals } from './proposals.ts';

interface QueuedProposal {
  readonly data: Uint8Array;
  readonly resolve: (outcome: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class ProposalQueue {
  readonly #core: RaftCore;
  readonly #proposals: PendingProposals;
  #queued: QueuedProposal[] = [];

  constructor(options: { core: RaftCore; proposals: PendingProposals }) {
    this.#core = options.core;
    this.#proposals = options.proposals;
  }

  /**
   * Resolves with the outcome once it is applied here; a round of the node must follow.
   * @throws JarvisError no_leader, too_large, too_many, outcome_unknown
   */
  async add(data: Uint8Array): Promise<unknown> {
    if (data.byteLength > limits.entryBytes) {
      throw new JarvisError(
        'too_large',
        `a command of ${data.byteLength} bytes; at most ${limits.entryBytes} are allowed`,
      );
    }
    if (this.#proposals.size + this.#queued.length >= limits.pendingProposals) {
      throw new JarvisError('too_many', `${limits.pendingProposals} proposals are waiting already`);
    }
    return await new Promise((resolve, reject) => {
      this.#queued.push({ data, resolve, reject });
    });
  }

  /** Proposes what waits. A throw of the core is a bug. */
  flush(): void {
    if (this.#queued.length === 0 || this.#core.isTransferring) return;
    const batch = this.#queued.splice(0);
    const result = this.#propose(batch);
    if (result.type === 'accepted') {
      batch.forEach(({ resolve, reject }, position) => {
        this.#proposals.add({ term: result.term, index: result.index + position }, resolve, reject);
      });
      return;
    }
    const error =
      result.reason === 'overloaded'
        ? new JarvisError('too_many', 'too much is proposed and not yet committed')
        : new JarvisError('no_leader', `not proposed: ${result.reason}`);
    for (const { reject } of batch) reject(error);
  }

  /** None of them has been proposed. */
  fail(reason: string): void {
    for (const { reject } of this.#queued.splice(0)) reject(new JarvisError('no_leader', reason));
  }

  /** What became of the proposals nobody knows where the core throws. */
  #propose(batch: readonly QueuedProposal[]): ProposeResult {
    try {
      return this.#core.propose(batch.map(({ data }) => data));
    } catch (error) {
      for (const { reject } of batch) reject(new JarvisError('outcome_unknown', messageOf(error)));
      throw error;
    }
  }
}
