import {
  array,
  assert,
  boolean,
  constantFrom,
  maxSafeNat,
  property,
  record,
  string,
  uint8Array,
  option,
  nat,
} from 'fast-check';
import { describe, expect, it } from 'vitest';

import { Message as WireMessage } from '../../generated/raft.ts';
import type { EntryType, Message, MessageType } from '../core/types.ts';
import { message } from '../testing/grpc-members.ts';
import { messageBytes, messageFromWire, messageToWire } from './wire.ts';
import { runs } from '../../lib/testing/property-runs.ts';

const ids = array(maxSafeNat(), { maxLength: 4 });
const messages = record<Message>({
  type: constantFrom<MessageType[]>('appResp', 'snap', 'vote', 'timeoutNow', 'readIndexResp', 'propose'),
  from: maxSafeNat(),
  to: maxSafeNat(),
  term: maxSafeNat(),
  logTerm: maxSafeNat(),
  index: maxSafeNat(),
  entries: array(
    record({
      term: maxSafeNat(),
      index: maxSafeNat(),
      type: constantFrom<EntryType[]>('normal', 'confChange'),
      data: uint8Array({ maxLength: 50 }),
    }),
    { maxLength: 5 },
  ),
  commit: maxSafeNat(),
  vote: maxSafeNat(),
  reject: boolean(),
  rejectHint: maxSafeNat(),
  snapshot: option(
    record({
      index: maxSafeNat(),
      term: nat(),
      confState: record({
        voters: ids,
        votersOutgoing: ids,
        learners: ids,
        learnersNext: ids,
        autoLeave: boolean(),
      }),
    }),
  ),
  context: string(),
});

function plain(value: Message): unknown {
  return { ...value, entries: value.entries.map((entry) => ({ ...entry, data: [...entry.data] })) };
}

/** From index 8 on, behind one of term 3. */
function append(...terms: readonly number[]): Message {
  const data = Buffer.alloc(0);
  const entries = terms.map((term, at) => ({ term, index: 8 + at, type: 'normal' as const, data }));
  return message(1, 2, { type: 'app', term: 5, index: 7, logTerm: 3, entries });
}

function entriesRead(sent: Message): number {
  return messageFromWire(messageToWire(sent)).entries.length;
}

describe('messages on the wire', () => {
  it('come back as they were', () => {
    assert(
      property(messages, (sent) => {
        const bytes = WireMessage.encode(messageToWire(sent)).finish();
        expect(plain(messageFromWire(WireMessage.decode(bytes)))).toEqual(plain(sent));
      }),
      { numRuns: runs(200) },
    );
  });

  it('are refused where they make no sense', () => {
    const wire = messageToWire(message(1, 2));
    expect(() => messageFromWire({ ...wire, type: 'constructor' })).toThrow(/unknown Raft message type/);
    const entry = { term: 1, index: 1, type: 7, data: Buffer.alloc(0) };
    expect(() => messageFromWire({ ...wire, entries: [entry] })).toThrow(/unknown Raft entry type 7/);
    const snapshot = { index: 1, term: 1, conf_state: undefined };
    expect(() => messageFromWire({ ...wire, snapshot })).toThrow(/without its configuration/);
  });

  it('append a piece of a log, which has no gaps and no falling terms, or are refused', () => {
    expect(entriesRead(append())).toBe(0);
    expect(entriesRead(append(3, 3, 5))).toBe(3);
    const malformed = expect.objectContaining({ code: 'malformed' });
    for (const terms of [[2], [3, 4, 3], [3, 6]])
      expect(() => entriesRead(append(...terms))).toThrow(malformed);
    const { entries } = append(3, 3, 5);
    const gap = { ...append(), entries: entries.filter(({ index }) => index !== 9) };
    expect(() => entriesRead(gap)).toThrow(malformed);
    expect(() => entriesRead({ ...append(), entries: entries.slice(1) })).toThrow(malformed);
  });

  it('are never larger than they are taken for by more than their overhead', () => {
    const entries = Array.from({ length: 10 }, (_, at) => ({
      term: 2 ** 40,
      index: 2 ** 50 + at,
      type: 'normal' as const,
      data: Buffer.alloc(1000),
    }));
    const sent = message(1, 2, { type: 'app', entries });
    expect(WireMessage.encode(messageToWire(sent)).finish().byteLength).toBeLessThanOrEqual(
      messageBytes(sent),
    );
  });
});
