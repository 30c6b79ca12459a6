/**
 * Ids of what entries create. An id is (epoch, index of the entry, position in it) sent through a keyed bijection: no
 * two are equal, none reveals its neighbours, short prefixes tell tasks apart, and each can be turned back.
 */
import { invariant } from './assert.ts';
import { JarvisError } from './errors.ts';
import { quoted } from './quoted.ts';

export interface IdPosition {
  readonly epoch: number;
  /** Index of the log entry. */
  readonly index: number;
  /** Position within the entry. */
  readonly position: number;
}

const EPOCH_BITS = 23;
const INDEX_BITS = 47;
const POSITION_BITS = 20;
/** Halves of 45 bits: the epoch with the upper bits of the index, its lower bits with the position. */
const INDEX_BITS_BELOW = (EPOCH_BITS + INDEX_BITS + POSITION_BITS) / 2 - POSITION_BITS;
const INDEX_BITS_ABOVE = INDEX_BITS - INDEX_BITS_BELOW;
const UPPER_MASK = 0x1fff;
const ROUNDS = 6;
/** Digits and letters without i, l, o and u: read aloud and typed back without mistakes. */
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const ID_CHARACTERS = 18;
const CHARACTERS_OF_HALF = ID_CHARACTERS / 2;
const ID_PATTERN = new RegExp(`^[${ALPHABET}]{${ID_CHARACTERS}}$`);

export const MAX_EPOCH = 2 ** EPOCH_BITS - 1;
export const MAX_POSITION = 2 ** POSITION_BITS - 1;
const MAX_INDEX = 2 ** INDEX_BITS - 1;

/** 32 bits of the key for each round, from any text. */
export type IdKey = readonly number[];

/** FNV-1a over the text, once per round with the round as its salt, finished by murmur3's mixer. */
export function idKey(text: string): IdKey {
  return Array.from({ length: ROUNDS }, (_, round) => {
    let hash = (0x811c9dc5 ^ round) | 0;
    for (let at = 0; at < text.length; at += 1) {
      hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
    }
    return mix(hash);
  });
}

/** murmur3's 32-bit finaliser: every bit of the input changes about half of the output's. */
function mix(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Half of an id: its upper 13 bits and its lower 32. BigInt would allocate at every one of some eighty steps. */
interface Half {
  readonly upper: number;
  readonly lower: number;
}

/** @param value below 2^45 */
function halfOf(value: number): Half {
  return { upper: Math.floor(value / 2 ** 32), lower: value | 0 };
}

function valueOf({ upper, lower }: Half): number {
  return upper * 2 ** 32 + (lower >>> 0);
}

/** What a round of the Feistel network does to one half by the other; the same again undoes it. */
function mixed(half: Half, other: Half, roundKey: number): Half {
  const a = mix(other.lower ^ roundKey);
  const b = mix((a + other.upper + 0x9e3779b9) | 0);
  return { upper: half.upper ^ (b & UPPER_MASK), lower: half.lower ^ mix(a ^ b) };
}

function textOf(half: Half): string {
  let value = valueOf(half);
  let text = '';
  for (let digit = 0; digit < CHARACTERS_OF_HALF; digit += 1) {
    text = `${ALPHABET[value % 32]}${text}`;
    value = Math.floor(value / 32);
  }
  return text;
}

function parseHalf(text: string): Half {
  let value = 0;
  for (const character of text) value = value * 32 + ALPHABET.indexOf(character);
  return halfOf(value);
}

/** @param kind the prefix, such as `task` */
export function encodeId(kind: string, at: IdPosition, key: IdKey): string {
  const { epoch, index, position } = at;
  invariant(epoch >= 0 && epoch <= MAX_EPOCH, 'the epoch fits an id');
  invariant(index >= 0 && index <= MAX_INDEX, 'the index fits an id');
  invariant(position >= 0 && position <= MAX_POSITION, 'the position fits an id');
  const above = Math.floor(index / 2 ** INDEX_BITS_BELOW);
  let left = halfOf(epoch * 2 ** INDEX_BITS_ABOVE + above);
  let right = halfOf((index - above * 2 ** INDEX_BITS_BELOW) * 2 ** POSITION_BITS + position);
  for (const roundKey of key) [left, right] = [right, mixed(left, right, roundKey)];
  return `${kind}-${textOf(left)}${textOf(right)}`;
}

/** The reverse of {@link encodeId}. @throws JarvisError invalid where the text is no id of that kind */
export function decodeId(kind: string, id: string, key: IdKey): IdPosition {
  const text = id.slice(kind.length + 1);
  if (!id.startsWith(`${kind}-`) || !ID_PATTERN.test(text)) {
    throw new JarvisError('invalid', `${quoted(id)} is not the id of a ${kind}`);
  }
  let left = parseHalf(text.slice(0, CHARACTERS_OF_HALF));
  let right = parseHalf(text.slice(CHARACTERS_OF_HALF));
  for (const roundKey of key.toReversed()) [left, right] = [mixed(right, left, roundKey), left];
  const [first, second] = [valueOf(left), valueOf(right)];
  const epoch = Math.floor(first / 2 ** INDEX_BITS_ABOVE);
  const above = first - epoch * 2 ** INDEX_BITS_ABOVE;
  const below = Math.floor(second / 2 ** POSITION_BITS);
  return {
    epoch,
    index: above * 2 ** INDEX_BITS_BELOW + below,
    position: second - below * 2 ** POSITION_BITS,
  };
}

const COUNTER_BITS = 40n;

/** Rises with every assignment, also across a restored cluster: decimal, below 2^63, kept as text. */
export function fencingToken(epoch: number, assignment: number): string {
  invariant(
    assignment >= 0 && BigInt(assignment) < 1n << COUNTER_BITS,
    'the assignment fits a fencing token',
  );
  return ((BigInt(epoch) << COUNTER_BITS) + BigInt(assignment)).toString();
}
