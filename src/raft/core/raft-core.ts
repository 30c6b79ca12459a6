/**
 * The Raft core (Ongaro's dissertation; the shape of etcd/raft's RawNode with asynchronous storage). Pure: events go in
 * through its methods, and `ready()` says what is to be done. It never waits: appends are handed out, and `persisted`
 * reports them durable, in order. Nothing is acknowledged, voted or counted before that.
 */
import { invariant, unreachable } from '../../lib/assert.ts';
import { answerVoteRequest, campaign, checkQuorum, countVote, FORCED, isInLease } from './election.ts';
import { Member, type RaftConfig, type RecoveredState } from './member.ts';
import { beginRead, mayRead, newestReadContext, takeHeartbeatContext } from './read-index.ts';
import {
  appendOwn,
  broadcastAppend,
  broadcastHeartbeat,
  sendAppend,
  takeAppend,
  takeAppendAnswer,
  takeHeartbeat,
  takeSnapshot,
} from './replication.ts';
import { statusOf, type RaftStatus } from './status.ts';
import type {
  ConfState,
  Entry,
  HardState,
  Message,
  PersistRequest,
  RaftId,
  Ready,
  SnapshotMeta,
  SoftState,
} from './types.ts';

export type ProposeResult =
  | { readonly type: 'accepted'; readonly term: number; readonly index: number }
  | {
      readonly type: 'refused';
      readonly reason: 'notLeader' | 'transferring' | 'overloaded';
      readonly leader: RaftId;
    };

export type ReadResult =
  | { readonly type: 'accepted' }
  | { readonly type: 'refused'; readonly reason: 'notLeader' | 'noOwnTermCommit'; readonly leader: RaftId };

/** A persist request under way: what its completion proves. */
interface HandedOut {
  readonly term: number;
  readonly index: number;
  readonly entryTerm: number;
}

/** After the leader's stream was reset: within so many ticks the follower asks for pre-votes. */
const RESET_ELECTION_SHARE = 3;

export class RaftCore {
  readonly #member: Member;
  #softState: SoftState = { leader: 0, role: 'follower' };
  #hardState: HardState;
  readonly #handedOut: HandedOut[] = [];

  constructor(config: RaftConfig, recovered: RecoveredState) {
    invariant(config.id > 0, 'a Raft id is positive');
    invariant(config.heartbeatTicks > 0, 'heartbeats are some ticks apart');
    invariant(config.electionTicks > config.heartbeatTicks, 'elections wait longer than heartbeats');
    this.#member = new Member(config, recovered);
    this.#hardState = recovered.hardState;
    this.#member.becomeFollower(recovered.hardState.term, 0);
  }

  tick(): void {
    const member = this.#member;
    member.electionElapsed += 1;
    if (member.role !== 'leader') {
      if (member.isVoter && member.electionElapsed >= member.randomizedElectionTicks) {
        member.electionElapsed = 0;
        this.campaign();
      }
      return;
    }
    member.heartbeatElapsed += 1;
    if (member.electionElapsed >= member.config.electionTicks) {
      member.electionElapsed = 0;
      // A transfer that has not succeeded within an election timeout never will.
      member.transferTarget = 0;
      if (member.config.checkQuorum) checkQuorum(member);
    }
    if (this.#isLeader() && member.heartbeatElapsed >= member.config.heartbeatTicks) {
      member.heartbeatElapsed = 0;
      broadcastHeartbeat(member, newestReadContext(member));
    }
  }

