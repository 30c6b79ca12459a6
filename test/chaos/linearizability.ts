/**
 * Whether a history is linearizable: whether there is an order of its operations, each between its call and its return,
 * in which every answer is right. Keys are independent of each other and are looked at one by one. The search is Wing and
 * Gong's (Testing and Verifying Concurrent Objects, 1993) with Lowe's memory of what was tried already (Testing for
 * Linearizability, 2017): which operations are done, and the value after them.
 */
import type { HistoryOperation, Value } from './history.ts';

export type Verdict =
  | { readonly type: 'linearizable' }
  /** `stuck`: with the longest order that was found, none of these could come next. */
  | { readonly type: 'violated'; readonly stuck: readonly HistoryOperation[]; readonly value: Value }
  /** The search was given up. */
  | { readonly type: 'undecided'; readonly steps: number };

const MAX_STEPS = 1_000_000;

/** By key; only those that are not linearizable, or not known to be. */
export function checkHistory(
  operations: readonly HistoryOperation[],
  maxSteps = MAX_STEPS,
): ReadonlyMap<string, Exclude<Verdict, { type: 'linearizable' }>> {
  const verdicts = new Map<string, Exclude<Verdict, { type: 'linearizable' }>>();
  for (const [key, ofKey] of Map.groupBy(operations, (operation) => operation.key)) {
    const verdict = checkKey(ofKey, maxSteps);
    if (verdict.type !== 'linearizable') verdicts.set(key, verdict);
  }
  return verdicts;
}

/** The value after the operation; undefined where its answer would be wrong. */
export function after(value: Value, { f, in: input, out, ok }: HistoryOperation): Value | undefined {
  switch (f) {
    case 'read':
      return out === value ? value : undefined;
    case 'write':
      return settled(true, ok, input, value);
    case 'append':
      return settled(true, ok, (value ?? '') + input, value);
    case 'create':
      return settled(value === null, ok, input, value);
    case 'delete':
      return settled(value !== null, ok, null, value);
    case 'cas':
      return settled(input[0] === value, ok, input[1], value);
    default:
      return f satisfies never;
  }
}

/** @param can whether it takes effect with the value as it is */
function settled(can: boolean, ok: boolean | 'unknown', next: Value, value: Value): Value | undefined {
  if (ok === 'unknown') return can ? next : undefined; // without effect it may as well never have happened
  if (ok !== can) return undefined;
  return can ? next : value;
}

/** A call or a return in the list of what is not yet ordered. */
interface Event {
  readonly at: number;
  readonly isCall: boolean;
  /** Its number in the order of calls. */
  readonly id: number;
  /** Of a call; null where it never returns. */
  return: Event | null;
  before: Event | null;
  next: Event | null;
}

interface Done {
  readonly call: Event;
  readonly value: Value;
}

/** All operations are of one key. */
function checkKey(unordered: readonly HistoryOperation[], maxSteps: number): Verdict {
  const operations = unordered.toSorted((a, b) => a.call - b.call);
  const head = eventsOf(operations);
  const done: Done[] = [];
  const tried = new Set<string>();
  const bits = new Bits(operations.length);
  let left = operations.filter(({ ok }) => ok !== 'unknown').length;
  let value: Value = null;
  let furthest: { readonly count: number; readonly value: Value; readonly at: Event | null } | null = null;
  let event = head.next;
  for (let steps = 0; left > 0; steps += 1) {
    if (steps > maxSteps) return { type: 'undecided', steps };
    if (event?.isCall === true) {
      const operation = operations[event.id] as HistoryOperation;
      const next = after(value, operation);
      if (next !== undefined && isNew(tried, bits.with(event.id), next)) {
        bits.flip(event.id);
        done.push({ call: event, value });
        value = next;
        if (event.return !== null) left -= 1;
        unlink(event);
        event = head.next;
      } else {
        event = event.next;
      }
      continue;
    }
    // Something returns that is not done yet, or there is nothing left to do: the last step was wrong.
    if (furthest === null || done.length > furthest.count)
      furthest = { count: done.length, value, at: event };
    const last = done.pop();
    if (last === undefined) return violation(operations, furthest);
    bits.flip(last.call.id);
    value = last.value;
    if (last.call.return !== null) left += 1;
    relink(last.call);
    event = last.call.next;
  }
  return { type: 'linearizable' };
}

function violation(
  operations: readonly HistoryOperation[],
  { value, at }: { readonly value: Value; readonly at: Event | null },
): Verdict {
  const stuck = at === null ? [] : [operations[at.id] as HistoryOperation];
  return { type: 'violated', stuck, value };
}

/** A linked list in the order of time, behind a head that is no event. A return at the time of a call comes behind it. */
function eventsOf(operations: readonly HistoryOperation[]): Event {
  const events: Event[] = [];
  for (const [id, operation] of operations.entries()) {
    const call: Event = { at: operation.call, isCall: true, id, return: null, before: null, next: null };
    events.push(call);
    if (operation.return === null || operation.ok === 'unknown') continue;
    call.return = { at: operation.return, isCall: false, id, return: null, before: null, next: null };
    events.push(call.return);
  }
  events.sort((a, b) => a.at - b.at || Number(b.isCall) - Number(a.isCall));
  const head: Event = { at: -Infinity, isCall: false, id: -1, return: null, before: null, next: null };
  let last = head;
  for (const event of events) {
    last.next = event;
    event.before = last;
    last = event;
  }
  return head;
}

function unlink(call: Event): void {
  for (const event of call.return === null ? [call] : [call, call.return]) {
    if (event.before !== null) event.before.next = event.next;
    if (event.next !== null) event.next.before = event.before;
  }
}

/** The other way round, so that neighbours find each other again. */
function relink(call: Event): void {
  for (const event of call.return === null ? [call] : [call.return, call]) {
    if (event.before !== null) event.before.next = event;
    if (event.next !== null) event.next.before = event;
  }
}

function isNew(tried: Set<string>, done: string, value: Value): boolean {
  const state = `${done} ${value === null ? '-' : `=${value}`}`;
  if (tried.has(state)) return false;
  tried.add(state);
  return true;
}

const BITS = 16;

/** A set of numbers, as a string of 16 of them per character. */
class Bits {
  readonly #words: Uint16Array;

  constructor(size: number) {
    this.#words = new Uint16Array(Math.ceil(size / BITS));
  }

  flip(at: number): void {
    const word = Math.floor(at / BITS);
    this.#words[word] = (this.#words[word] ?? 0) ^ (1 << (at % BITS));
  }

  /** The set with `at` in it as well. */
  with(at: number): string {
    this.flip(at);
    const text = String.fromCharCode(...this.#words);
    this.flip(at);
    return text;
  }
}
