/**
 * Ids of what entries create. An id is (epoch, index of the entry, position in it) sent through a keyed bijection: no
 * two are equal, none reveals its neighbours, short prefixes tell tasks apart, and each can be turned back.
 */
import { invariant } from './assert.ts';
import { JarvisError } from './errors.ts';

export interface IdPosition {
  readonly epoch: number;
  /** Index of the log entry. */
  readonly index: number;
  /** Position within the entry. */
  readonly position: number;
}

const EPOCH_BITS = 23n;
const INDEX_BITS = 47n;
const POSITION_BITS = 20n;
const HALF_BITS = (EPOCH_BITS + INDEX_BITS + POSITION_BITS) / 2n;
const HALF_MASK = (1n << HALF_BITS) - 1n;
const ROUNDS = 6;
/** Digits and letters without i, l, o and u: read aloud and typed back without mistakes. */
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const ID_CHARACTERS = 18;
const ID_PATTERN = new RegExp(`^[${ALPHABET}]{${ID_CHARACTERS}}$`);

export const MAX_EPOCH = 2 ** Number(EPOCH_BITS) - 1;
export const MAX_POSITION = 2 ** Number(POSITION_BITS) - 1;
const MAX_INDEX = 2 ** Number(INDEX_BITS) - 1;

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

/** The round function of the Feistel network; it need not be invertible. */
function scramble(half: bigint, roundKey: number): bigint {
  const low = Number(half & 0xffffffffn);
  const high = Number(half >> 32n);
  const a = mix(low ^ roundKey);
  const b = mix((a + high + 0x9e3779b9) | 0);
  return ((BigInt(b) << 32n) | BigInt(mix(a ^ b))) & HALF_MASK;
}

/** @param kind the prefix, such as `task` */
export function encodeId(kind: string, at: IdPosition, key: IdKey): string {
  invariant(at.epoch >= 0 && at.epoch <= MAX_EPOCH, 'the epoch fits an id');
  invariant(at.index >= 0 && at.index <= MAX_INDEX, 'the index fits an id');
  invariant(at.position >= 0 && at.position <= MAX_POSITION, 'the position fits an id');
  const plain =
    (((BigInt(at.epoch) << INDEX_BITS) | BigInt(at.index)) << POSITION_BITS) | BigInt(at.position);
  let left = plain >> HALF_BITS;
  let right = plain & HALF_MASK;
  for (const roundKey of key) [left, right] = [right, left ^ scramble(right, roundKey)];
  let value = (left << HALF_BITS) | right;
  let text = '';
  for (let digit = 0; digit < ID_CHARACTERS; digit += 1) {
    text = `${ALPHABET[Number(value & 31n)]}${text}`;
    value >>= 5n;
  }
  return `${kind}-${text}`;
}

/** The reverse of {@link encodeId}. @throws JarvisError invalid where the text is no id of that kind */
export function decodeId(kind: string, id: string, key: IdKey): IdPosition {
  const text = id.slice(kind.length + 1);
  if (!id.startsWith(`${kind}-`) || !ID_PATTERN.test(text)) {
    throw new JarvisError('invalid', `${JSON.stringify(id)} is not the id of a ${kind}`);
  }
  let value = 0n;
  for (const character of text) value = (value << 5n) | BigInt(ALPHABET.indexOf(character));
  let left = value >> HALF_BITS;
  let right = value & HALF_MASK;
  for (const roundKey of key.toReversed()) [left, right] = [right ^ scramble(left, roundKey), left];
  const plain = (left << HALF_BITS) | right;
  return {
    epoch: Number(plain >> (INDEX_BITS + POSITION_BITS)),
    index: Number((plain >> POSITION_BITS) & ((1n << INDEX_BITS) - 1n)),
    position: Number(plain & ((1n << POSITION_BITS) - 1n)),
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
