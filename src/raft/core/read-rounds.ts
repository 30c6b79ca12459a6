/** ReadIndex rounds under way on a leader, oldest first (Raft dissertation, section 6.4). */
import type { RaftId } from './types.ts';

export interface ReadRound {
  readonly context: string;
  /** Who asked: the leader itself, or a follower that forwarded. */
  readonly from: RaftId;
  /** What was committed when the round began. */
  readonly index: number;
  readonly acks: Set<RaftId>;
}

/** Beyond it the oldest is dropped, and never confirmed: whoever reads has a deadline. */
const ROUNDS_KEPT = 10_000;

export class ReadRounds {
  #rounds: ReadRound[] = [];

  add(context: string, from: RaftId, index: number, leader: RaftId): void {
    if (this.find(context) !== undefined) return;
    this.#rounds.push({ context, from, index, acks: new Set([leader]) });
    if (this.#rounds.length > ROUNDS_KEPT) this.#rounds.shift();
  }

  find(context: string): ReadRound | undefined {
    return this.#rounds.find((round) => round.context === context);
  }

  /** Repeated with each heartbeat: its acknowledgement may have been lost, and it speaks for all before it. */
  get newestContext(): string {
    return this.#rounds.at(-1)?.context ?? '';
  }

  /** A confirmed round confirms all that began before it. */
  takeThrough(confirmed: ReadRound): readonly ReadRound[] {
    return this.#rounds.splice(0, this.#rounds.indexOf(confirmed) + 1);
  }
}
