/** The search agrees with one that simply tries every order; and it is quick enough for what a run leaves. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { seededRandom } from '../../src/lib/random.ts';
import type { HistoryOperation, Value } from './history.ts';
import { after, checkHistory } from './linearizability.ts';

type Changes = Partial<HistoryOperation> & Pick<HistoryOperation, 'f'>;

function operation(at: readonly [call: number, returned: number], changes: Changes): HistoryOperation {
  const [call, returned] = at;
  const all = { process: 0, key: 'k', in: null, out: null, call, return: returned, ok: true, ...changes };
  return { ...all, return: all.ok === 'unknown' ? null : all.return } as HistoryOperation;
}

/** Every order of every choice of those of unknown outcome. */
function isLinearizable(operations: readonly HistoryOperation[], value: Value = null): boolean {
  if (operations.every(({ ok }) => ok === 'unknown')) return true;
  const firstReturn = Math.min(...operations.map((each) => each.return ?? Infinity));
  return operations.some((each) => {
    if (each.call > firstReturn) return false;
    const next = after(value, each);
    return (
      next !== undefined &&
      isLinearizable(
        operations.filter((other) => other !== each),
        next,
      )
    );
  });
}

describe('an operation', () => {
  it.each<[Value, Changes, Value | undefined]>([
    ['a', { f: 'read', out: 'a' }, 'a'],
    ['a', { f: 'read', out: null }, undefined],
    ['a', { f: 'write', in: 'b' }, 'b'],
    ['a', { f: 'write', in: 'b', ok: false }, undefined],
    [null, { f: 'create', in: 'b' }, 'b'],
    ['a', { f: 'create', in: 'b' }, undefined],
    ['a', { f: 'create', in: 'b', ok: false }, 'a'],
    [null, { f: 'create', in: 'b', ok: false }, undefined],
    ['a', { f: 'cas', in: ['a', 'b'] }, 'b'],
    ['a', { f: 'cas', in: ['b', 'c'] }, undefined],
    ['a', { f: 'cas', in: ['b', 'c'], ok: false }, 'a'],
    ['a', { f: 'cas', in: ['a', 'b'], ok: false }, undefined],
    [null, { f: 'cas', in: [null, 'b'] }, 'b'],
    ['a', { f: 'delete' }, null],
    [null, { f: 'delete' }, undefined],
    [null, { f: 'delete', ok: false }, null],
    ['a', { f: 'append', in: 'b' }, 'ab'],
    [null, { f: 'append', in: 'b' }, 'b'],
    ['a', { f: 'cas', in: ['a', 'b'], ok: 'unknown' }, 'b'],
    ['a', { f: 'cas', in: ['b', 'c'], ok: 'unknown' }, undefined],
  ])('on %j: %j makes it %j', (value, changes, expected) => {
    expect(after(value, operation([0, 1], changes))).toBe(expected);
  });
});

const VALUES = ['a', 'b'];
const requests = fc.oneof(
  fc.record({ f: fc.constant('read'), out: fc.constantFrom(null, ...VALUES) }),
  fc.record({ f: fc.constantFrom('write', 'create', 'append'), in: fc.constantFrom(...VALUES) }),
  fc.record({ f: fc.constant('delete') }),
  fc.record({
    f: fc.constant('cas'),
    in: fc.tuple(fc.constantFrom(null, ...VALUES), fc.constantFrom(...VALUES)),
  }),
);
const histories = fc.array(
  fc
    .record({
      request: requests,
      call: fc.nat(12),
      lasts: fc.nat(8),
      ok: fc.constantFrom(true, true, true, false, 'unknown' as const),
    })
    .map(({ request, call, lasts, ok }) => {
      const isRead = request.f === 'read';
      return operation([call, call + lasts], { ...request, ok: isRead ? true : ok });
    }),
  { minLength: 1, maxLength: 7 },
);

describe('the search', () => {
  it('finds what trying all orders finds', () => {
    let violated = 0;
    fc.assert(
      fc.property(histories, (operations) => {
        const found = checkHistory(operations).size === 0;
        if (!found) violated += 1;
        expect(found).toBe(isLinearizable(operations));
      }),
      { numRuns: 3000 },
    );
    // Both answers were asked for.
    expect(violated).toBeGreaterThan(300);
    expect(violated).toBeLessThan(2900);
  });

  it('accepts what one register really did, and not one answer of it that is false', () => {
    for (let seed = 0; seed < 20; seed += 1) {
      const operations = realHistory(seed, 400);
      expect(checkHistory(operations), `seed ${seed}`).toEqual(new Map());
      const reads = operations.filter(({ f }) => f === 'read');
      const read = reads[Math.floor(reads.length / 2)];
      const falsified = operations.map((each) => (each === read ? { ...each, out: 'never written' } : each));
      expect(checkHistory(falsified).get('k')).toMatchObject({ type: 'violated' });
    }
  });

  it('takes what never returned as done at any time, or never', () => {
    const write = operation([0, 1], { f: 'write', in: 'a', ok: 'unknown' });
    const reads = (...seen: Value[]): HistoryOperation[] =>
      seen.map((out, at) => operation([10 + 2 * at, 11 + 2 * at], { f: 'read', out }));
    expect(checkHistory([write, ...reads(null, null)]).size).toBe(0);
    expect(checkHistory([write, ...reads(null, 'a')]).size).toBe(0);
    expect(checkHistory([write, ...reads('a', null)]).size).toBe(1);
  });

  it('looks at each key by itself', () => {
    const good = operation([0, 1], { f: 'create', in: 'a', key: 'good' });
    const bad = operation([0, 1], { f: 'read', out: 'a', key: 'bad' });
    expect([...checkHistory([good, bad]).keys()]).toEqual(['bad']);
  });

  it('names what cannot be explained', () => {
    const operations = [
      operation([0, 1], { f: 'create', in: 'a' }),
      operation([2, 3], { f: 'cas', in: ['a', 'b'] }),
      operation([4, 5], { f: 'read', out: 'a' }),
    ];
    expect(checkHistory(operations).get('k')).toEqual({
      type: 'violated',
      stuck: [operations[2]],
      value: 'b',
    });
  });

  it('gives up in time', () => {
    const operations = realHistory(1, 400).map((each) => ({ ...each, call: 0, return: 1e9 }));
    expect(checkHistory(operations, 1000).get('k')).toMatchObject({ type: 'undecided' });
  });
});

/** Ten clients and a register; each operation takes effect somewhere between its call and its return. */
function realHistory(seed: number, count: number): readonly HistoryOperation[] {
  const random = seededRandom(seed);
  const clients = Array.from({ length: 10 }, () => 0);
  const planned = Array.from({ length: count }, () => {
    const client = Math.floor(random() * clients.length);
    const call = (clients[client] ?? 0) + random();
    const effect = call + random();
    const returned = effect + random();
    clients[client] = returned;
    return { client, call, effect, returned, f: random() < 0.5 ? ('read' as const) : ('cas' as const) };
  }).sort((a, b) => a.effect - b.effect);
  let value: Value = null;
  return planned.map(({ client, call, returned, f }, at) => {
    const isUnknown = f === 'cas' && random() < 0.05;
    const happens = !isUnknown || random() < 0.5;
    const expected: Value = random() < 0.7 ? value : 'never';
    const to = `v${at}`;
    const ok = isUnknown ? ('unknown' as const) : f === 'read' || expected === value;
    const input = f === 'read' ? null : ([expected, to] as const);
    const out = f === 'read' ? value : null;
    if (f === 'cas' && happens && expected === value) value = to;
    return operation([call, returned], { f, in: input, out, ok, process: client } as Changes);
  });
}
