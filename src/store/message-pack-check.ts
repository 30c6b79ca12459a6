/**
 * Judges bytes before they are decoded, so that every replica refuses the same ones: a decoder that recurses gives up
 * at a depth that depends on the stack, and extension types make objects that are no data.
 */

/** Objects and lists within each other. */
const MAX_DEPTH = 64;

const DOUBLE = 0xcb;
const MAP_KEY = 1;
const VALUE = 0;

/** Of `__proto__`, the one key that no plain object has as a property of its own after decoding. */
const PROTOTYPE_KEY = Buffer.from('__proto__');

/**
 * Beyond {@link faultOfMessagePack}: what decodes, and is nothing to reckon with. The decoder takes the key `__proto__` for
 * `__proto_`, and numbers may be none. Either harms nobody, so what is in a log already stays what it is; no more gets there.
 * @returns what is wrong, or null where the value may become part of the state
 */
export function faultOfEncoded(bytes: Buffer): string | null {
  return faultOf(bytes, 0, { isNew: true, mayHoldPrototypes: bytes.includes(PROTOTYPE_KEY) });
}

interface Strictness {
  readonly isNew: boolean;
  readonly mayHoldPrototypes: boolean;
}

const LENIENT: Strictness = { isNew: false, mayHoldPrototypes: false };

/** @returns what is wrong, or null where the bytes are exactly one MessagePack value of plain data */
export function faultOfMessagePack(bytes: Uint8Array, start: number): string | null {
  return faultOf(bytes, start, LENIENT);
}

function faultOf(bytes: Uint8Array, start: number, { isNew, mayHoldPrototypes }: Strictness): string | null {
  // Per open list or map: how many values are missing; keys and values of a map count both.
  const missing = [1];
  const isMap = [false];
  let at = start;
  while (missing.length > 0) {
    const depth = missing.length - 1;
    const left = missing[depth] ?? 0;
    if (left === 0) {
      missing.pop();
      isMap.pop();
      continue;
    }
    missing[depth] = left - 1;
    const role = isMap[depth] === true && left % 2 === 0 ? MAP_KEY : VALUE;
    const head = readHead(bytes, at);
    if (head === null) return `cut short at byte ${at}`;
    if (head.kind === 'refused') return `type 0x${(bytes[at] ?? 0).toString(16)} at byte ${at}`;
    if (role === MAP_KEY && head.kind !== 'string') return `a key that is no string at byte ${at}`;
    if (mayHoldPrototypes && role === MAP_KEY && isPrototypeKey(bytes, at, head)) return 'a key __proto__';
    if (isNew && bytes[at] === DOUBLE && !isFiniteDouble(bytes, at)) return `no finite number at byte ${at}`;
    at += head.bytes;
    if (at > bytes.byteLength) return `cut short at byte ${at}`;
    if (head.values > 0) {
      // Every value takes a byte at least: a length that the rest cannot hold is refused before anything is made of it.
      if (head.values > bytes.byteLength - at) return `cut short at byte ${at}`;
      if (missing.length > MAX_DEPTH) return `nested deeper than ${MAX_DEPTH}`;
      missing.push(head.values);
      isMap.push(head.kind === 'map');
    }
  }
  return at === bytes.byteLength ? null : `${bytes.byteLength - at} bytes too many`;
}

/** NaN and the infinities have all bits of the exponent set. */
function isFiniteDouble(bytes: Uint8Array, at: number): boolean {
  return ((bytes[at + 1] ?? 0) & 0x7f) !== 0x7f || ((bytes[at + 2] ?? 0) & 0xf0) !== 0xf0;
}

function isPrototypeKey(bytes: Uint8Array, at: number, head: Head): boolean {
  // Nine bytes are a short string: one byte of head.
  return (
    head.bytes === PROTOTYPE_KEY.byteLength + 1 &&
    PROTOTYPE_KEY.every((byte, offset) => bytes[at + 1 + offset] === byte)
  );
}

/** Whether the test holds of the bytes of a string, a key included; also where there are types that no command has. */
export function someStringOfMessagePack(bytes: Buffer, test: (string: Buffer) => boolean): boolean {
  for (let at = 0; at < bytes.byteLength;) {
    const head = readHead(bytes, at);
    if (head === null || head.kind === 'refused') return true;
    if (head.kind === 'string' && test(bytes.subarray(at, at + head.bytes))) return true;
    at += head.bytes;
  }
  return false;
}

interface Head {
  readonly kind: 'scalar' | 'string' | 'list' | 'map' | 'refused';
  /** Of the head and, for scalars and strings, the content. */
  readonly bytes: number;
  readonly values: number;
}

function scalar(bytes: number): Head {
  return { kind: 'scalar', bytes, values: 0 };
}

const SCALARS: ReadonlyMap<number, Head> = new Map([
  [0xc0, scalar(1)],
  [0xc2, scalar(1)],
  [0xc3, scalar(1)],
  [0xca, scalar(5)],
  [0xcb, scalar(9)],
  [0xcc, scalar(2)],
  [0xcd, scalar(3)],
  [0xce, scalar(5)],
  [0xd0, scalar(2)],
  [0xd1, scalar(3)],
  [0xd2, scalar(5)],
]);
// 64-bit integers decode to BigInt or lose precision, and numbers beyond 32 bits are written as doubles; bytes and
// extensions are no part of any command.
const REFUSED: Head = { kind: 'refused', bytes: 0, values: 0 };

/** By type; null: a length follows. Made once: every value of every command is looked up here, on every node. */
const HEADS: readonly (Head | null)[] = Array.from({ length: 256 }, (_, type) => headOf(type));

function headOf(type: number): Head | null {
  if (type <= 0x7f || type >= 0xe0) return scalar(1);
  if (type <= 0x8f) return { kind: 'map', bytes: 1, values: 2 * (type & 0x0f) };
  if (type <= 0x9f) return { kind: 'list', bytes: 1, values: type & 0x0f };
  if (type <= 0xbf) return { kind: 'string', bytes: 1 + (type & 0x1f), values: 0 };
  return type >= 0xd9 && type <= 0xdf ? null : (SCALARS.get(type) ?? REFUSED);
}

function readHead(bytes: Uint8Array, at: number): Head | null {
  const type = bytes[at];
  if (type === undefined) return null;
  return HEADS[type] ?? readLong(bytes, at, type);
}

/** Of a string, list or map whose length is written after its type. */
function readLong(bytes: Uint8Array, at: number, type: number): Head {
  if (type <= 0xdb) {
    const width = 1 << (type - 0xd9);
    return { kind: 'string', bytes: 1 + width + readLength(bytes, at + 1, width), values: 0 };
  }
  const width = type % 2 === 0 ? 2 : 4;
  const length = readLength(bytes, at + 1, width);
  return type <= 0xdd
    ? { kind: 'list', bytes: 1 + width, values: length }
    : { kind: 'map', bytes: 1 + width, values: 2 * length };
}

/** Big-endian; bytes beyond the end count as zero, which the caller's bounds check finds. */
function readLength(bytes: Uint8Array, at: number, width: number): number {
  let length = 0;
  for (let offset = 0; offset < width; offset += 1) length = length * 256 + (bytes[at + offset] ?? 0);
  return length;
}
