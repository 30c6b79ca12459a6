/** Overlaps are found in what tasks have written, and only where somebody could have prevented them. */
import { describe, expect, it } from 'vitest';

import { Guards } from './guards.ts';
import { judgeOverlap } from './overlap.ts';
import { parseLines, type RunLine } from './recorder.ts';

/** Lines of one attempt at these times. */
function attempt(number: number, node: string, ...times: readonly number[]): readonly RunLine[] {
  return times.map((atMs) => ({
    key: 'k',
    id: 'task-a',
    attempt: number,
    token: String(100 + number),
    node,
    pid: 1,
    atMs,
    what: 'beat' as const,
  }));
}

const guarded = (): boolean => false;

describe('the judge of overlaps', () => {
  it('lets attempts follow each other, also at the very same reading of the clock', () => {
    const runs = [...attempt(1, 'n1', 0, 100, 200), ...attempt(2, 'n2', 200, 300)];
    expect(judgeOverlap(runs, guarded)).toEqual([]);
  });

  it.each<[string, readonly RunLine[]]>([
    ['the old one runs on', [...attempt(1, 'n1', 0, 250), ...attempt(2, 'n2', 200, 300)]],
    ['one is within the other', [...attempt(1, 'n1', 0, 900), ...attempt(2, 'n2', 200, 300)]],
    ['the old one starts late', [...attempt(2, 'n2', 200, 300), ...attempt(1, 'n1', 250, 350)]],
  ])('finds that %s, once', (_, runs) => {
    expect(judgeOverlap(runs, guarded)).toHaveLength(1);
    const other = runs.map((line) => (line.attempt === 2 ? { ...line, id: 'task-b' } : line));
    expect(judgeOverlap(other, guarded)).toEqual([]);
  });

  it('does not judge while neither the daemon nor the watchdog of a node could act', () => {
    const runs = [...attempt(1, 'n1', 0, 1000, 6000), ...attempt(2, 'n2', 4000, 9000)];
    const guards = new Guards();
    const isUnguarded = guards.isUnguarded.bind(guards);
    guards.away('n1', 'daemon', 2000);
    guards.back('n1', 'daemon', 5000);
    guards.away('n1', 'watchdog', 5000);
    expect(judgeOverlap(runs, isUnguarded)).toHaveLength(1);
    guards.away('n1', 'daemon', 5500);
    guards.back('n1', 'watchdog', 6500);
    expect(judgeOverlap(runs, isUnguarded)).toHaveLength(1);
    expect(judgeOverlap(runs.slice(1), (node, atMs) => node === 'n1' && atMs > 3000)).toEqual([]);
  });
});

describe('the time without guards', () => {
  it('lasts from when both are away until a while after the first is back', () => {
    const guards = new Guards();
    guards.away('n1', 'watchdog', 1000);
    expect(guards.isUnguarded('n1', 1500)).toBe(false);
    guards.away('n1', 'daemon', 2000);
    guards.back('n1', 'daemon', 8000);
    guards.back('n1', 'watchdog', 9000);
    expect([1999, 2000, 8000, 10_999, 11_001].map((atMs) => guards.isUnguarded('n1', atMs))).toEqual([
      false,
      true,
      true,
      true,
      false,
    ]);
    expect(guards.isUnguarded('n2', 5000)).toBe(false);
  });
});

describe('lines of tasks', () => {
  it('are read, and nothing else is', () => {
    expect(parseLines('k', 'task-a 2 102 n3 4711 12.34 end\n')).toEqual([
      { key: 'k', id: 'task-a', attempt: 2, token: '102', node: 'n3', pid: 4711, atMs: 12_340, what: 'end' },
    ]);
    expect(() => parseLines('k', 'task-a 2 102 n3 4711 12.34 sleep\n')).toThrow('not a line of a task');
  });
});
