/** Bytes made wrong in the ways that break decoders: flipped, cut, repeated, moved, replaced by what formats treat specially. */
import type { Random } from '../../src/lib/random.ts';

/** Longer inputs find nothing that shorter ones do not, and cost time. */
export const MAX_INPUT_BYTES = 256 * 1024;
/** How often a piece is repeated when it is: most of the time a little, seldom so often that recursion shows. */
const MANY = 20_000;

const INTEGERS = [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

/** Words that texts are made worse with. */
const TEXTS: readonly string[] = [
  [
    '"constructor":1,',
    '"toString":{},',
    '"name":1,',
    '"name":"a","name":"b",',
    '"command":[],',
    '"timeout":-1,',
  ],
  ['__proto__', 'constructor', 'prototype', 'toString', '"__proto__":{"polluted":1},', 'hasOwnProperty'],
  [
    '9007199254740992',
    '9007199254740993',
    '-1',
    '1e999',
    '-0',
    '0x10',
    '1_000',
    'NaN',
    'Infinity',
    '.inf',
    '1e-400',
  ],
  ['18446744073709551616', '4294967296', '2147483648', '0.1', '00', '1.', '.5', '+1', '１'],
  [
    'null',
    '~',
    'true',
    'no',
    '{}',
    '[]',
    '""',
    "''",
    '!!js/function',
    '!!binary',
    '!!set',
    '!<tag:x>',
    '<<: *a',
    '&a',
    '*a',
  ],
  [
    '---\n',
    '...\n',
    '%YAML 1.1\n',
    '? ',
    ': ',
    '- ',
    '|2\n',
    '>-\n',
    '#',
    '\t',
    '\r\n',
    '\0',
    '\\u0000',
    '\\ud800',
  ],
  [
    '\u001B[31m',
    '\u001B]0;x\u0007',
    '\u202E',
    '\u2028',
    '\uFEFF',
    'ﬀ',
    '🙂',
    'a\u0301',
    '../../etc/passwd',
    '%00',
    '%2e%2e%2f',
  ],
  [
    '{{index}}',
    '{{',
    '}}',
    '{{{{index}}}}',
    '${HOME}',
    '$(id)',
    "' OR 1=1",
    '1h30m',
    '10d10d',
    '1Ki',
    '500m',
    '9Ei',
  ],
  [
    '2026-11-27T00:00:00Z',
    '9999-99-99T99:99:99Z',
    '-000001-01-01T00:00:00Z',
    'task-',
    'batch-',
    'dag-',
    '12.3',
    'oldest',
  ],
].flat();

/** Bytes that are no UTF-8: a lone continuation, overlong, a surrogate, beyond Unicode, cut short. */
const NO_UTF8: readonly Buffer[] = ['80', 'c080', 'eda080', 'f4908080', 'f09f99', 'ff', 'fe'].map((hex) =>
  Buffer.from(hex, 'hex'),
);

export function below(random: Random, count: number): number {
  return Math.floor(random() * count);
}

/** @param items at least one */
export function pick<T>(random: Random, items: readonly T[]): T {
  return items[below(random, items.length)] as T;
}

/** One that formats treat specially. */
export function anyWord(random: Random): string {
  return pick(random, TEXTS);
}

/** Any bytes, mostly few. */
function anyBytes(random: Random, maxBytes = 64): Buffer {
  const bytes = Buffer.allocUnsafe(below(random, maxBytes + 1));
  for (let at = 0; at < bytes.length; at += 1) bytes[at] = below(random, 256);
  return bytes;
}

/** One of the samples with one to eight things wrong with it; seldom none, so that what is right stays tried. */
export function mutated(random: Random, samples: readonly Buffer[]): Buffer {
  let bytes: Buffer = Buffer.from(pick(random, samples));
  const changes = random() < 0.02 ? 0 : 1 + below(random, random() < 0.7 ? 2 : 8);
  for (let change = 0; change < changes; change += 1) bytes = changed(random, bytes, samples);
  return bytes.length > MAX_INPUT_BYTES ? bytes.subarray(0, MAX_INPUT_BYTES) : bytes;
}

/** The same, and mostly in the ways that texts are wrong. */
export function mutatedText(random: Random, samples: readonly Buffer[]): Buffer {
  let bytes: Buffer = Buffer.from(pick(random, samples));
  const changes = random() < 0.02 ? 0 : 1 + below(random, 4);
  for (let change = 0; change < changes; change += 1)
    bytes = random() < 0.6 ? withWord(random, bytes) : changed(random, bytes, samples);
  return bytes.length > MAX_INPUT_BYTES ? bytes.subarray(0, MAX_INPUT_BYTES) : bytes;
}

function withWord(random: Random, bytes: Buffer): Buffer {
  const word = random() < 0.05 ? pick(random, NO_UTF8) : Buffer.from(pick(random, TEXTS));
  // At the beginning of a word or line rather than within it.
  const from = below(random, bytes.length + 1);
  const border = random() < 0.7 ? bytes.indexOf(random() < 0.5 ? 0x20 : 0x0a, from) + 1 : from;
  const length = random() < 0.5 ? 0 : below(random, 12);
  return spliced(bytes, border, border + length, word);
}

function spliced(bytes: Buffer, from: number, to: number, inserted: Uint8Array): Buffer {
  return Buffer.concat([bytes.subarray(0, from), inserted, bytes.subarray(to)]);
}

function changed(random: Random, bytes: Buffer, samples: readonly Buffer[]): Buffer {
  const at = below(random, bytes.length + 1);
  const length = 1 + below(random, random() < 0.7 ? 8 : Math.max(1, bytes.length));
  switch (below(random, 10)) {
    case 0:
      return overwritten(bytes, at, Buffer.of((bytes[at] ?? 0) ^ (1 << below(random, 8))));
    case 1:
      return overwritten(bytes, at, Buffer.of(below(random, 256)));
    case 2:
      return overwritten(bytes, at, integer(random));
    case 3:
      return bytes.subarray(0, at);
    case 4:
      return spliced(bytes, at, at + length, Buffer.alloc(0));
    case 5:
      return spliced(bytes, at, at, anyBytes(random, 16));
    case 6:
      return repeated(random, bytes, at, length);
    case 7:
      return spliced(
        bytes,
        at,
        at + length,
        bytes.subarray(below(random, bytes.length + 1)).subarray(0, length),
      );
    case 8: {
      const other = pick(random, samples);
      return Buffer.concat([bytes.subarray(0, at), other.subarray(below(random, other.length + 1))]);
    }
    default:
      return spliced(bytes, at, at + (random() < 0.5 ? 0 : length), Buffer.from(pick(random, TEXTS)));
  }
}

function overwritten(bytes: Buffer, at: number, by: Buffer): Buffer {
  by.copy(bytes, Math.min(at, Math.max(0, bytes.length - by.length)));
  return bytes;
}

function integer(random: Random): Buffer {
  const bytes = Buffer.alloc(8);
  const value = pick(random, INTEGERS);
  if (random() < 0.5) bytes.writeUInt32LE(value, 0);
  else bytes.writeUInt32BE(value, 4);
  const width = pick(random, [1, 2, 4, 8]);
  return random() < 0.5 ? bytes.subarray(0, width) : bytes.subarray(8 - width);
}

function repeated(random: Random, bytes: Buffer, at: number, length: number): Buffer {
  const piece = bytes.subarray(at, at + Math.min(length, 64));
  if (piece.length === 0) return bytes;
  const times = random() < 0.01 ? below(random, MANY) : 1 + below(random, 8);
  return spliced(bytes, at, at, Buffer.alloc(Math.min(piece.length * times, MAX_INPUT_BYTES), piece));
}
