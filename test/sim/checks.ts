/** What must hold after every event, over all nodes at once (Raft paper, figure 3, and what this product adds). */
import type { RaftStatus } from '../../src/raft/core/status.ts';
import type { ConfState, Entry, Message, PersistRequest, RaftId } from '../../src/raft/core/types.ts';
import type { Disk } from './disk.ts';
import type { Member } from './member.ts';
import { decodeWrite } from './replica.ts';
import { Violation } from './trace.ts';

interface KnownEntry {
  readonly entry: Entry;
  /** Of the entry before it; null where nobody could say. */
  readonly previousTerm: number | null;
}

/** What was seen of a member at its last event. */
interface Seen {
  commit: number;
  leaderTerm: number;
  lastIndex: number;
  lastTerm: number;
}

const RECENT = 3;

export class Checks {
  /** By term: the process that leads it. Leadership does not outlive a process, and its term is over with it. */
  readonly #leaders = new Map<number, Member>();
  /** Every entry that was in any log, by index and term. */
  readonly #entries: Map<number, KnownEntry>[] = [];
  /** Term of what is committed, by index. */
  readonly committed: number[] = [];
  /** The term in which that was decided. */
  readonly #committedIn: number[] = [];
  readonly #digests: string[] = [];
  readonly #configurations: { readonly index: number; readonly confState: ConfState }[] = [];
  readonly #seen = new WeakMap<Member, Seen>();
  readonly #members: () => Iterable<Member>;
  readonly #diskOf: (id: RaftId) => Disk | undefined;
  /** Values of registers that are committed: each at one index only. */
  readonly writtenAt = new Map<number, number>();

  constructor(
    founding: ConfState,
    members: () => Iterable<Member>,
    diskOf: (id: RaftId) => Disk | undefined,
  ) {
    this.#members = members;
    this.#diskOf = diskOf;
    this.#configurations.push({ index: 0, confState: founding });
  }

  /** The newest that anybody has applied. */
  get configuration(): { readonly index: number; readonly confState: ConfState } {
    const newest = this.#configurations.at(-1);
    if (newest === undefined) throw new Violation('there is a first configuration');
    return newest;
  }

  get committedIndex(): number {
    return Math.max(0, this.committed.length - 1);
  }

  entryAt(index: number): Entry | undefined {
    return this.#entries[index]?.get(this.committed[index] ?? 0)?.entry;
  }

  observe(member: Member): void {
    const status = member.core.status();
    const seen = this.#seen.get(member) ?? { commit: 0, leaderTerm: 0, lastIndex: 0, lastTerm: 0 };
    if (status.role === 'leader') this.#observeLeader(member, status, seen);
    const isOwnCommit =
      status.role === 'leader' && seen.leaderTerm === status.term && status.commit > seen.commit;
    if (isOwnCommit && member.core.termAt(status.commit) !== status.term)
      throw new Violation(
        `leader ${member.id} of term ${status.term} commits entry ${status.commit} of an earlier term`,
      );
    for (let index = Math.max(seen.commit, status.firstIndex - 1) + 1; index <= status.commit; index += 1)
      this.#noteCommitted(member, status, index);
    seen.commit = status.commit;
    seen.leaderTerm = status.role === 'leader' ? status.term : 0;
    seen.lastIndex = status.lastIndex;
    seen.lastTerm = member.core.termAt(status.lastIndex) ?? 0;
    this.#seen.set(member, seen);
  }

