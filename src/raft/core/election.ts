/** Elections: pre-vote, vote and check-quorum (Raft paper, section 5.2; dissertation, sections 4.2.3, 6.2 and 9.6). */
import { broadcastAppend, appendOwn } from './replication.ts';
import type { Member } from './member.ts';
import { jointVote } from './quorum.ts';
import type { Message, RaftId } from './types.ts';

/** Context of votes that are asked for on the leader's own order. */
export const FORCED = 'transfer';

/** Starts an election, where this member may: a voter that holds no unapplied configuration change. */
export function campaign(member: Member, kind: 'preVote' | 'vote' | 'transfer'): void {
  const { log } = member;
  if (member.role === 'leader' || !member.isVoter) return;
  if (log.pendingSnapshot !== null || log.hasUnappliedConfChange()) return;
  const pre = kind === 'preVote';
  if (pre) member.becomePreCandidate();
  else member.becomeCandidate();
  // A pre-vote asks about the term after this one, without entering it.
  const term = pre ? member.term + 1 : member.term;
  for (const to of member.voters) {
    if (to === member.id) {
      member.send({ type: pre ? 'preVoteResp' : 'voteResp', to, term });
      continue;
    }
    member.send({
      type: pre ? 'preVote' : 'vote',
      to,
      term,
      index: log.lastIndex,
      logTerm: log.lastTerm,
      context: kind === 'transfer' ? FORCED : '',
    });
  }
}

/** A vote that is asked for, of this term or a later one. */
export function answerVoteRequest(member: Member, message: Message): void {
  const { from, term } = message;
  const pre = message.type === 'preVote';
  const canVote =
    member.vote === from || (member.vote === 0 && member.leader === 0) || (pre && term > member.term);
  const type = pre ? 'preVoteResp' : 'voteResp';
  if (!canVote || !member.log.isUpToDate(message.index, message.logTerm)) {
    member.send({ type, to: from, reject: true });
    return;
  }
  // A pre-vote is granted in the term it is about; its asker may be behind, and would discard an answer of its own term.
  member.send({ type, to: from, term });
  if (!pre) {
    member.electionElapsed = 0;
    member.vote = from;
  }
}

/** An answer to this (pre-)candidate. */
export function countVote(member: Member, from: RaftId, granted: boolean): void {
  if (!member.votes.has(from)) member.votes.set(from, granted);
  switch (jointVote(member.confState, (id) => member.votes.get(id))) {
    case 'won':
      if (member.role === 'preCandidate') {
        campaign(member, 'vote');
      } else {
        member.becomeLeader();
        appendOwn(member, [{ type: 'normal', data: new Uint8Array() }]);
        broadcastAppend(member);
      }
      break;
    case 'lost':
      member.becomeFollower(member.term, 0);
      break;
    case 'pending':
      break;
  }
}

/** Within the lease of a leader that it heard of, a member neither votes nor lets its term be raised. */
export function isInLease(member: Member): boolean {
  return (
    member.config.checkQuorum && member.leader !== 0 && member.electionElapsed < member.config.electionTicks
  );
}

/** A leader that has not heard of a majority for an election timeout steps down. */
export function checkQuorum(member: Member): void {
  const active = jointVote(
    member.confState,
    (id) => id === member.id || member.progress.get(id)?.recentActive === true,
  );
  if (active !== 'won') {
    member.becomeFollower(member.term, 0);
    return;
  }
  for (const [id, progress] of member.progress) if (id !== member.id) progress.recentActive = false;
}