  /** Takes a message from a member, itself included. */
  step(message: Message): void {
    const before = this.#checkpoint();
    if (this.#passesTermRules(message)) this.#dispatch(message);
    this.#check(before);
  }

  campaign(): void {
    campaign(this.#member, this.#member.config.preVote ? 'preVote' : 'vote');
  }

  propose(datas: readonly Uint8Array[]): ProposeResult {
    const member = this.#member;
    const { leader, log, term, transferTarget, config } = member;
    if (member.role !== 'leader') return { type: 'refused', reason: 'notLeader', leader };
    if (transferTarget !== 0) return { type: 'refused', reason: 'transferring', leader };
    const bytes = datas.reduce((sum, data) => sum + data.byteLength, 0);
    if (member.uncommittedBytes > 0 && member.uncommittedBytes + bytes > config.maxUncommittedBytes) {
      return { type: 'refused', reason: 'overloaded', leader };
    }
    if (datas.length === 0) return { type: 'accepted', term, index: log.lastIndex + 1 };
    member.uncommittedBytes += bytes;
    const index = appendOwn(
      member,
      datas.map((data) => ({ type: 'normal', data })),
    );
    broadcastAppend(member);
    return { type: 'accepted', term, index };
  }

  /** The answer is a ReadState with the same context; without one within a bounded time, leadership was lost. */
  readIndex(context: string): ReadResult {
    const { leader, id } = this.#member;
    if (!this.#isLeader()) return { type: 'refused', reason: 'notLeader', leader };
    if (!mayRead(this.#member)) return { type: 'refused', reason: 'noOwnTermCommit', leader };
    beginRead(this.#member, context, id);
    return { type: 'accepted' };
  }

  /** Ignored by all but the leader, and for anything but another voter; given up after an election timeout. */
  transferLeadership(to: RaftId): void {
    const member = this.#member;
    if (!this.#isLeader() || to === member.id || !member.voters.includes(to)) return;
    member.transferTarget = to;
    member.electionElapsed = 0;
    if (member.progress.get(to)?.match === member.log.lastIndex) member.send({ type: 'timeoutNow', to });
    else sendAppend(member, to, true);
  }

  /** Nothing reached the peer: stop sending optimistically. */
  reportUnreachable(id: RaftId): void {
    const progress = this.#member.progress.get(id);
    if (this.#isLeader() && progress?.state === 'replicate') progress.becomeProbe();
  }

  /** How the streaming of a snapshot to the follower ended. */
  reportSnapshot(id: RaftId, ok: boolean): void {
    const progress = this.#member.progress.get(id);
    if (!this.#isLeader() || progress?.state !== 'snapshot') return;
    if (!ok) progress.pendingSnapshot = 0;
    progress.becomeProbe();
    // Wait for an answer to a heartbeat before trying again.
    progress.paused = true;
  }

  /**
   * The stream from the leader was reset, as a process that dies does to it: without waiting for the election timeout,
   * forget the leader (its lease would have early pre-votes ignored) and ask for pre-votes after a short random wait.
   */
  leaderStreamReset(id: RaftId): void {
    const member = this.#member;
    if (member.role !== 'follower' || member.leader !== id || id === 0) return;
    member.leader = 0;
    const wait =
      1 + Math.floor(member.config.random() * (member.config.electionTicks / RESET_ELECTION_SHARE));
    member.electionElapsed = Math.max(member.electionElapsed, member.randomizedElectionTicks - wait);
  }

  /**
   * The oldest persist request under way is durable (and its snapshot, where it had one, is the state now). It counts
   * only in the term in which it was handed out, and for the entries that it held: not for a tail rewritten since.
   */
  persisted(done: { term: number; index: number; snapshotIndex: number }): void {
    const handedOut = this.#handedOut.shift();
    invariant(handedOut?.term === done.term && handedOut.index === done.index, 'completions come in order');
    const { log, term } = this.#member;
    if (done.snapshotIndex > 0) log.snapshotInstalled(done.snapshotIndex);
    if (done.index > 0 && done.term === term) log.durableTo(done.index, handedOut.entryTerm);
  }

  appliedTo(index: number): void {
    this.#member.log.appliedTo(index);
  }

  compact(meta: SnapshotMeta): void {
    this.#member.log.compact(meta);
  }

  hasReady(): boolean {
    const { messages, afterDurable, readStates, log } = this.#member;
    return (
      messages.length > 0 ||
      afterDurable.length > 0 ||
      readStates.length > 0 ||
      log.hasUnhanded() ||
      log.hasApplicable() ||
      this.#changedSoftState() !== null ||
      this.#changedHardState() !== null
    );
  }

  /** Takes everything that is due; several may be under way before the first is complete. */
  ready(): Ready {
    const member = this.#member;
    const softState = this.#changedSoftState();
    if (softState !== null) this.#softState = softState;
    const persist = this.#takePersist();
    const messages = member.messages.splice(0);
    const readStates = member.readStates.splice(0);
    const committed = member.log.takeApplicable(member.config.maxCommittedBytesPerReady);
    return { softState, readStates, persist, messages, committed };
  }

  status(): RaftStatus {
    return statusOf(this.#member);
  }

  termAt(index: number): number | null {
    return this.#member.log.termAt(index);
  }

  entriesFrom(index: number): readonly Entry[] {
    return this.#member.log.slice(index, Number.MAX_SAFE_INTEGER);
  }

  get confState(): ConfState {
    return this.#member.confState;
  }

  /** What peers said that only one that lost its log says, since the last call. */
  takeNotices(): readonly string[] {
    return this.#member.notices.splice(0);
  }

  #takePersist(): PersistRequest | null {
    const member = this.#member;
    const hardState = this.#changedHardState();
    const { entries, snapshot } = member.log.takeUnhanded();
    const afterDurable = member.afterDurable.splice(0);
    if (hardState === null && entries.length === 0 && snapshot === null && afterDurable.length === 0)
      return null;
    const mustSync =
      entries.length > 0 ||
      snapshot !== null ||
      (hardState !== null &&
        (hardState.term !== this.#hardState.term || hardState.vote !== this.#hardState.vote));
    if (hardState !== null) this.#hardState = hardState;
    // Also without entries of its own a request proves all that was handed out before it, in this term.
    const { log, term } = member;
    const index = log.durable < log.lastIndex ? log.lastIndex : 0;
    this.#handedOut.push({ term, index, entryTerm: log.lastTerm });
    return { term, index, hardState, entries, snapshot, mustSync, afterDurable };
  }

  #changedSoftState(): SoftState | null {
    const { leader, role } = this.#member;
    return leader === this.#softState.leader && role === this.#softState.role ? null : { leader, role };
  }

  #changedHardState(): HardState | null {
    const { term, vote, log } = this.#member;
    const before = this.#hardState;
    if (before.term === term && before.vote === vote && before.commit === log.committed) return null;
    return { term, vote, commit: log.committed };
  }

  /** Whether the message is of this term, after what a term above or below its own makes of it. */
  #passesTermRules(message: Message): boolean {
    const member = this.#member;
    const { type, term, from } = message;
    if (term > member.term) {
      const asksForVote = type === 'vote' || type === 'preVote';
      if (asksForVote && message.context !== FORCED && isInLease(member)) return false;
      // Neither a pre-vote nor its being granted has made a term yet.
      if (type !== 'preVote' && !(type === 'preVoteResp' && !message.reject)) {
        const fromLeader = type === 'app' || type === 'heartbeat' || type === 'snap';
        member.becomeFollower(term, fromLeader ? from : 0);
      }
      return true;
    }
    if (term === member.term) return true;
    const { checkQuorum: lease, preVote } = member.config;
    if ((lease || preVote) && (type === 'app' || type === 'heartbeat')) {
      // A leader of the past, or one that its own pre-voting peers overtook: this term makes it step down.
      member.send({ type: 'appResp', to: from });
    } else if (type === 'preVote') {
      member.send({ type: 'preVoteResp', to: from, reject: true });
    }
    return false;
  }

  #dispatch(message: Message): void {
    const member = this.#member;
    switch (message.type) {
      case 'vote':
      case 'preVote':
        answerVoteRequest(member, message);
        break;
      case 'voteResp':
        if (member.role === 'candidate') countVote(member, message.from, !message.reject);
        break;
      case 'preVoteResp':
        if (member.role === 'preCandidate') countVote(member, message.from, !message.reject);
        break;
      case 'app':
      case 'heartbeat':
      case 'snap':
        this.#fromLeader(message);
        break;
      case 'appResp':
      case 'heartbeatResp':
      case 'readIndex':
      case 'transferLeader':
        if (this.#isLeader()) this.#toLeader(message);
        break;
      case 'timeoutNow':
        if (member.role === 'follower') campaign(member, 'transfer');
        break;
      case 'readIndexResp':
        member.readStates.push({ context: message.context, index: message.index });
        break;
      case 'forgetLeader':
        if (member.role === 'follower') member.leader = 0;
        break;
      case 'propose':
        // Proposals are forwarded by the shell, never by the core [APPLYTERM].
        break;
      default:
        unreachable(message.type);
    }
  }

  #fromLeader(message: Message): void {
    const member = this.#member;
    invariant(member.role !== 'leader', 'one leader per term');
    if (member.role !== 'follower') member.becomeFollower(message.term, message.from);
    member.electionElapsed = 0;
    member.leader = message.from;
    if (message.type === 'app') takeAppend(member, message);
    else if (message.type === 'heartbeat') takeHeartbeat(member, message);
    else takeSnapshot(member, message);
  }

  #toLeader(message: Message): void {
    const member = this.#member;
    const progress = member.progress.get(message.from);
    if (progress === undefined) return;
    switch (message.type) {
      case 'appResp':
        takeAppendAnswer(member, message);
        break;
      case 'heartbeatResp':
        progress.recentActive = true;
        progress.paused = false;
        if (progress.match < member.log.lastIndex || progress.state === 'probe') {
          sendAppend(member, message.from, true);
        }
        if (message.context !== '') takeHeartbeatContext(member, message);
        break;
      case 'readIndex':
        if (mayRead(member)) beginRead(member, message.context, message.from);
        break;
      case 'transferLeader':
        this.transferLeadership(message.from);
        break;
      default:
        break;
    }
  }

  #isLeader(): boolean {
    return this.#member.role === 'leader';
  }

  #checkpoint(): { term: number; committed: number } {
    return { term: this.#member.term, committed: this.#member.log.committed };
  }

  #check(before: { term: number; committed: number }): void {
    const { term, log } = this.#member;
    invariant(term >= before.term, 'the term never decreases');
    invariant(log.committed >= before.committed, 'the commit index never decreases');
    invariant(log.applied <= log.committed, 'only what is committed is applied');
  }
}
