import { describe, expect, it } from 'vitest';

import { ageOf, humanDuration } from './age.ts';
import { formatBytes, formatCpu } from './quantities.ts';
import { renderTable } from './table.ts';
import { durationOf } from './tasks.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

function at(ms: number): string {
  return new Date(ms).toISOString();
}

describe('humanDuration', () => {
  it.each([
    [-5, '0s'],
    [999, '0s'],
    [119 * SECOND, '119s'],
    [2 * MINUTE, '2m'],
    [3 * MINUTE + 20 * SECOND, '3m20s'],
    [17 * MINUTE + 5 * SECOND, '17m'],
    [5 * HOUR + 12 * MINUTE, '5h12m'],
    [30 * HOUR, '30h'],
    [3 * DAY + 4 * HOUR, '3d4h'],
    [12 * DAY, '12d'],
    [800 * DAY, '2y70d'],
  ])('%i ms is %s', (spanMs, text) => {
    expect(humanDuration(spanMs)).toBe(text);
  });

  it('of something that took less than a second is in ms', () => {
    expect(durationOf({ started_at: at(0), finished_at: at(45) }, 9999)).toBe('45ms');
    expect(durationOf({ started_at: at(0), finished_at: at(1045) }, 9999)).toBe('1s');
    // One that runs goes on.
    expect(durationOf({ started_at: at(0), finished_at: undefined }, 45)).toBe('0s');
  });

  it('shows a dash where there is no time', () => {
    expect([ageOf(undefined, 0), ageOf('', 0), ageOf('soon', 0)]).toEqual(['-', '-', '-']);
    expect(ageOf('1970-01-01T00:00:00Z', 5000)).toBe('5s');
  });
});

describe('amounts', () => {
  it('are short', () => {
    expect([0, 500, 1500, 666].map(formatCpu)).toEqual(['0', '0.5', '1.5', '0.666']);
    expect([0, 743.6, 1023, 2 ** 20 * 512, 1.5 * 2 ** 30].map(formatBytes)).toEqual([
      '0',
      '744',
      '1023',
      '512Mi',
      '1.5Gi',
    ]);
  });
});

describe('renderTable', () => {
  it('pads by what is seen, not by what colours add', () => {
    const green = '\u001b[32mok\u001b[39m';
    expect(
      renderTable(
        [{ title: 'A' }, { title: 'B' }],
        [
          [green, 'x'],
          ['longer', 'y'],
        ],
      ),
    ).toBe(`A        B\n${green}       x\nlonger   y`);
  });
});
