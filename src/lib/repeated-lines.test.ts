import { describe, expect, it } from 'vitest';

import { RepeatedLines } from './repeated-lines.ts';

function setUp(kindsKept = 10) {
  let nowMs = 0;
  const lines: [kind: string, heldBack: number][] = [];
  const repeated = new RepeatedLines({ clock: { monotonicMs: () => nowMs }, intervalMs: 1000, kindsKept });
  return {
    lines,
    repeated,
    write: (kind: string): void => repeated.write(kind, (heldBack) => lines.push([kind, heldBack])),
    pass: (ms: number): void => {
      nowMs += ms;
    },
  };
}

describe('lines that repeat', () => {
  it('are written once in an interval, with the number of those that were held back', () => {
    const { lines, write, pass } = setUp();
    for (let count = 0; count < 5; count += 1) write('a');
    pass(999);
    write('a');
    pass(1);
    write('a');
    write('a');
    pass(5000);
    write('a');
    pass(1000);
    write('a');
    expect(lines).toEqual([
      ['a', 0],
      ['a', 5],
      ['a', 1],
      ['a', 0],
    ]);
  });

  it('that were held back and are followed by none are written when they are called for', () => {
    const { lines, write, pass, repeated } = setUp();
    for (const kind of ['a', 'a', 'b', 'a', 'a']) write(kind);
    repeated.writeHeld();
    expect(lines.splice(0)).toHaveLength(2);
    expect(repeated.isHolding).toBe(true);
    pass(1000);
    repeated.writeHeld();
    // The last of them, and before it those that were held back as well.
    expect(lines.splice(0)).toEqual([['a', 2]]);
    expect(repeated.isHolding).toBe(false);
    write('a');
    repeated.writeHeld({ isEnd: true });
    expect(lines).toEqual([['a', 0]]);
  });

  it('are told apart by their kind', () => {
    const { lines, write } = setUp();
    for (const kind of ['a', 'b', 'a', 'b']) write(kind);
    expect(lines).toEqual([
      ['a', 0],
      ['b', 0],
    ]);
  });

  it('of ever new kinds share one, until older kinds are forgotten', () => {
    const { lines, write, pass } = setUp(3);
    for (let count = 0; count < 100; count += 1) write(`kind ${count}`);
    // Three of their own, and the first of the others.
    expect(lines.map(([kind]) => kind)).toEqual(['kind 0', 'kind 1', 'kind 2', 'kind 3']);
    pass(1000);
    write('kind 200');
    write('kind 201');
    expect(lines.slice(4)).toEqual([
      ['kind 200', 0],
      ['kind 201', 0],
    ]);
  });
});
