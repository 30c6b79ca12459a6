/**
 * The mutable heart of the core: role, term, votes, log and what is to be sent; with the moves between roles (Raft
 * paper, figure 4). Elections, replication and reads work on it from modules of their own.
 */
import type { Random } from '../../lib/random.ts';
import { RaftLog } from './log.ts';
import { Progress, type Window } from './progress.ts';
import { allMembers, allVoters } from './quorum.ts';
import type { ConfState, Entry, HardState, Message, RaftId, ReadState, Role, SnapshotMeta } from './types.ts';

export interface RaftConfig {
  readonly id: RaftId;
  /** Randomised to [electionTicks, 2 · electionTicks - 1]. */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly random: Random;
  /** Per follower. */
  readonly maxInflightMessages: number;
  readonly maxInflightBytes: number;
  /** Entries per app message; one entry always fits. */
  readonly maxMessageBytes: number;
  readonly maxUncommittedBytes: number;
  readonly maxCommittedBytesPerReady: number;
  readonly preVote: boolean;
  readonly checkQuorum: boolean;
}

export interface RecoveredState {
  readonly hardState: HardState;
  /** Index 0, term 0 and the first configuration where none was taken. */
  readonly snapshot: SnapshotMeta;
  readonly entries: readonly Entry[];
  readonly applied: number;
}

const BLANK: Omit<Message, 'type' | 'from' | 'to' | 'term'> = {
  logTerm: 0,
  index: 0,
  entries: [],
  commit: 0,
  vote: 0,
  reject: false,
  rejectHint: 0,
  snapshot: null,
  context: '',
};

/** A message without its sender, whose term is the sender's unless it says otherwise. */
export type Outgoing = Partial<Message> & Pick<Message, 'type' | 'to'>;

export class Member {
  readonly config: RaftConfig;
  readonly log: RaftLog;
  role: Role = 'follower';
  term: number;
  vote: RaftId;
  leader: RaftId = 0;
  confState: ConfState;
  /** Of every member; kept by the leader. */
  progress = new Map<RaftId, Progress>();
  votes = new Map<RaftId, boolean>();
  electionElapsed = 0;
  heartbeatElapsed = 0;
  randomizedElectionTicks = 0;
  transferTarget: RaftId = 0;
  uncommittedBytes = 0;
  /** ReadIndex rounds under way, oldest first: who asked, what was committed then, and who has confirmed. */
  reads: {
    readonly context: string;
    readonly from: RaftId;
    readonly index: number;
    readonly acks: Set<RaftId>;
  }[] = [];
  readStates: ReadState[] = [];
  messages: Message[] = [];
  /** Promises that only hold once what is being written is durable: votes and acknowledgements. */
  afterDurable: Message[] = [];
  /** What peers said that only a peer that lost its log says; for the operator. */
  notices: string[] = [];

  constructor(config: RaftConfig, recovered: RecoveredState) {
    this.config = config;
    const { hardState, snapshot, entries, applied } = recovered;
    this.term = hardState.term;
    this.vote = hardState.vote;
    this.log = new RaftLog(snapshot, entries, hardState.commit, applied);
    this.confState = snapshot.confState;
    this.resetElectionTimer();
  }

  get id(): RaftId {
    return this.config.id;
  }

  get members(): readonly RaftId[] {
    return allMembers(this.confState);
  }

  get voters(): readonly RaftId[] {
    return allVoters(this.confState);
  }

  get isVoter(): boolean {
    return this.voters.includes(this.id);
  }

  send(message: Outgoing): void {
    const complete: Message = { ...BLANK, from: this.id, term: this.term, ...message };
    const promises =
      message.type === 'appResp' || message.type === 'voteResp' || message.type === 'preVoteResp';
    (promises ? this.afterDurable : this.messages).push(complete);
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
    this.resetElectionTimer();
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
    this.heartbeatElapsed = 0;
    this.resetElectionTimer();
    this.transferTarget = 0;
    this.votes.clear();
    this.uncommittedBytes = 0;
    this.reads = [];
    this.progress = new Map(
      this.members.map((id) => {
        const match = id === this.id ? this.log.lastIndex : 0;
        return [id, new Progress(match, this.log.lastIndex + 1, this.#window())];
      }),
    );
  }

  resetElectionTimer(): void {
    const { electionTicks, random } = this.config;
    this.electionElapsed = 0;
    this.randomizedElectionTicks = electionTicks + Math.floor(random() * electionTicks);
  }

  #window(): Window {
    return { maxMessages: this.config.maxInflightMessages, maxBytes: this.config.maxInflightBytes };
  }
}
