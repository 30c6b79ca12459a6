/**
 * The mutable heart of the core: role, term, votes, log, what is known of the other members, and what is to be sent;
 * with the moves between roles (Raft paper, figure 4). Elections, replication, membership and reads work on it from
 * modules of their own.
 */
import type { MemberOrigin } from './confchange.ts';
import { validateConfig, type RaftConfig, type RecoveredState } from './config.ts';
import { Inflights } from './inflights.ts';
import { RaftLog } from './log.ts';
import { makeMessage, waitsForDurability, type Outgoing } from './messages.ts';
import { Progress } from './progress.ts';
import { allMembers, allVoters } from './quorum.ts';
import { ReadRounds } from './read-rounds.ts';
import type { ConfState, Message, RaftId, ReadState, Role } from './types.ts';

/** Kept until taken; beyond it the oldest goes. */
const NOTICES_KEPT = 100;

export class Member {
  readonly config: RaftConfig;
  readonly id: RaftId;
  readonly log: RaftLog;
  role: Role = 'follower';
  term: number;
  vote: RaftId;
  leader: RaftId = 0;
  #confState: ConfState;
  #voters: readonly RaftId[];
  /** Index of the entry or snapshot that the configuration comes from. */
  confIndex: number;
  /** While a snapshot is being installed: the configuration of what the host is still applying below it. */
  supersededConfState: ConfState | null = null;
  /** Of every member, ascending by id; it means something on the leader only. */
  progress = new Map<RaftId, Progress>();
  votes = new Map<RaftId, boolean>();
  electionElapsed = 0;
  heartbeatElapsed = 0;
  randomizedElectionTicks = 0;
  /** Ticks until an election is tried because the leader's process is gone; 0 for none. */
  earlyElectionTicks = 0;
  /** Others are to lead while they can: it waits longer than any of them before it stands for election. */
  isDeferred = false;
  /** Ticks since this member began without having heard of a leader: a lease from before may still hold. */
  quietTicks = 0;
  /** Elections that it has stood in, pre-votes not among them. */
  elections = 0;
  transferTarget: RaftId = 0;
  /** A change of membership may be pending up to this index; no other is proposed before it is applied. */
  pendingConfIndex = 0;
  /** Payload that this leader proposed and that is not applied here yet. */
  uncommittedBytes = 0;
  reads = new ReadRounds();
  readStates: ReadState[] = [];
  messages: Message[] = [];
  /** What only holds once what is being written is durable: votes, asked for and given, and acknowledgements. */
  afterDurable: Message[] = [];
  /** What peers said that only a peer that lost its log says; for the operator. */
  notices: string[] = [];

  constructor(config: RaftConfig, recovered: RecoveredState) {
    validateConfig(config);
    this.config = config;
    this.id = config.id;
    const { hardState, snapshot, entries, applied } = recovered;
    this.term = hardState.term;
    this.vote = hardState.vote;
    this.log = new RaftLog({
      snapshot,
      entries,
      committed: hardState.commit,
      applied,
      maxApplyingBytes: config.maxCommittedBytesPerReady,
    });
    this.#confState = snapshot.confState;
    this.#voters = allVoters(snapshot.confState);
    this.confIndex = snapshot.index;
    this.reset(this.term);
  }

  get confState(): ConfState {
    return this.#confState;
  }

  /** Of the incoming and the outgoing configuration. */
  get voters(): readonly RaftId[] {
    return this.#voters;
  }

  /** Whether it may lead: a member that votes, and whose state is not being replaced by a snapshot. */
  get isPromotable(): boolean {
    return this.#voters.includes(this.id) && this.log.pendingSnapshot === null;
  }

  get isLeader(): boolean {
    return this.role === 'leader';
  }

  /** Takes the configuration of an index; members that it keeps keep their progress. */
  setConfiguration(index: number, confState: ConfState, members: ReadonlyMap<RaftId, MemberOrigin>): void {
    this.confIndex = index;
    this.#confState = confState;
    this.#voters = allVoters(confState);
    const before = this.progress;
    this.progress = new Map();
    for (const id of allMembers(confState)) {
      const isLearner = confState.learners.includes(id);
      const kept = members.get(id) === 'kept' ? before.get(id) : undefined;
      if (kept === undefined) {
        // Probed at the end of the log; and taken to be active, else a check-quorum before its first answer counts it out.
        const added = this.#makeProgress(0, Math.max(this.log.lastIndex, 1), isLearner);
        added.recentActive = true;
        this.progress.set(id, added);
      } else {
        kept.isLearner = isLearner;
        this.progress.set(id, kept);
      }
    }
  }

  /** Messages leave with the Ready; promises when what they promise is durable. */
  send(message: Outgoing): void {
    const complete = makeMessage({ from: this.id, term: this.term, ...message });
    const isEarly = message.type === 'vote' && this.config.campaignBeforeDurable === true;
    (waitsForDurability(message.type) && !isEarly ? this.afterDurable : this.messages).push(complete);
  }

  notice(text: string): void {
    this.notices.push(text);
    if (this.notices.length > NOTICES_KEPT) this.notices.shift();
  }

  becomeFollower(term: number, leader: RaftId): void {
    this.reset(term);
    this.leader = leader;
    this.role = 'follower';
  }

  /** Asks whether it would win, and changes neither term nor vote (dissertation, section 9.6). */
  becomePreCandidate(): void {
    this.role = 'preCandidate';
    this.votes.clear();
    this.leader = 0;
  }

  becomeCandidate(): void {
    this.reset(this.term + 1);
    this.vote = this.id;
    this.role = 'candidate';
  }

  /** The caller appends the empty entry of the new term. */
  becomeLeader(): void {
    this.reset(this.term);
    this.leader = this.id;
    this.role = 'leader';
    // Its predecessors' entries may hold a change of membership that it does not know to be committed.
    this.pendingConfIndex = this.log.lastIndex;
    const own = this.progress.get(this.id);
    own?.becomeReplicate();
    if (own !== undefined) own.recentActive = true;
  }

  reset(term: number): void {
    if (this.term !== term) {
      this.term = term;
      this.vote = 0;
    }
    this.leader = 0;
    this.electionElapsed = 0;
    this.heartbeatElapsed = 0;
    this.earlyElectionTicks = 0;
    this.randomizeElectionTimeout();
    this.transferTarget = 0;
    this.votes.clear();
    this.pendingConfIndex = 0;
    this.uncommittedBytes = 0;
    this.reads = new ReadRounds();
    const next = this.log.lastIndex + 1;
    this.progress = new Map();
    for (const id of allMembers(this.#confState)) {
      // Only what is durable counts here too; the rest is counted when its own append is.
      const match = id === this.id ? this.log.durable : 0;
      this.progress.set(id, this.#makeProgress(match, next, this.#confState.learners.includes(id)));
    }
  }

  randomizeElectionTimeout(): void {
    const { electionTicks, random } = this.config;
    const extra = this.isDeferred ? electionTicks : 0;
    this.randomizedElectionTicks = extra + electionTicks + Math.floor(random() * electionTicks);
  }

  heardFromLeader(leader: RaftId): void {
    this.electionElapsed = 0;
    this.earlyElectionTicks = 0;
    this.leader = leader;
  }

  #makeProgress(match: number, next: number, isLearner: boolean): Progress {
    const { maxInflightMessages, maxInflightBytes } = this.config;
    return new Progress(match, next, isLearner, new Inflights(maxInflightMessages, maxInflightBytes));
  }
}
