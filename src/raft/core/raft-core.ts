/**
 * The Raft core (Ongaro's dissertation; the shape of etcd/raft's RawNode with asynchronous storage). Pure: events go in
 * through its methods, and `ready()` says what is to be done. It never waits: appends are handed out, and `persisted`
 * reports them durable, in order. Nothing is acknowledged, voted or counted before that.
 */
import { unreachable } from '../../lib/assert.ts';
import type { ConfChange } from './confchange.ts';
import { hasLeases, type RaftConfig, type RecoveredState } from './config.ts';
import {
  answerVoteRequest,
  campaign,
  checkQuorum,
  countVote,
  heedsNoCandidate,
  tickElection,
} from './election.ts';
import { takeAppend, takeHeartbeat, takeSnapshot } from './following.ts';
import { InvariantWatch } from './invariant-watch.ts';
import { Member } from './member.ts';
import {
  applyConfChange,
  changeMembership,
  countFitting,
  leaveJointWhenDue,
  propose,
  proposeConfChange,
  takeProposal,
  type ProposeResult,
} from './membership.ts';
import { isFromLeader, isResponse } from './messages.ts';
import { beginRead, requestRead, takeReadAck, type ReadResult } from './reads.ts';
import { ReadyTracker } from './ready-tracker.ts';
import {
  broadcastHeartbeat,
  takeAppendAnswer,
  takeHeartbeatAnswer,
  takeSnapshotReport,
  transferLeadership,
} from './replication.ts';
import { statusOf, type RaftStatus } from './status.ts';
import type { ConfState, Entry, Message, RaftId, Ready, SnapshotMeta } from './types.ts';

export type { RaftConfig, RecoveredState } from './config.ts';
export type { ProposeResult } from './membership.ts';
export type { ReadResult } from './reads.ts';

export class RaftCore {
  readonly #member: Member;
  readonly #tracker: ReadyTracker;
  readonly #watch: InvariantWatch;

