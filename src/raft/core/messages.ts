/** How messages are made, and what kinds of them there are. */
import type { Message, MessageType } from './types.ts';

const BLANK: Omit<Message, 'type' | 'to'> = {
  from: 0,
  term: 0,
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

/** A message as it is thought of: fields that are left out are blank. */
export type Outgoing = Partial<Message> & Pick<Message, 'type' | 'to'>;

export function makeMessage(fields: Outgoing): Message {
  return { ...BLANK, ...fields };
}

/** Votes and acknowledgements: they promise what must be durable first. */
function isPromise(type: MessageType): boolean {
  return type === 'appResp' || type === 'voteResp' || type === 'preVoteResp';
}

/**
 * What must be durable here before it leaves. A candidate asks for votes only once its term, its own vote and the log
 * that it boasts of are: else it could be elected, forget all that in a crash, and be elected in the same term again,
 * by the same voters or by a late answer of theirs, with another log.
 */
export function waitsForDurability(type: MessageType): boolean {
  return isPromise(type) || type === 'vote';
}

/** Answers count only from members: one that has left is not heeded, whatever its term. */
export function isResponse(type: MessageType): boolean {
  return isPromise(type) || type === 'heartbeatResp' || type === 'readIndexResp';
}

export function isFromLeader(type: MessageType): boolean {
  return type === 'app' || type === 'heartbeat' || type === 'snap';
}
