/** One core by itself: the test plays its disk and all other members. */
import { seededRandom } from '../../lib/random.ts';
import { makeMessage } from './messages.ts';
import { RaftCore, type RaftConfig, type RecoveredState } from './raft-core.ts';
import type { ConfState, Entry, Message, MessageType, PersistRequest, Ready } from './types.ts';

export const ELECTION_TICKS = 10;

export function voting(...voters: readonly number[]): ConfState {
  return { voters, votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
}

export function normal(term: number, index: number, text = ''): Entry {
  return { term, index, type: 'normal', data: new TextEncoder().encode(text) };
}

export class LoneCore {
  readonly core: RaftCore;
  /** Handed out and not durable yet; `write` makes it so. */
  readonly writing: PersistRequest[] = [];
  #sent: Message[] = [];
  readonly committed: Entry[] = [];
  readonly reads: string[] = [];

  /** Member 1 of three, unless `recovered` says otherwise. */
  constructor(options: Partial<RaftConfig> = {}, recovered: Partial<RecoveredState> = {}) {
    this.core = new RaftCore(
      {
        id: 1,
        electionTicks: ELECTION_TICKS,
        heartbeatTicks: 1,
        random: seededRandom(1),
        maxInflightMessages: 10,
        maxInflightBytes: 1000,
        maxMessageBytes: 1000,
        maxUncommittedBytes: 100,
        maxCommittedBytesPerReady: 1000,
        preVote: false,
        checkQuorum: false,
        ...options,
      },
      {
        hardState: { term: 0, vote: 0, commit: 0 },
        snapshot: { index: 0, term: 0, confState: voting(1, 2, 3) },
        entries: [],
        applied: 0,
        ...recovered,
      },
    );
  }

  /** Carries out what the core wants, but for the disk. */
  drain(): void {
    while (this.core.hasReady()) {
      const ready: Ready = this.core.ready();
      if (ready.persist !== null) this.writing.push(ready.persist);
      this.#sent.push(...ready.messages);
      this.reads.push(...ready.readStates.map(({ context, index }) => `${context}@${index}`));
      for (const entry of ready.committed) {
        this.committed.push(entry);
        if (entry.type === 'confChange') this.core.applyConfChange(entry);
        this.core.appliedTo(entry.index);
      }
    }
  }

  /** The oldest write becomes durable. */
  writeOne(): void {
    const request = this.writing.shift();
    if (request === undefined) return;
    const { term, index, snapshot, afterDurable } = request;
    this.core.persisted({ term, index, snapshotIndex: snapshot?.index ?? 0 });
    for (const message of afterDurable) {
      if (message.to === message.from) this.core.step(message);
      else this.#sent.push(message);
    }
  }

  /** Everything is written and carried out. @returns what was sent since the last time, and forgets it */
  settle(): readonly Message[] {
    this.drain();
    while (this.writing.length > 0) {
      this.writeOne();
      this.drain();
    }
    return this.takeSent();
  }

  takeSent(): readonly Message[] {
    return this.#sent.splice(0);
  }

  /** A message of member `from`; of the core's own term unless it says otherwise. */
  receive(type: MessageType, from: number, fields: Partial<Message> = {}): void {
    const { id, term } = this.core.status();
    this.core.step(makeMessage({ type, from, to: id, term, ...fields }));
  }

  /** Leader of the next term by the vote of member 2, with nothing sent yet to remember. */
  lead(): void {
    this.core.campaign();
    this.settle();
    if (this.core.status().role === 'preCandidate') {
      this.receive('preVoteResp', 2, { term: this.core.status().term + 1 });
      this.settle();
    }
    this.receive('voteResp', 2);
    this.settle();
  }

  /** The members acknowledge all that the leader has. */
  acknowledge(...from: readonly number[]): void {
    const { lastIndex } = this.core.status();
    for (const id of from) this.receive('appResp', id, { index: lastIndex });
  }

  propose(...texts: readonly string[]): ReturnType<RaftCore['propose']> {
    return this.core.propose(texts.map((text) => new TextEncoder().encode(text)));
  }
}

/** In short, as `type>to`. */
export function names(messages: readonly Message[]): readonly string[] {
  return messages.map(({ type, to }) => `${type}>${to}`);
}