  /** @throws InvariantError where config or recovered state cannot be */
  constructor(config: RaftConfig, recovered: RecoveredState) {
    const { snapshot, entries, applied } = recovered;
    this.#member = new Member(config, recovered);
    for (const entry of entries) {
      if (entry.index > snapshot.index && entry.index <= applied && entry.type === 'confChange') {
        changeMembership(this.#member, entry);
      }
    }
    this.#tracker = new ReadyTracker(this.#member, recovered.hardState);
    this.#watch = new InvariantWatch(this.#member);
  }

  /** The only time that the core knows. */
  tick(): void {
    const member = this.#member;
    if (member.isLeader) this.#tickLeader();
    else tickElection(member);
    this.#watch.check();
  }

  /** Takes a message from a member, itself included. Nothing that a peer says throws, short of proving a broken log. */
  step(message: Message): void {
    const member = this.#member;
    const isStranger = isResponse(message.type) && !member.progress.has(message.from);
    if (!isStranger && this.#passesTermRules(message)) this.#dispatch(message);
    this.#watch.check();
  }

  /** How many of these, in their order, `propose` has room for now; all of them where it refuses for another reason. */
  countFitting(proposals: readonly { readonly data: Uint8Array }[]): number {
    return countFitting(this.#member, proposals);
  }

  /** One batch of entries, in one append; all of it, or nothing. */
  propose(datas: readonly Uint8Array[]): ProposeResult {
    const result = propose(
      this.#member,
      datas.map((data) => ({ type: 'normal', data })),
    );
    this.#watch.check();
    return result;
  }

  /** One at a time: refused until the one before it is applied here, and in a joint configuration but to leave it. */
  proposeConfChange(change: ConfChange): ProposeResult {
    const result = proposeConfChange(this.#member, change);
    this.#watch.check();
    return result;
  }

  /**
   * Called with each committed entry of type `confChange` when it is applied, before `appliedTo`. An empty one leaves a
   * joint configuration; one that is invalid changes nothing.
   * @returns the configuration from here on
   */
  applyConfChange(entry: Entry): ConfState {
    const confState = applyConfChange(this.#member, entry);
    this.#watch.check();
    return confState;
  }

  /**
   * The answer is a ReadState with the same context, which must differ from those of other reads; without one within a
   * bounded time, leadership was lost.
   */
  readIndex(context: string): ReadResult {
    const result = requestRead(this.#member, context);
    this.#watch.check();
    return result;
  }

  /**
   * To another voter. Given up after an election timeout, in which nothing is proposed.
   * @returns whether this member leads; else nothing happens: a follower cannot ask its leader in the name of another
   */
  transferLeadership(to: RaftId): boolean {
    const member = this.#member;
    const { isLeader } = member;
    if (isLeader) {
      transferLeadership(member, to);
      // To itself: that ends a transfer that was under way.
      leaveJointWhenDue(member);
    }
    this.#watch.check();
    return isLeader;
  }

  /** A follower that has reason to believe its leader gone votes for others at once. Not with lease reads. */
  forgetLeader(): void {
    const member = this.#member;
    if (member.role === 'follower' && !hasLeases(member.config)) member.leader = 0;
    this.#watch.check();
  }

  /** Leads no longer: for a leader that cannot do what leading takes, such as writing to its disk. */
  resign(): void {
    const member = this.#member;
    if (member.isLeader) member.becomeFollower(member.term, 0);
    this.#watch.check();
  }

  /**
   * Whether others are to lead while they can. A deferred member waits for a whole election timeout more before it stands
   * for election, so that any other that is able comes first; it leads where nobody else does.
   */
  setDeferred(isDeferred: boolean): void {
    const member = this.#member;
    if (member.isDeferred === isDeferred) return;
    member.isDeferred = isDeferred;
    member.randomizeElectionTimeout();
    this.#watch.check();
  }

  /** What is committed, where this member leads and knows that from an entry of its own term; for reads by lease. */
  get committedAsLeader(): number | null {
    const { isLeader, log, term } = this.#member;
    return isLeader && log.termAt(log.committed) === term ? log.committed : null;
  }

  /** Starts an election now (with a pre-vote where that is configured), if this member may lead. */
  campaign(): void {
    campaign(this.#member, this.#member.config.preVote ? 'preVote' : 'vote');
    this.#watch.check();
  }

  /** Nothing reached the peer: what was sent optimistically is probably lost. */
  reportUnreachable(id: RaftId): void {
    const { isLeader, progress } = this.#member;
    const peer = progress.get(id);
    if (isLeader && peer?.state === 'replicate') peer.becomeProbe();
    this.#watch.check();
  }

  /** How the streaming of a snapshot to a follower ended. */
  reportSnapshot(id: RaftId, ok: boolean): void {
    const { isLeader, progress } = this.#member;
    const peer = progress.get(id);
    if (isLeader && peer !== undefined) takeSnapshotReport(peer, ok);
    this.#watch.check();
  }

  /**
   * The stream from the leader was reset, as a process that dies does to it: without waiting for the election timeout,
   * forget the leader (its lease would have early pre-votes ignored) and ask for pre-votes after a short random wait.
   */
  leaderStreamReset(id: RaftId): void {
    const member = this.#member;
    const { electionTicks, random } = member.config;
    const extra = member.isDeferred ? electionTicks : 0;
    if (member.role !== 'follower' || id === 0 || member.leader !== id || hasLeases(member.config)) return;
    member.leader = 0;
    member.earlyElectionTicks = extra + 1 + Math.floor(random() * (electionTicks - 1));
    this.#watch.check();
  }

  /**
   * A persist request is durable (and its snapshot, where it had one, is the state now); called in the order of the
   * requests. Entries count only in the term in which they were handed out, where no later ones replaced them since.
   */
  persisted(done: { term: number; index: number; snapshotIndex: number }): void {
    const member = this.#member;
    const request = this.#tracker.complete(done);
    if (done.snapshotIndex > 0) {
      member.log.snapshotInstalled(done.snapshotIndex);
      if (member.log.pendingSnapshot === null) member.supersededConfState = null;
    }
    if (done.index > 0 && done.term === member.term) member.log.durableTo(done.index, request.entryTerm);
    this.#watch.check();
  }

  appliedTo(index: number): void {
    const member = this.#member;
    const payload = member.log.appliedTo(index);
    member.uncommittedBytes = Math.max(0, member.uncommittedBytes - payload);
    leaveJointWhenDue(member);
    this.#watch.check();
  }

  /**
   * There is a snapshot file of `meta.index`: that is what followers get from now on who need entries that are gone.
   * @param through entries up to here are dropped; those between it and the snapshot stay for followers near behind
   */
  compact(meta: SnapshotMeta, through: number = meta.index): void {
    this.#member.log.compact(meta, through);
    this.#watch.check();
  }

  get term(): number {
    return this.#member.term;
  }

  get id(): RaftId {
    return this.#member.id;
  }

  /** Leadership is being handed over: nothing may be proposed meanwhile. */
  /** What the log takes in memory. */
  get logBytes(): number {
    return this.#member.log.bytes;
  }

  get isTransferring(): boolean {
    return this.#member.isLeader && this.#member.transferTarget !== 0;
  }

  hasReady(): boolean {
    return this.#tracker.hasReady();
  }

  /** Takes everything that is due; several may be under way before the first is complete. */
  ready(): Ready {
    return this.#tracker.take();
  }

  status(): RaftStatus {
    return statusOf(this.#member);
  }

  get confState(): ConfState {
    return this.#member.confState;
  }

  /** Null for what is compacted or not there. */
  termAt(index: number): number | null {
    return this.#member.log.termAt(index);
  }

  entriesFrom(index: number): readonly Entry[] {
    return this.#member.log.entriesFrom(index);
  }

  /** What peers said, since the last call, that only one that lost its log says; the newest hundred. */
  takeNotices(): readonly string[] {
    return this.#member.notices.splice(0);
  }

  /** Ticks until the next election, from when the leader was last heard of. For tests that need a certain order. */
  setElectionTimeout(ticks: number): void {
    this.#member.randomizedElectionTicks = ticks;
  }

  #tickLeader(): void {
    const member = this.#member;
    const { config } = member;
    member.electionElapsed += 1;
    member.heartbeatElapsed += 1;
    if (member.electionElapsed >= config.electionTicks) {
      member.electionElapsed = 0;
      if (config.checkQuorum) checkQuorum(member);
      // A transfer that has not succeeded within an election timeout is given up.
      member.transferTarget = 0;
      // While it lasted nothing was proposed, and no other entry need come that would leave a joint configuration.
      leaveJointWhenDue(member);
    }
    if (!member.isLeader || member.heartbeatElapsed < config.heartbeatTicks) return;
    member.heartbeatElapsed = 0;
    broadcastHeartbeat(member, member.reads.newestContext);
  }

  /** Whether the message is of this term, after what a term above or below its own makes of it. */
  #passesTermRules(message: Message): boolean {
    const member = this.#member;
    const { type, term, from } = message;
    // These are of no term: they are for whoever leads.
    if (type === 'propose' || type === 'readIndex') return true;
    if (term > member.term) {
      const asksForVote = type === 'vote' || type === 'preVote';
      if (asksForVote && heedsNoCandidate(member, message)) return false;
      // Neither a pre-vote nor its being granted has made a term yet.
      if (type !== 'preVote' && !(type === 'preVoteResp' && !message.reject)) {
        member.becomeFollower(term, isFromLeader(type) ? from : 0);
      }
      return true;
    }
    if (term === member.term) return true;
    const { config } = member;
    if ((config.checkQuorum || config.preVote) && (type === 'app' || type === 'heartbeat')) {
      // A leader that this member's later term has overtaken would never hear of it: its peers ignore candidates.
      member.send({ type: 'appResp', to: from });
    } else if (type === 'preVote') {
      // The candidate is behind; it must learn of the term, or it asks for ever.
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
        if (member.role === 'candidate') countVote(member, message);
        break;
      case 'preVoteResp':
        if (member.role === 'preCandidate') countVote(member, message);
        break;
      case 'app':
      case 'heartbeat':
      case 'snap':
        this.#takeFromLeader(message);
        break;
      case 'appResp':
      case 'heartbeatResp':
        this.#takeAnswer(message);
        break;
      case 'transferLeader':
        this.transferLeadership(message.from);
        break;
      case 'timeoutNow':
        // The leader itself asks: no pre-vote is needed, and no lease stands against it.
        if (member.role === 'follower') campaign(member, 'transfer');
        break;
      case 'readIndex':
        if (member.isLeader) beginRead(member, message.context, message.from);
        break;
      case 'readIndexResp':
        if (member.role === 'follower') {
          member.readStates.push({ context: message.context, index: message.index });
        }
        break;
      case 'forgetLeader':
        this.forgetLeader();
        break;
      case 'propose':
        takeProposal(member, message.entries);
        break;
      default:
        unreachable(message.type);
    }
  }

  #takeFromLeader(message: Message): void {
    const member = this.#member;
    if (member.isLeader || message.from === member.id) {
      member.notice(`member ${message.from} claims to lead term ${message.term}, and does not`);
      return;
    }
    if (member.role !== 'follower') member.becomeFollower(message.term, message.from);
    member.heardFromLeader(message.from);
    if (message.type === 'app') takeAppend(member, message);
    else if (message.type === 'heartbeat') takeHeartbeat(member, message);
    else takeSnapshot(member, message);
  }

  #takeAnswer(message: Message): void {
    const member = this.#member;
    const progress = member.progress.get(message.from);
    if (!member.isLeader || progress === undefined) return;
    if (message.type === 'appResp') {
      takeAppendAnswer(member, progress, message);
      return;
    }
    takeHeartbeatAnswer(member, progress, message);
    takeReadAck(member, message);
  }
}
