/**
 * ReadIndex (Raft dissertation, section 6.4): what was committed when a round began may be read once a quorum, asked
 * after the round began, still takes this member for its leader.
 */
import type { Member } from './member.ts';
import { jointVote } from './quorum.ts';
import { broadcastHeartbeat } from './replication.ts';
import type { Message, RaftId } from './types.ts';

export type ReadResult =
  | { readonly type: 'accepted' }
  | { readonly type: 'refused'; readonly reason: 'notLeader' | 'noOwnTermCommit'; readonly leader: RaftId };

/** Until an entry of its own term is committed a leader does not know what its predecessors had committed. */
function hasOwnTermCommit(member: Member): boolean {
  return member.log.termAt(member.log.committed) === member.term;
}

/** A read of this member's own. */
export function requestRead(member: Member, context: string): ReadResult {
  const { id, leader, config } = member;
  if (member.isLeader) {
    return beginRead(member, context, id)
      ? { type: 'accepted' }
      : { type: 'refused', reason: 'noOwnTermCommit', leader };
  }
  if (leader === 0 || config.forwardProposals !== true) {
    return { type: 'refused', reason: 'notLeader', leader };
  }
  member.send({ type: 'readIndex', to: leader, context });
  return { type: 'accepted' };
}

/** @param from whom the answer goes to @returns whether the leader may answer reads at all yet */
export function beginRead(member: Member, context: string, from: RaftId): boolean {
  const { log, config, voters } = member;
  if (!hasOwnTermCommit(member)) return false;
  const isAlone = voters.length === 1 && voters[0] === member.id;
  if (isAlone || config.readOnly === 'lease') {
    answerRead(member, { context, from, index: log.committed });
    return true;
  }
  member.reads.add(context, from, log.committed, member.id);
  broadcastHeartbeat(member, context);
  return true;
}

/** Leader: a heartbeat of a round was answered. */
export function takeReadAck(member: Member, message: Message): void {
  const round = message.context === '' ? undefined : member.reads.find(message.context);
  if (round === undefined) return;
  round.acks.add(message.from);
  const result = jointVote(member.confState, (id) => (round.acks.has(id) ? true : undefined));
  if (result !== 'won') return;
  for (const confirmed of member.reads.takeThrough(round)) answerRead(member, confirmed);
}

function answerRead(member: Member, round: { context: string; from: RaftId; index: number }): void {
  const { context, from, index } = round;
  if (from === member.id) member.readStates.push({ context, index });
  else member.send({ type: 'readIndexResp', to: from, context, index });
}
