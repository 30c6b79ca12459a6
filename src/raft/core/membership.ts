/** Proposals of the leader, and what an applied change of membership does to it (Raft dissertation, chapter 4). */
import { changeConfiguration, isJoint, leavesJoint, type ConfChange } from './confchange.ts';
import { decodeConfChange, encodeConfChange, LEAVE_JOINT } from './confchange-codec.ts';
import { payloadBytes } from './log.ts';
import type { Member } from './member.ts';
import { appendOwn, broadcastAppend, maybeCommit, sendAppend, type Payload } from './replication.ts';
import type { ConfState, Entry, RaftId } from './types.ts';

export type ProposeResult =
  /** Term and index of the first entry; both 0 where the proposal was forwarded to the leader. */
  | { readonly type: 'accepted'; readonly term: number; readonly index: number }
  | {
      readonly type: 'refused';
      readonly reason: 'notLeader' | 'transferring' | 'overloaded' | 'pendingConfChange';
      readonly leader: RaftId;
    };

const EMPTY: Payload = { type: 'normal', data: new Uint8Array() };

/** A proposal of this member's own. */
export function propose(member: Member, payloads: readonly Payload[]): ProposeResult {
  if (member.isLeader) return proposeAsLeader(member, payloads);
  const { leader, config } = member;
  const mayForward = leader !== 0 && member.role === 'follower' && config.forwardProposals === true;
  if (!mayForward) return { type: 'refused', reason: 'notLeader', leader };
  const entries: Entry[] = payloads.map(({ type, data }) => ({ term: 0, index: 0, type, data }));
  member.send({ type: 'propose', to: leader, term: 0, entries });
  return { type: 'accepted', term: 0, index: 0 };
}

export function proposeConfChange(member: Member, change: ConfChange): ProposeResult {
  const { leader } = member;
  if (member.isLeader && conflictWith(member, change) !== null) {
    return { type: 'refused', reason: 'pendingConfChange', leader };
  }
  return propose(member, [{ type: 'confChange', data: encodeConfChange(change) }]);
}

/** Of a member that forwarded it; a change that cannot be made now leaves an empty entry in its place. */
export function takeProposal(member: Member, entries: readonly Entry[]): void {
  if (!member.isLeader) {
    propose(member, entries);
    return;
  }
  let hasChange = false;
  const payloads = entries.map(({ type, data }) => {
    if (type === 'normal') return { type, data };
    const change = decodeConfChange(data);
    if (change === null || hasChange || conflictWith(member, change) !== null) return EMPTY;
    hasChange = true;
    return { type, data };
  });
  proposeAsLeader(member, payloads);
}

/** Does what a committed entry says about the membership; what is invalid changes nothing, on every replica alike. */
export function applyConfChange(member: Member, entry: Entry): ConfState {
  if (entry.index <= member.confIndex) return applySuperseded(member, entry);
  changeMembership(member, entry);
  const own = member.progress.get(member.id);
  if (!member.isLeader) return member.confState;
  if (own === undefined || own.isLearner) {
    if (member.config.stepDownOnRemoval === true) member.becomeFollower(member.term, 0);
    return member.confState;
  }
  // Fewer voters may be enough for what is in the log already; who is new need not wait for the next heartbeat.
  if (maybeCommit(member)) broadcastAppend(member);
  else for (const id of member.progress.keys()) if (id !== member.id) sendAppend(member, id, false);
  const { transferTarget, voters } = member;
  if (transferTarget !== 0 && !voters.includes(transferTarget)) member.transferTarget = 0;
  return member.confState;
}

/** Without what only a leader does: also for entries that were applied before a restart. */
export function changeMembership(member: Member, entry: Entry): void {
  const change = decodeConfChange(entry.data);
  if (change === null) return;
  const changed = changeConfiguration(member.confState, change);
  if (changed.type !== 'changed') return;
  member.setConfiguration(entry.index, changed.confState, changed.members);
}

/** The configuration in force is that of a snapshot beyond the entry, which the host has not installed yet. */
function applySuperseded(member: Member, entry: Entry): ConfState {
  const { supersededConfState } = member;
  if (supersededConfState === null) return member.confState;
  const change = decodeConfChange(entry.data);
  const changed = change === null ? null : changeConfiguration(supersededConfState, change);
  if (changed?.type === 'changed') member.supersededConfState = changed.confState;
  return member.supersededConfState ?? supersededConfState;
}

/** Called with every applied index, and after a transfer: the last of an automatic change leaves the joint configuration. */
export function leaveJointWhenDue(member: Member): void {
  const { log, confState, pendingConfIndex } = member;
  if (!member.isLeader || !confState.autoLeave || log.applied < pendingConfIndex) return;
  // Refused while leadership is being transferred; then the end of the transfer tries again, or the next leader.
  proposeConfChange(member, LEAVE_JOINT);
}

/** How many of these, in their order, the bound on what is uncommitted leaves room for at present. */
export function countFitting(member: Member, proposals: readonly { readonly data: Uint8Array }[]): number {
  if (!member.isLeader) return Number.POSITIVE_INFINITY;
  let bytes = member.uncommittedBytes;
  let count = 0;
  for (const { data } of proposals) {
    const { byteLength } = data;
    // One proposal always fits, and empty ones (a leader's first, a joint configuration's last) are never refused.
    if (bytes > 0 && byteLength > 0 && bytes + byteLength > member.config.maxUncommittedBytes) break;
    bytes += byteLength;
    count += 1;
  }
  return count;
}

function proposeAsLeader(member: Member, payloads: readonly Payload[]): ProposeResult {
  const { leader, log, term, transferTarget, progress, id } = member;
  // Removed, and leading on only until somebody else does.
  if (!progress.has(id)) return { type: 'refused', reason: 'notLeader', leader: 0 };
  if (transferTarget !== 0) return { type: 'refused', reason: 'transferring', leader };
  if (countFitting(member, payloads) < payloads.length)
    return { type: 'refused', reason: 'overloaded', leader };
  if (payloads.length === 0) return { type: 'accepted', term, index: log.lastIndex + 1 };
  member.uncommittedBytes += payloadBytes(payloads);
  const index = appendOwn(member, payloads);
  const position = payloads.findLastIndex(({ type }) => type === 'confChange');
  if (position >= 0) member.pendingConfIndex = index + position;
  broadcastAppend(member);
  return { type: 'accepted', term, index };
}

/** Why the change must not enter the log now; null where it may. */
function conflictWith(member: Member, change: ConfChange): string | null {
  if (member.config.disableConfChangeValidation === true) return null;
  if (member.pendingConfIndex > member.log.applied) return 'a change may be pending';
  const joint = isJoint(member.confState);
  if (joint && !leavesJoint(change)) return 'the joint configuration must be left first';
  if (!joint && leavesJoint(change)) return 'there is no joint configuration to leave';
  return null;
}
