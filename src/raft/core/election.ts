/** Elections: pre-vote, vote and check-quorum (Raft paper, section 5.2; dissertation, sections 4.2.3, 6.2 and 9.6). */
import type { Member } from './member.ts';
import { jointVote } from './quorum.ts';
import { appendOwn, broadcastAppend } from './replication.ts';
import type { Message } from './types.ts';

/** Context of votes that are asked for on the leader's own order: no lease stands against them. */
const FORCED = 'transfer';

/** Starts an election, where this member may: a voter that holds no unapplied configuration change. */
export function campaign(member: Member, kind: 'preVote' | 'vote' | 'transfer'): void {
  if (member.isLeader || !member.isPromotable || member.log.hasUnappliedConfChange()) return;
  askForVotes(member, kind);
}

/** Before the timeout a follower whose leader's process is gone tries first. */
export function tickElection(member: Member): void {
  member.electionElapsed += 1;
  member.quietTicks += 1;
  let isDue = member.electionElapsed >= member.randomizedElectionTicks;
  if (member.earlyElectionTicks > 0) {
    member.earlyElectionTicks -= 1;
    isDue ||= member.earlyElectionTicks === 0;
  }
  if (!isDue || !member.isPromotable) return;
  member.electionElapsed = 0;
  campaign(member, member.config.preVote ? 'preVote' : 'vote');
}

/** Within the lease of a leader that it heard of, a member neither votes nor lets its term be raised. */
export function heedsNoCandidate(member: Member, message: Message): boolean {
  const { config, leader, electionElapsed } = member;
  const isInLease = config.checkQuorum && leader !== 0 && electionElapsed < config.electionTicks;
  return (isInLease || mayHavePromised(member)) && message.context !== FORCED;
}

/**
 * With lease reads a leader counts on what its followers acknowledged, also before a restart that made them forget whom
 * they had heard of: for an election timeout after it they heed no candidate.
 */
function mayHavePromised({ config, quietTicks }: Member): boolean {
  return config.keepsLeases === true && quietTicks < config.electionTicks;
}

/** A vote that is asked for, of this term or (pre-vote) a later one. */
export function answerVoteRequest(member: Member, message: Message): void {
  const { from, term } = message;
  const pre = message.type === 'preVote';
  const canVote =
    member.vote === from || (member.vote === 0 && member.leader === 0) || (pre && term > member.term);
  const type = pre ? 'preVoteResp' : 'voteResp';
  // Learners vote too when asked: the asker may know of a configuration in which they are voters already.
  const isTie = pre && losesTie(member, message);
  if (!canVote || isTie || !member.log.isUpToDate(message.index, message.logTerm)) {
    member.send({ type, to: from, reject: true, ...farewell(member) });
    return;
  }
  // A pre-vote is granted in the term it is about: the asker would discard an answer of a term below its own.
  member.send({ type, to: from, term });
  if (!pre) {
    member.electionElapsed = 0;
    member.earlyElectionTicks = 0;
    member.vote = from;
  }
}

/**
 * Whether the sender is to leave the election to this member, which asks at the same moment. Only for a while: one that
 * asks on and on and is not heard must not keep the other from being elected.
 */
function losesTie({ config, role, id, log, electionElapsed }: Member, message: Message): boolean {
  return (
    config.breaksTies === true &&
    role === 'preCandidate' &&
    electionElapsed < config.electionTicks / 2 &&
    id < message.from &&
    message.index === log.lastIndex &&
    message.logTerm === log.lastTerm
  );
}

/** An answer to this (pre-)candidate. */
export function countVote(member: Member, message: Message): void {
  const { from, reject, commit, logTerm } = message;
  const { log } = member;
  if (reject && commit > log.committed && log.matches(commit, logTerm)) log.commitTo(commit);
  if (!member.votes.has(from)) member.votes.set(from, !reject);
  const result = jointVote(member.confState, (id) => member.votes.get(id));
  if (result === 'lost') {
    member.becomeFollower(member.term, 0);
  } else if (result === 'won' && member.role === 'preCandidate') {
    askForVotes(member, 'vote');
  } else if (result === 'won') {
    member.becomeLeader();
    appendOwn(member, [{ type: 'normal', data: new Uint8Array() }]);
    broadcastAppend(member);
  }
}

/**
 * One that is no voter any more tells whoever still asks for its vote what is committed: the asker may need to learn
 * that, and no more, to apply the change that makes this vote superfluous. Else a leader that was removed and holds
 * more than its only successor would block it for ever.
 */
function farewell(member: Member): Pick<Message, 'commit' | 'logTerm'> {
  const { voters, id, log } = member;
  if (voters.includes(id)) return { commit: 0, logTerm: 0 };
  return { commit: log.committed, logTerm: log.termAt(log.committed) ?? 0 };
}

/** A leader that has not heard of a majority for an election timeout steps down. */
export function checkQuorum(member: Member): void {
  const result = jointVote(
    member.confState,
    (id) => id === member.id || member.progress.get(id)?.recentActive === true,
  );
  if (result !== 'won') {
    member.becomeFollower(member.term, 0);
    return;
  }
  for (const [id, progress] of member.progress) if (id !== member.id) progress.recentActive = false;
}

function askForVotes(member: Member, kind: 'preVote' | 'vote' | 'transfer'): void {
  const pre = kind === 'preVote';
  if (pre) member.becomePreCandidate();
  else member.becomeCandidate();
  if (!pre) member.elections += 1;
  // A pre-vote asks about the term after this one, without entering it.
  const term = pre ? member.term + 1 : member.term;
  for (const to of member.voters) {
    if (to === member.id) {
      // Its own vote counts like any other: when it is durable.
      member.send({ type: pre ? 'preVoteResp' : 'voteResp', to, term });
      continue;
    }
    member.send({
      type: pre ? 'preVote' : 'vote',
      to,
      term,
      index: member.log.lastIndex,
      logTerm: member.log.lastTerm,
      context: kind === 'transfer' ? FORCED : '',
    });
  }
}
