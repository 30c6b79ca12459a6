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
export function isPromise(type: MessageType): boolean {
  return type === 'appResp' || type === 'voteResp' || type === 'preVoteResp';
}

/** Answers count only from members: one that has left is not heeded, whatever its term. */
export function isResponse(type: MessageType): boolean {
  return isPromise(type) || type === 'heartbeatResp' || type === 'readIndexResp';
}

export function isFromLeader(type: MessageType): boolean {
  return type === 'app' || type === 'heartbeat' || type === 'snap';
}
