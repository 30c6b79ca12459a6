/** Replication (Raft paper, section 5.3), with per-follower flow control and hints that skip a term at a time. */
import type { Member } from './member.ts';
import type { Progress } from './progress.ts';
import { jointCommitted } from './quorum.ts';
import type { Entry, Message, RaftId } from './types.ts';

/** Appends entries of the leader's own term; they count here once they are durable. @returns the first's index */
export function appendOwn(member: Member, payloads: readonly Pick<Entry, 'type' | 'data'>[]): number {
  const { log, term } = member;
  const first = log.lastIndex + 1;
  log.append(payloads.map(({ type, data }, at) => ({ term, index: first + at, type, data })));
  member.send({ type: 'appResp', to: member.id, index: log.lastIndex });
  return first;
}

export function broadcastAppend(member: Member): void {
  for (const id of member.progress.keys()) if (id !== member.id) sendAppend(member, id, true);
}

/** @param evenEmpty also without entries, to tell of the commit index @returns whether a message was sent */
export function sendAppend(member: Member, to: RaftId, evenEmpty: boolean): boolean {
  const progress = member.progress.get(to);
  if (progress === undefined || progress.isPaused) return false;
  const { log, config } = member;
  const previous = progress.next - 1;
  const logTerm = log.termAt(previous);
  if (logTerm === null) return sendSnapshot(member, to, progress);
  const full = progress.state === 'replicate' && progress.isWindowFull;
  const entries = full ? [] : log.slice(progress.next, config.maxMessageBytes);
  if (entries.length === 0 && !evenEmpty) return false;
  member.send({ type: 'app', to, index: previous, logTerm, entries, commit: log.committed });
  const bytes = entries.reduce((sum, entry) => sum + entry.data.byteLength, 0);
  progress.sent(entries.length, bytes);
  progress.sentCommit = log.committed;
  return true;
}

/** What the follower needs is compacted: it must have the snapshot first. */
function sendSnapshot(member: Member, to: RaftId, progress: Progress): boolean {
  if (!progress.recentActive) return false;
  const { base } = member.log;
  progress.becomeSnapshot(base.index);
  member.send({ type: 'snap', to, snapshot: { ...base, confState: base.confState } });
  return true;
}

export function broadcastHeartbeat(member: Member, context: string): void {
  for (const [to, progress] of member.progress) {
    if (to === member.id) continue;
    // Never beyond what the follower is known to hold: it could not tell a commit of entries that it lacks.
    const commit = Math.min(progress.match, member.log.committed);
    progress.sentCommit = Math.max(progress.sentCommit, commit);
    member.send({ type: 'heartbeat', to, commit, context });
  }
}

/** Follower: entries of the leader of this term. */
export function takeAppend(member: Member, message: Message): void {
  const { log } = member;
  const { from, index } = message;
  if (index < log.committed) {
    member.send({ type: 'appResp', to: from, index: log.committed });
    return;
  }
  const last = log.maybeAppend(index, message.logTerm, message.entries, message.commit);
  if (last !== null) {
    member.send({ type: 'appResp', to: from, index: last });
    return;
  }
  const hint = log.findConflictByTerm(Math.min(index, log.lastIndex), message.logTerm);
  member.send({
    type: 'appResp',
    to: from,
    index,
    reject: true,
    rejectHint: hint.index,
    logTerm: hint.term,
  });
}

/** Follower: the leader lives; its commit index never exceeds what it knows this follower to hold. */
export function takeHeartbeat(member: Member, message: Message): void {
  if (message.commit > member.log.lastIndex) {
    member.notices.push(
      `the leader believes index ${message.commit} to be here; the log ends at ${member.log.lastIndex}`,
    );
  }
  member.log.commitTo(Math.min(message.commit, member.log.lastIndex));
  member.send({ type: 'heartbeatResp', to: message.from, context: message.context });
}

/** Follower: a snapshot whose file the shell has received and verified. */
export function takeSnapshot(member: Member, message: Message): void {
  const { log } = member;
  const { snapshot, from } = message;
  if (snapshot === null) return;
  if (snapshot.index > log.committed) {
    if (log.matches(snapshot.index, snapshot.term)) {
      log.commitTo(snapshot.index);
    } else {
      log.restore(snapshot);
      member.confState = snapshot.confState;
    }
  }
  member.send({ type: 'appResp', to: from, index: log.committed });
}

/** Leader: a follower's answer to an append; the leader's own arrives when its entries are durable. */
export function takeAppendAnswer(member: Member, message: Message): void {
  const { from } = message;
  const progress = member.progress.get(from);
  if (progress === undefined) return;
  progress.recentActive = true;
  if (message.reject) takeRejection(member, progress, message);
  else takeAcknowledgement(member, progress, message);
}

function takeRejection(member: Member, progress: Progress, message: Message): void {
  const { log } = member;
  if (message.index <= progress.match && message.rejectHint < progress.match) {
    member.notices.push(
      `member ${message.from} rejects index ${message.index}, having acknowledged ${progress.match}: it lost part of its log`,
    );
    progress.match = 0;
    progress.becomeProbe();
    progress.next = message.rejectHint + 1;
    sendAppend(member, message.from, true);
    return;
  }
  let hint = message.rejectHint;
  if (message.logTerm > 0) hint = log.findConflictByTerm(hint, message.logTerm).index;
  if (!progress.decreaseTo(message.index, hint)) return;
  if (progress.state === 'replicate') progress.becomeProbe();
  sendAppend(member, message.from, true);
}

function takeAcknowledgement(member: Member, progress: Progress, message: Message): void {
  const { log } = member;
  const { from } = message;
  // What nobody appended cannot be acknowledged; a forged or corrupt index must not commit anything.
  if (message.index > log.lastIndex) return;
  const news = progress.acknowledge(message.index);
  if (news || (progress.match === message.index && progress.state === 'probe')) {
    if (progress.state === 'probe') {
      progress.becomeReplicate();
    } else if (progress.state === 'snapshot') {
      if (progress.match + 1 >= log.firstIndex) {
        progress.becomeProbe();
        progress.becomeReplicate();
      }
    } else {
      progress.freeInflight(message.index);
    }
    if (maybeCommit(member)) broadcastAppend(member);
    else if (from !== member.id && log.committed > progress.sentCommit) sendAppend(member, from, true);
    // Freed room may take several messages.
    if (from !== member.id) while (sendAppend(member, from, false));
    if (from === member.transferTarget && progress.match === log.lastIndex) {
      member.send({ type: 'timeoutNow', to: from });
    }
  }
}

/** By counting only entries of the leader's own term are committed; earlier ones with them (paper, section 5.4.2). */
export function maybeCommit(member: Member): boolean {
  const { log } = member;
  const index = jointCommitted(member.confState, (id) => member.progress.get(id)?.match ?? 0);
  if (!Number.isFinite(index) || index <= log.committed || log.termAt(index) !== member.term) return false;
  for (const entry of log.slice(log.committed + 1, Number.MAX_SAFE_INTEGER, index)) {
    member.uncommittedBytes = Math.max(0, member.uncommittedBytes - entry.data.byteLength);
  }
  log.commitTo(index);
  return true;
}
