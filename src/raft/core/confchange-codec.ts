/**
 * How a membership change is written in a log entry: a version, the transition, the changes (one byte for the type and
 * the id as a varint), and the context to the end. No bytes at all mean the empty change, which leaves a joint
 * configuration: a leader can append it whatever its limits.
 */
import type { ConfChange, ConfChangeTransition, ConfChangeType, SingleChange } from './confchange.ts';

const VERSION = 1;
const TRANSITIONS: readonly ConfChangeTransition[] = ['auto', 'implicit', 'explicit'];
const TYPES: readonly ConfChangeType[] = ['addVoter', 'addLearner', 'remove', 'update'];

export const LEAVE_JOINT: ConfChange = { transition: 'auto', changes: [], context: new Uint8Array() };

export function encodeConfChange(change: ConfChange): Uint8Array {
  const { transition, changes, context } = change;
  if (transition === 'auto' && changes.length === 0 && context.length === 0) return new Uint8Array();
  const bytes: number[] = [VERSION, TRANSITIONS.indexOf(transition)];
  writeVarint(bytes, changes.length);
  for (const { type, id } of changes) {
    bytes.push(TYPES.indexOf(type));
    writeVarint(bytes, id);
  }
  const encoded = new Uint8Array(bytes.length + context.length);
  encoded.set(bytes);
  encoded.set(context, bytes.length);
  return encoded;
}

/** @returns null for what is no change that this version knows: every replica passes it over alike */
export function decodeConfChange(data: Uint8Array): ConfChange | null {
  if (data.length === 0) return LEAVE_JOINT;
  if (data[0] !== VERSION) return null;
  const transition = TRANSITIONS[data[1] ?? -1];
  const count = readVarint(data, 2);
  if (transition === undefined || count === null || count.value > data.length) return null;
  const changes: SingleChange[] = [];
  let at = count.end;
  for (let position = 0; position < count.value; position += 1) {
    const type = TYPES[data[at] ?? -1];
    const id = readVarint(data, at + 1);
    if (type === undefined || id === null) return null;
    changes.push({ type, id: id.value });
    at = id.end;
  }
  return { transition, changes, context: data.slice(at) };
}

/** Seven bits a byte, the lowest first; exact up to the largest safe integer. */
function writeVarint(bytes: number[], value: number): void {
  let rest = value;
  while (rest >= 128) {
    bytes.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
}

function readVarint(data: Uint8Array, start: number): { value: number; end: number } | null {
  let value = 0;
  let scale = 1;
  for (let at = start; at < data.length; at += 1) {
    const byte = data[at] ?? 0;
    value += (byte % 128) * scale;
    if (!Number.isSafeInteger(value)) return null;
    if (byte < 128) return { value, end: at + 1 };
    scale *= 128;
  }
  return null;
}
