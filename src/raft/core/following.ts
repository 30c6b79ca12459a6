/** The follower's side of replication (Raft paper, sections 5.3 and 7). */
import type { Member } from './member.ts';
import type { Message } from './types.ts';

/** Entries of the leader of this term. */
export function takeAppend(member: Member, message: Message): void {
  const { log } = member;
  const { from, index, logTerm } = message;
  if (index < log.committed) {
    // An old message: what is committed matches any leader's log.
    member.send({ type: 'appResp', to: from, index: log.committed });
    return;
  }
  const last = log.maybeAppend(index, logTerm, message.entries, message.commit);
  if (last !== null) {
    member.send({ type: 'appResp', to: from, index: last });
    return;
  }
  // Where the leader's log had `logTerm` at `index`, no entry here of a later term can match it.
  const hint = log.findConflictByTerm(Math.min(index, log.lastIndex), logTerm);
  member.send({
    type: 'appResp',
    to: from,
    index,
    reject: true,
    rejectHint: hint.index,
    logTerm: hint.term,
  });
}

/** The leader lives; its commit index never exceeds what this member acknowledged. */
export function takeHeartbeat(member: Member, message: Message): void {
  const { from, commit, context } = message;
  const { lastIndex } = member.log;
  if (commit > lastIndex) {
    member.notice(`the leader believes entry ${commit} to be here; the log ends at ${lastIndex}`);
    member.send({ type: 'heartbeatResp', to: from, context, reject: true, rejectHint: lastIndex });
    return;
  }
  member.log.commitTo(commit);
  member.send({ type: 'heartbeatResp', to: from, context });
}

/** A snapshot whose rows the shell holds and has verified. */
export function takeSnapshot(member: Member, message: Message): void {
  const { log } = member;
  restore(member, message);
  member.send({ type: 'appResp', to: message.from, index: log.committed });
}

function restore(member: Member, message: Message): void {
  const { log } = member;
  const { snapshot } = message;
  if (snapshot === null || snapshot.index <= log.committed) return;
  const { index, term, confState } = snapshot;
  if (log.matches(index, term)) {
    // The log holds it all: nothing need be replaced.
    log.commitTo(index);
    return;
  }
  // It may be older than the change that added this member: that follows in the log.
  log.restore(snapshot);
  member.supersededConfState ??= member.confState;
  member.setConfiguration(index, confState, new Map());
}
