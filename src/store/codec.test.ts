import * as fc from 'fast-check';
import { Packr } from 'msgpackr';
import { describe, expect, it } from 'vitest';

import { JarvisError } from '../lib/errors.ts';
import {
  contentOf,
  decodeCommand,
  decodeContent,
  encodeCommand,
  encodeStored,
  isSealed,
  seal,
  sealed,
  type Decoded,
} from './codec.ts';
import { runs } from '../lib/testing/property-runs.ts';

/** Plain data as commands and rows hold it; numbers of every kind, keys that JavaScript would reorder. */
const data = fc.object({
  maxDepth: 4,
  key: fc
    .oneof(fc.string(), fc.string({ unit: 'binary' }), fc.nat(300).map(String))
    .filter((key) => key !== '__proto__'),
  values: [
    fc.string({ unit: 'binary', maxLength: 100 }),
    // Halves of surrogate pairs among them.
    fc
      .array(fc.integer({ min: 0xd7f0, max: 0xe010 }), { maxLength: 80 })
      .map((codes) => String.fromCharCode(...codes)),
    fc.integer(),
    fc.maxSafeInteger(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.boolean(),
    fc.constant(null),
    fc.constant(undefined),
  ],
});

function valueOf(decoded: Decoded): object {
  if (decoded.type !== 'value') throw new Error(decoded.reason);
  return decoded.value as object;
}

function asDecoded(value: unknown): unknown {
  if (value === undefined) return null;
  if (Object.is(value, -0)) return 0;
  if (typeof value === 'string') return value.toWellFormed();
  if (Array.isArray(value)) return value.map(asDecoded);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, asDecoded(inner)]));
}

function isFiniteThroughout(value: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value);
  return typeof value !== 'object' || value === null || Object.values(value).every(isFiniteThroughout);
}

function isEncodable(command: object): boolean {
  try {
    encodeCommand(command);
    return true;
  } catch (error) {
    if (error instanceof JarvisError && error.code === 'invalid') return false;
    throw error;
  }
}

/** What becomes of the bytes of a row. */
function outcomeOf(content: Uint8Array): string {
  try {
    return typeof decodeContent(content);
  } catch (error) {
    if (error instanceof JarvisError) return error.code;
    throw error;
  }
}

describe('commands', () => {
  it('decode to what was encoded', () => {
    fc.assert(
      fc.property(data, (value) => {
        const bytes = encodeCommand(value);
        const again = valueOf(decodeCommand(bytes));
        // undefined has become null, half a pair U+FFFD: the second round changes nothing any more.
        expect(again).toEqual(asDecoded(value));
        expect(Buffer.from(encodeCommand(again))).toEqual(Buffer.from(bytes));
      }),
    );
  });

  it('never throw for what bytes they are given, and never make anything but plain data', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        bytes[0] = 1;
        const decoded = decodeCommand(bytes);
        const value = decoded.type === 'value' ? decoded.value : null;
        // NaN and the infinities decode, and are refused where a command is made.
        expect(isEncodable({ value })).toBe(isFiniteThroughout(value));
      }),
      { numRuns: runs(2000) },
    );
  });

  it('refuse what lies beyond plain data, however it came into an entry', () => {
    const packr = new Packr({ useRecords: false });
    const refused: readonly unknown[] = [
      new Date(0),
      new Error('x'),
      new Uint8Array(3),
      2n ** 60n,
      new Map([[1, 2]]),
    ];
    for (const value of refused) {
      const bytes = Buffer.concat([Buffer.of(1), packr.pack({ value })]);
      expect(decodeCommand(bytes).type).toBe('undecodable');
    }
  });

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['another format', Buffer.of(2, 0x80)],
    ['no value', Buffer.of(1)],
    ['two values', Buffer.of(1, 0xc0, 0xc0)],
    ['a string cut short', Buffer.of(1, 0xd9, 10, 65)],
    ['a list as long as memory', Buffer.of(1, 0xdd, 0xff, 0xff, 0xff, 0xff)],
    ['a map as long as memory', Buffer.of(1, 0xdf, 0xff, 0xff, 0xff, 0xff)],
    ['lists within lists', Buffer.concat([Buffer.of(1), Buffer.alloc(100_000, 0x91), Buffer.of(0xc0)])],
  ])('refuse %s', (_what, bytes) => {
    expect(decodeCommand(bytes).type).toBe('undecodable');
  });

  it.each([
    ['at the top', '{"__proto__":1}'],
    ['deep inside', '{"result":[{"a":{"__proto__":{"polluted":true}}}]}'],
  ])('are not encoded with a key that would change an object itself: %s', (_where, json) => {
    expect(() => encodeCommand(JSON.parse(json) as object)).toThrow(
      expect.objectContaining({ code: 'invalid' }),
    );
  });

  it('are not encoded with numbers that are none, which no rule of the state reckons with', () => {
    for (const number of [Number.NaN, Infinity, -Infinity]) {
      expect(() => encodeCommand({ at: [{ number }] })).toThrow(/finite/);
      // What came into a log by an earlier version decodes as ever.
      const bytes = Buffer.concat([Buffer.of(1), new Packr({ useRecords: false }).pack({ number })]);
      expect(valueOf(decodeCommand(bytes))).toEqual({ number });
    }
    for (const number of [Number.MAX_VALUE, -Number.MIN_VALUE, 2 ** 53, -(2 ** 53), 0.5])
      expect(valueOf(decodeCommand(encodeCommand({ number })))).toEqual({ number });
  });

  it('may say the words that are no keys of theirs', () => {
    const command = { words: ['__proto__', 'constructor'], constructor: 1, prototype: { x: 2 }, __proto: 3 };
    expect(valueOf(decodeCommand(encodeCommand(command)))).toEqual(command);
  });

  it('with such a key that come from elsewhere change no object', () => {
    const bytes = Buffer.from('\x01\x81\xa9__proto__\x81\xa8polluted\xc3', 'latin1');
    const value = valueOf(decodeCommand(bytes));
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect('polluted' in value).toBe(false);
    expect('polluted' in {}).toBe(false);
  });

  it('are not encoded where no replica would decode them', () => {
    let nested: unknown = null;
    for (let depth = 0; depth < 70; depth += 1) nested = [nested];
    for (const command of [{ nested }, { at: new Date(0) }, { big: 2n ** 60n }, { big: 2n ** 70n }]) {
      expect(() => encodeCommand(command)).toThrow(JarvisError);
    }
  });
});

