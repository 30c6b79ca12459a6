/**
 * ReadIndex (Raft dissertation, section 6.4): what was committed when a round began may be read once a quorum, asked
 * after the round began, still takes this member for its leader.
 */
import type { Member } from './member.ts';
import { jointVote } from './quorum.ts';
import { broadcastHeartbeat } from './replication.ts';
import type { Message, RaftId } from './types.ts';

/** Until an entry of its own term is committed a leader does not know what its predecessors had committed. */
export function mayRead(member: Member): boolean {
  return member.role === 'leader' && member.log.termAt(member.log.committed) === member.term;
}

/** @param from whom the answer goes to: this member itself, or the follower that asked */
export function beginRead(member: Member, context: string, from: RaftId): void {
  const round = { context, from, index: member.log.committed, acks: new Set([member.id]) };
  member.reads.push(round);
  if (isConfirmed(member, round.acks)) {
    finishReads(member, round.context);
    return;
  }
  broadcastHeartbeat(member, context);
}

export function takeHeartbeatContext(member: Member, message: Message): void {
  const round = member.reads.find(({ context }) => context === message.context);
  if (round === undefined) return;
  round.acks.add(message.from);
  if (isConfirmed(member, round.acks)) finishReads(member, round.context);
}

/** Repeated with the next heartbeat: an acknowledgement may have been lost. */
export function newestReadContext(member: Member): string {
  return member.reads.at(-1)?.context ?? '';
}

function isConfirmed(member: Member, acks: ReadonlySet<RaftId>): boolean {
  return jointVote(member.confState, (id) => (acks.has(id) ? true : undefined)) === 'won';
}

/** A confirmed round confirms all that began before it. */
function finishReads(member: Member, context: string): void {
  const end = member.reads.findIndex((round) => round.context === context);
  for (const round of member.reads.splice(0, end + 1)) {
    if (round.from === member.id) member.readStates.push({ context: round.context, index: round.index });
    else member.send({ type: 'readIndexResp', to: round.from, context: round.context, index: round.index });
  }
}
