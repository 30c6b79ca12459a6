/** Raft messages as proto/raft.proto has them, and back. What does not decode to a sane message is refused. */
import type * as pb from '../../generated/raft.ts';
import { JarvisError } from '../../lib/errors.ts';
import type { ConfState, Entry, EntryType, Message, MessageType, SnapshotMeta } from '../core/types.ts';

const MESSAGE_TYPES: ReadonlySet<string> = new Set<MessageType>([
  'app',
  'appResp',
  'heartbeat',
  'heartbeatResp',
  'vote',
  'voteResp',
  'preVote',
  'preVoteResp',
  'snap',
  'timeoutNow',
  'readIndex',
  'readIndexResp',
  'transferLeader',
  'forgetLeader',
  'propose',
]);

function isMessageType(type: string): type is MessageType {
  return MESSAGE_TYPES.has(type);
}

const ENTRY_TYPES: readonly EntryType[] = ['normal', 'confChange'];

export function messageToWire(message: Message): pb.Message {
  return {
    type: message.type,
    from: message.from,
    to: message.to,
    term: message.term,
    log_term: message.logTerm,
    index: message.index,
    entries: message.entries.map(entryToWire),
    commit: message.commit,
    vote: message.vote,
    reject: message.reject,
    reject_hint: message.rejectHint,
    snapshot: message.snapshot === null ? undefined : snapshotMetaToWire(message.snapshot),
    context: message.context,
  };
}

/** @throws JarvisError malformed */
export function messageFromWire(wire: pb.Message): Message {
  if (!isMessageType(wire.type)) {
    throw new JarvisError('malformed', `unknown Raft message type ${JSON.stringify(wire.type)}`);
  }
  const entries = wire.entries.map(entryFromWire);
  if (wire.type === 'app') checkRun(wire, entries);
  return {
    type: wire.type,
    from: wire.from,
    to: wire.to,
    term: wire.term,
    logTerm: wire.log_term,
    index: wire.index,
    entries,
    commit: wire.commit,
    vote: wire.vote,
    reject: wire.reject,
    rejectHint: wire.reject_hint,
    snapshot: wire.snapshot === undefined ? null : snapshotMetaFromWire(wire.snapshot),
    context: wire.context,
  };
}

function entryToWire(entry: Entry): pb.Entry {
  const data = entry.data;
  return {
    term: entry.term,
    index: entry.index,
    type: ENTRY_TYPES.indexOf(entry.type),
    data: Buffer.isBuffer(data) ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength),
  };
}

function entryFromWire(wire: pb.Entry): Entry {
  const type = ENTRY_TYPES[wire.type];
  if (type === undefined) throw new JarvisError('malformed', `unknown Raft entry type ${wire.type}`);
  return { term: wire.term, index: wire.index, type, data: wire.data };
}

/** Entries to append are a piece of a leader's log: nothing between them is missing, and terms never fall. */
function checkRun({ index, term, log_term: before }: pb.Message, entries: readonly Entry[]): void {
  let last = { index, term: before };
  for (const entry of entries) {
    if (entry.index !== last.index + 1 || entry.term < last.term || entry.term > term) {
      throw new JarvisError(
        'malformed',
        `entry ${entry.index} of term ${entry.term} after entry ${last.index} of term ${last.term}, in term ${term}`,
      );
    }
    last = entry;
  }
}

function confStateToWire(confState: ConfState): pb.ConfState {
  return {
    voters: [...confState.voters],
    voters_outgoing: [...confState.votersOutgoing],
    learners: [...confState.learners],
    learners_next: [...confState.learnersNext],
    auto_leave: confState.autoLeave,
  };
}

function snapshotMetaToWire(meta: SnapshotMeta): pb.SnapshotMeta {
  return { index: meta.index, term: meta.term, conf_state: confStateToWire(meta.confState) };
}

function snapshotMetaFromWire(wire: pb.SnapshotMeta): SnapshotMeta {
  const confState = wire.conf_state;
  if (confState === undefined) throw new JarvisError('malformed', 'a snapshot without its configuration');
  return {
    index: wire.index,
    term: wire.term,
    confState: {
      voters: confState.voters,
      votersOutgoing: confState.voters_outgoing,
      learners: confState.learners,
      learnersNext: confState.learners_next,
      autoLeave: confState.auto_leave,
    },
  };
}

/** Roughly what a message takes on the wire: for bounds, not for billing. */
export function messageBytes(message: Message): number {
  let bytes = 64;
  for (const entry of message.entries) bytes += entry.data.byteLength + 24;
  return bytes;
}