describe('rows', () => {
  it('are the same bytes again after a round trip', () => {
    fc.assert(
      fc.property(data, (row) => {
        const stored = encodeStored(row);
        expect(Buffer.from(encodeStored(decodeContent(contentOf(stored)))).subarray(4)).toEqual(
          Buffer.from(stored).subarray(4),
        );
      }),
    );
  });

  it('do not depend on what was encoded before', () => {
    const row = { id: 'a', attempts: [{ attempt: 1 }] };
    const first = Buffer.from(contentOf(encodeStored(row)));
    for (let other = 0; other < 100; other += 1) encodeStored({ id: 'b', [`field${other}`]: other });
    expect(Buffer.from(contentOf(encodeStored(row)))).toEqual(first);
  });

  it('are bound to their name, and to every bit', () => {
    const stored = encodeStored({ id: 'a', value: 7 });
    seal('item/a', stored);
    expect(isSealed('item/a', stored)).toBe(true);
    expect(isSealed('item/b', stored)).toBe(false);
    expect(isSealed('item/a', stored.subarray(0, 3))).toBe(false);
    for (let bit = 0; bit < stored.byteLength * 8; bit += 1) {
      const damaged = Uint8Array.from(stored);
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(isSealed('item/a', damaged)).toBe(false);
    }
    expect(Buffer.from(sealed('item/a', contentOf(stored)))).toEqual(Buffer.from(stored));
  });

  it('of a later format are refused', () => {
    expect(() => decodeContent(Buffer.of(9, 0x80))).toThrow(JarvisError);
    expect(() => decodeContent(Buffer.of(1, 0xc0))).toThrow(JarvisError);
  });

  it.each([
    ['a date', new Packr({ useRecords: false }).pack({ at: new Date(0) })],
    ['an error', new Packr({ useRecords: false }).pack({ at: new Error('x') })],
    ['the definition of a record', Buffer.of(0xd4, 0x72, 0x40, 0x91, 0xa1, 0x61, 0x01)],
    ['a list as long as memory', Buffer.of(0x81, 0xa1, 0x61, 0xdd, 0xff, 0xff, 0xff, 0xff)],
    ['lists within lists', Buffer.concat([Buffer.alloc(100_000, 0x91), Buffer.of(0xc0)])],
    ['more than one value', Buffer.of(0x80, 0x80)],
    ['a number as key', Buffer.of(0x81, 0x01, 0x01)],
  ])('with %s are refused before anything is made of them', (_what, packed) => {
    const content = Buffer.concat([Buffer.of(1), packed]);
    expect(() => decodeContent(content)).toThrow(expect.objectContaining({ code: 'unavailable' }));
  });

  it('never throw but what they say for the bytes they are given', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        bytes[0] = 1;
        expect(['object', 'unavailable']).toContain(outcomeOf(bytes));
      }),
      { numRuns: runs(2000) },
    );
  });
});