  /** Log matching: two logs with an entry of the same index and term agree in it, and in all before. */
  appended(member: Member, request: PersistRequest): void {
    const first = request.entries[0];
    if (first === undefined) return;
    let previousTerm = member.core.termAt(first.index - 1);
    for (const entry of request.entries) {
      const known = (this.#entries[entry.index] ??= new Map<number, KnownEntry>());
      const same = known.get(entry.term);
      if (same === undefined) known.set(entry.term, { entry, previousTerm });
      else if (!isSame(same.entry, entry)) {
        throw new Violation(`log matching: two entries ${entry.index} of term ${entry.term}`);
      } else if (same.previousTerm !== null && previousTerm !== null && same.previousTerm !== previousTerm) {
        throw new Violation(
          `log matching: before entry ${entry.index} of term ${entry.term} stand terms ${same.previousTerm} and ${previousTerm}`,
        );
      }
      previousTerm = entry.term;
    }
  }

  applied(member: Member, entry: Entry): void {
    const term = this.committed[entry.index];
    const known = this.#entries[entry.index]?.get(entry.term)?.entry;
    if (term !== entry.term || known === undefined || !isSame(known, entry))
      throw new Violation(`state machine safety: node ${member.id} applies another entry ${entry.index}`);
    this.#compareDigest(member, entry.index);
    const write = decodeWrite(entry.data);
    if (write === null) return;
    const at = this.writtenAt.get(write.value) ?? entry.index;
    if (at !== entry.index)
      throw new Violation(`value ${write.value} was written by entries ${at} and ${entry.index}`);
    this.writtenAt.set(write.value, at);
  }

  installed(member: Member, index: number): void {
    this.#compareDigest(member, index);
  }

  /** The newest, and those before it by which a member may still count that does not know of the newest being committed. */
  get recentConfigurations(): readonly ConfState[] {
    return this.#configurations.slice(-RECENT).map(({ confState }) => confState);
  }

  configured(member: Member, index: number, confState: ConfState): void {
    const known = this.#configurations.find((one) => one.index === index);
    if (known !== undefined) {
      if (JSON.stringify(known.confState) !== JSON.stringify(confState))
        throw new Violation(`node ${member.id} has another configuration after entry ${index}`);
      return;
    }
    const before = this.configuration;
    if (index < before.index)
      throw new Violation(`a configuration of entry ${index} that others passed over`);
    if (!overlap(before.confState, confState))
      throw new Violation(
        `configurations that do not overlap: ${JSON.stringify(before)} and ${JSON.stringify(confState)}`,
      );
    this.#configurations.push({ index, confState });
  }

  /** Votes, asked for and given, and acknowledgements promise what must be durable by the time they leave. */
  sent(member: Member, message: Message): void {
    const { log } = member.disk;
    const { hardState } = log;
    if (message.type === 'appResp' && !message.reject) {
      // One of an earlier term may have been overtaken by a leader that replaced what it acknowledges: that term is over here,
      // durably, and whoever was elected in the later one with this vote holds what this log held when it was given.
      if (message.term === hardState.term && message.index > log.lastIndex)
        throw new Violation(
          `node ${member.id} acknowledges entry ${message.index}; durable is ${log.lastIndex}`,
        );
      this.#promised(member, message.term, hardState.term === message.term ? hardState.vote : 0);
    }
    // A candidate that forgets its term in a crash could be elected in it twice.
    if (message.type === 'vote' && !hasVoted(hardState, message.term, member.id))
      throw new Violation(
        `node ${member.id} asks for votes in term ${message.term}; durable is a vote for ${hardState.vote} in ${hardState.term}`,
      );
    if (message.type !== 'voteResp' || message.reject) return;
    if (!hasVoted(hardState, message.term, message.to))
      throw new Violation(
        `node ${member.id} votes for ${message.to} in term ${message.term}; durable is a vote for ${hardState.vote} in ${hardState.term}`,
      );
    this.#promised(member, message.term, message.to);
  }

  #promised(member: Member, term: number, vote: RaftId): void {
    const { promised } = member.disk;
    if (member.disk.log.hardState.term < term)
      throw new Violation(`node ${member.id} speaks in term ${term}, which is not durable`);
    if (term === promised.term && promised.vote !== 0 && vote !== 0 && vote !== promised.vote)
      throw new Violation(`node ${member.id} votes for ${promised.vote} and for ${vote} in term ${term}`);
    if (term > promised.term) member.disk.promised = { term, vote };
    else if (term === promised.term && vote !== 0) member.disk.promised = { term, vote };
  }

