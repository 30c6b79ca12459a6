/**
 * Commands on their way into the log: those that come in one turn of the event loop share an append. What the bound on
 * uncommitted bytes leaves no room for waits, for a bounded time. While leadership is being handed over none is proposed
 * (dissertation 3.10); they wait, for at most an election timeout, and go on here or are sent on to the next leader.
 */
import type { Clock } from '../lib/clock.ts';
import { JarvisError, messageOf } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { ProposeResult, RaftCore } from './core/raft-core.ts';
import type { PendingProposals } from './proposals.ts';

interface QueuedProposal {
  readonly data: Uint8Array;
  /** Monotonic. */
  readonly sinceMs: number;
  readonly resolve: (outcome: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class ProposalQueue {
  readonly #core: RaftCore;
  readonly #proposals: PendingProposals;
  readonly #clock: Clock;
  readonly #maxLogBytes: number;
  #queued: QueuedProposal[] = [];
  #queuedBytes = 0;

  constructor(options: {
    core: RaftCore;
    proposals: PendingProposals;
    clock: Clock;
    /** By default that of `limits`. */
    maxLogBytes?: number;
  }) {
    this.#core = options.core;
    this.#proposals = options.proposals;
    this.#clock = options.clock;
    this.#maxLogBytes = options.maxLogBytes ?? limits.logBytes;
  }

  /**
   * Resolves with the outcome once it is applied here; a round of the node must follow.
   * @throws JarvisError no_leader, too_large, too_many, outcome_unknown
   */
  async add(data: Uint8Array): Promise<unknown> {
    const { byteLength } = data;
    if (byteLength > limits.entryBytes) {
      throw new JarvisError(
        'too_large',
        `a command of ${byteLength} bytes; at most ${limits.entryBytes} are allowed`,
      );
    }
    if (this.#proposals.size + this.#queued.length >= limits.pendingProposals) {
      throw new JarvisError('too_many', `${limits.pendingProposals} proposals are waiting already`);
    }
    if (this.#queuedBytes + byteLength > limits.proposalQueueBytes) throw tooMuch();
    if (this.#core.logBytes + this.#queuedBytes + byteLength > this.#maxLogBytes)
      throw new JarvisError('too_many', 'the log is full until a snapshot of the state has been written');
    const sinceMs = this.#clock.monotonicMs();
    return await new Promise((resolve, reject) => {
      this.#queued.push({ data, sinceMs, resolve, reject });
      this.#queuedBytes += byteLength;
    });
  }

  /**
   * Proposes what waits, as far as there is room; to be called at every tick and whenever room may have been made. A
   * throw of the core is a bug.
   */
  flush(): void {
    if (this.#queued.length === 0 || this.#core.isTransferring) return;
    const fitting = this.#core.countFitting(this.#queued);
    if (fitting > 0) this.#proposeAll(this.#take(fitting));
    const nowMs = this.#clock.monotonicMs();
    const firstInTime = this.#queued.findIndex(({ sinceMs }) => nowMs - sinceMs < limits.proposalQueueMs);
    const late = this.#take(firstInTime < 0 ? this.#queued.length : firstInTime);
    for (const { reject } of late) reject(tooMuch());
  }

  /** None of them has been proposed. */
  fail(reason: string): void {
    for (const { reject } of this.#take(this.#queued.length)) reject(new JarvisError('no_leader', reason));
  }

  #take(count: number): readonly QueuedProposal[] {
    const taken = this.#queued.splice(0, count);
    for (const { data } of taken) this.#queuedBytes -= data.byteLength;
    return taken;
  }

  #proposeAll(batch: readonly QueuedProposal[]): void {
    const result = this.#propose(batch);
    if (result.type === 'accepted') {
      batch.forEach(({ resolve, reject }, position) => {
        this.#proposals.add({ term: result.term, index: result.index + position }, resolve, reject);
      });
      return;
    }
    const error =
      result.reason === 'overloaded'
        ? tooMuch()
        : new JarvisError('no_leader', `not proposed: ${result.reason}`);
    for (const { reject } of batch) reject(error);
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

function tooMuch(): JarvisError {
  return new JarvisError('too_many', 'too much is proposed and not yet committed');
}
