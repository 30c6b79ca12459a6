/**
 * The leader's side of replication (Raft paper, section 5.3), with per-follower flow control and with hints that skip
 * a term at a time.
 */
import { payloadBytes } from './log.ts';
import type { Member } from './member.ts';
import type { Progress } from './progress.ts';
import { jointCommitted } from './quorum.ts';
import type { Entry, Message, RaftId } from './types.ts';

export type Payload = Pick<Entry, 'type' | 'data'>;

/** Appends entries of the leader's own term; they count here once they are durable. @returns the first's index */
export function appendOwn(member: Member, payloads: readonly Payload[]): number {
  const { log, term } = member;
  const first = log.lastIndex + 1;
  log.append(payloads.map(({ type, data }, at) => ({ term, index: first + at, type, data })));
  member.send({ type: 'appResp', to: member.id, index: log.lastIndex });
  return first;
}

export function broadcastAppend(member: Member): void {
  for (const id of member.progress.keys()) if (id !== member.id) sendAppend(member, id, true);
}

/** Sends what the follower lacks, as far as one message goes. @param evenEmpty also to tell of the commit index only */
export function sendAppend(member: Member, to: RaftId, evenEmpty: boolean): boolean {
  const progress = member.progress.get(to);
  if (progress === undefined || progress.isPaused) return false;
  const { log, config } = member;
  const previous = progress.next - 1;
  const logTerm = log.termAt(previous);
  if (logTerm === null) return sendSnapshot(member, to, progress);
  // With a full window an empty message still goes out when asked for: were all before it lost, its answer says so.
  const isFull = progress.state === 'replicate' && progress.inflights.isFull;
  const entries = isFull ? [] : log.slice(progress.next, log.lastIndex, config.maxMessageBytes);
  if (entries.length === 0 && !evenEmpty) return false;
  member.send({ type: 'app', to, index: previous, logTerm, entries, commit: log.committed });
  progress.sentEntries(entries.length, payloadBytes(entries));
  progress.sentCommit(log.committed);
  return true;
}

/** What the follower needs is compacted: it must have the snapshot first. */
function sendSnapshot(member: Member, to: RaftId, progress: Progress): boolean {
  // To one that does not answer it would be sent in vain.
  if (!progress.recentActive) return false;
  const { snapshot } = member.log;
  progress.becomeSnapshot(snapshot.index);
  member.send({ type: 'snap', to, snapshot });
  return true;
}

/** @param context a round of reads to be confirmed, or empty */
export function broadcastHeartbeat(member: Member, context: string): void {
  for (const [to, progress] of member.progress) {
    if (to === member.id) continue;
    // Never beyond what the follower is known to hold: a heartbeat does not show it whether its log matches.
    const commit = Math.min(progress.match, member.log.committed);
    member.send({ type: 'heartbeat', to, commit, context });
    progress.sentCommit(commit);
  }
}

/** A follower's answer to an append; the leader's own arrives when its entries are durable. */
export function takeAppendAnswer(member: Member, progress: Progress, message: Message): void {
  progress.recentActive = true;
  if (message.reject) takeRejection(member, progress, message);
  else takeAcknowledgement(member, progress, message);
}

export function takeHeartbeatAnswer(member: Member, progress: Progress, message: Message): void {
  progress.recentActive = true;
  progress.isFlowPaused = false;
  if (message.reject && message.rejectHint < progress.match) forgetMatch(member, progress, message);
  // One that is caught up but in `probe` needs an (empty) append as well: its answer lets entries flow again.
  if (progress.match < member.log.lastIndex || progress.state === 'probe') {
    sendAppend(member, message.from, true);
  }
}

/** How the streaming of a snapshot ended. */
export function takeSnapshotReport(progress: Progress, ok: boolean): void {
  if (progress.state !== 'snapshot') return;
  // Else it would be probed after a snapshot that never arrived.
  if (!ok) progress.pendingSnapshot = 0;
  progress.becomeProbe();
  // It says itself where it stands, or else answers the next heartbeat: then it is tried again.
  progress.isFlowPaused = true;
}

/** Only another voter can take over; given up after an election timeout. */
export function transferLeadership(member: Member, to: RaftId): void {
  const progress = member.progress.get(to);
  if (progress === undefined || progress.isLearner || member.transferTarget === to) return;
  member.transferTarget = 0;
  if (to === member.id) return;
  member.electionElapsed = 0;
  member.transferTarget = to;
  if (progress.match === member.log.lastIndex) member.send({ type: 'timeoutNow', to });
  else sendAppend(member, to, true);
}

/** By counting only entries of the leader's own term are committed; earlier ones with them (paper, section 5.4.2). */
export function maybeCommit(member: Member): boolean {
  const { log } = member;
  const index = jointCommitted(member.confState, (id) => member.progress.get(id)?.match ?? 0);
  if (!Number.isFinite(index) || index <= log.committed || log.termAt(index) !== member.term) return false;
  log.commitTo(index);
  return true;
}

function takeRejection(member: Member, progress: Progress, message: Message): void {
  const { log } = member;
  const { from, index, rejectHint } = message;
  if (index === progress.match && rejectHint < progress.match) {
    takeImpossibleRejection(member, progress, message);
    return;
  }
  let hint = rejectHint;
  if (message.logTerm > 0) hint = log.findConflictByTerm(hint, message.logTerm).index;
  if (!progress.decreaseTo(index, hint)) return;
  if (progress.state === 'replicate') progress.becomeProbe();
  sendAppend(member, from, true);
}

/**
 * The follower rejects what it once acknowledged: either the answer is an old one that was overtaken, or it lost its
 * log. It is asked again, one message at a time, and believed then.
 */
function takeImpossibleRejection(member: Member, progress: Progress, message: Message): void {
  if (progress.state === 'replicate') progress.becomeProbe();
  else if (progress.state === 'probe' && progress.next - 1 === message.index) {
    forgetMatch(member, progress, message);
  } else return;
  sendAppend(member, message.from, true);
}

function forgetMatch(member: Member, progress: Progress, message: Message): void {
  const { from, rejectHint } = message;
  member.notice(
    `member ${from} had acknowledged entry ${progress.match} and holds at most ${rejectHint} now: it lost part of its log`,
  );
  progress.forgetMatch(rejectHint);
}

function takeAcknowledgement(member: Member, progress: Progress, message: Message): void {
  const { log } = member;
  const { from, index } = message;
  if (index > log.lastIndex) {
    member.notice(`member ${from} acknowledges entry ${index}; the leader's log ends at ${log.lastIndex}`);
    return;
  }
  // An acknowledgement without news still moves a probed follower on: see `takeHeartbeatAnswer`.
  const isProbeAnswer = progress.match === index && progress.state === 'probe';
  if (!progress.acknowledge(index) && !isProbeAnswer) return;
  if (progress.state === 'probe') {
    progress.becomeReplicate();
  } else if (progress.state === 'replicate') {
    progress.inflights.freeUpTo(index);
  } else if (index + 1 >= log.firstIndex) {
    // Whichever snapshot it took, the log continues from there.
    progress.becomeReplicate();
  }
  if (maybeCommit(member)) broadcastAppend(member);
  else if (from !== member.id && progress.canBumpCommit(log.committed)) sendAppend(member, from, true);
  // The room that was freed may take several messages.
  if (from !== member.id) while (sendAppend(member, from, false));
  if (from === member.transferTarget && progress.match === log.lastIndex) {
    member.send({ type: 'timeoutNow', to: from });
  }
}