  #observeLeader(member: Member, status: RaftStatus, seen: Seen): void {
    const { term, lastIndex, firstIndex } = status;
    const known = this.#leaders.get(term) ?? member;
    if (known !== member)
      throw new Violation(
        `election safety: ${known.id} and ${member.id} lead term ${term}, in starts ${known.start.counter} and ${member.start.counter}`,
      );
    this.#leaders.set(term, known);
    if (seen.leaderTerm === term) {
      const last = member.core.termAt(seen.lastIndex);
      if (lastIndex < seen.lastIndex || (last !== null && last !== seen.lastTerm))
        throw new Violation(`leader append-only: leader ${member.id} of term ${term} changed its own log`);
      return;
    }
    const confStates = [member.confBefore, status.confState];
    if (!confStates.some((confState) => decides(confState, (id) => this.#votedFor(member.id, term, id))))
      throw new Violation(
        `election safety: ${member.id} leads term ${term} without the votes of ${JSON.stringify(status.confState)}`,
      );
    // Leader completeness, when it is elected; what is committed later is compared then.
    for (let index = firstIndex; index < this.committed.length; index += 1)
      this.#checkComplete(member, index);
  }

  /** As far as can be known: of one that has gone on to a later term it is believed. */
  #votedFor(leader: RaftId, term: number, voter: RaftId): boolean {
    const disk = this.#diskOf(voter);
    if (disk === undefined) return false;
    return [disk.promised, disk.log.hardState].some((durable) => hasVoted(durable, term, leader));
  }

  #checkComplete(member: Member, index: number): void {
    const committed = this.committed[index] ?? 0;
    // What a later term than its own decides is not for it to hold.
    if ((this.#committedIn[index] ?? 0) >= member.core.status().term) return;
    if (index < member.core.status().firstIndex || member.core.termAt(index) === committed) return;
    throw new Violation(
      `leader completeness: leader ${member.id} of term ${member.core.status().term} lacks entry ${index} of term ${committed}`,
    );
  }

  #noteCommitted(member: Member, status: RaftStatus, index: number): void {
    const term = member.core.termAt(index);
    const known = this.committed[index];
    if (term === null || known === term) return;
    if (known !== undefined)
      throw new Violation(
        `state machine safety: entry ${index} is committed with term ${known}, and by node ${member.id} with ${term}`,
      );
    if (index !== this.committedIndex + 1)
      throw new Violation(`entry ${index} is committed before ${this.committedIndex + 1}`);
    if (![member.confBefore, status.confState].some((confState) => this.#isDurable(confState, index, term)))
      throw new Violation(
        `node ${member.id} commits entry ${index} of term ${term}, which is not durable on a quorum of ${JSON.stringify(status.confState)}: ${this.#holders(status.confState, index)}`,
      );
    this.committed[0] ??= 0;
    this.committed[index] = term;
    this.#committedIn[index] = status.term;
    for (const other of this.#members()) {
      if (other !== member && other.isLeading) this.#checkComplete(other, index);
    }
  }

  #isDurable({ voters, votersOutgoing }: ConfState, index: number, term: number): boolean {
    return [voters, votersOutgoing].every((ids) => {
      const holding = ids.filter((id) => this.#diskOf(id)?.log.holds(index, term) === true).length;
      return ids.length === 0 || holding * 2 > ids.length;
    });
  }

  #holders({ voters, votersOutgoing }: ConfState, index: number): string {
    return [...new Set([...voters, ...votersOutgoing])]
      .map((id) => {
        const log = this.#diskOf(id)?.log;
        return `${id} ends at ${log?.lastIndex}, has there term ${log?.termAt(index) ?? '-'}`;
      })
      .join('; ');
  }

  #compareDigest(member: Member, index: number): void {
    const { digest } = member.replica;
    const known = (this.#digests[index] ??= digest);
    if (known !== digest) throw new Violation(`node ${member.id} has another state at index ${index}`);
  }
}

/** As far as a later term does not hide it. */
function hasVoted(durable: { term: number; vote: RaftId }, term: number, candidate: RaftId): boolean {
  return durable.term > term || (durable.term === term && durable.vote === candidate);
}

function isSame(one: Entry, other: Entry): boolean {
  if (one === other) return true;
  return one.term === other.term && one.type === other.type && Buffer.compare(one.data, other.data) === 0;
}

/** Naive: looks at every set of members that one configuration could decide with while the rest decides with the other. */
function overlap(one: ConfState, other: ConfState): boolean {
  const ids = [...new Set([one, other].flatMap((conf) => [...conf.voters, ...conf.votersOutgoing]))];
  for (let set = 0; set < 1 << ids.length; set += 1) {
    const isIn = (id: RaftId): boolean => (set & (1 << ids.indexOf(id))) !== 0;
    if (decides(one, isIn) && decides(other, (id) => !isIn(id))) return false;
  }
  return true;
}

export function decides({ voters, votersOutgoing }: ConfState, isIn: (id: RaftId) => boolean): boolean {
  return [voters, votersOutgoing].every(
    (ids) => ids.length === 0 || ids.filter(isIn).length * 2 > ids.length,
  );
}
