import { array, assert, constantFrom, integer, property, record } from 'fast-check';
import { describe, expect, it } from 'vitest';

import { fakeTask } from '../fake-cluster.test-kit.ts';
import { TestTerminal } from '../run-cli.test-kit.ts';
import { Batch, Node } from '../../generated/cluster.ts';
import type { Answer } from './format.ts';
import { tableOf } from './format.ts';
import { fitColumns } from './fit.ts';
import { groupAnswer } from './groups.ts';
import { nodeAnswer } from './nodes.ts';
import { renderTable } from './table.ts';
import { taskAnswer } from './tasks.ts';

describe('fitColumns', () => {
  const column = record({
    natural: integer({ min: 1, max: 60 }),
    fit: constantFrom('keep', 'cut', 'drop'),
  });

  it('never shows more than there is room for, unless all that is left must be kept', () => {
    assert(
      property(
        array(column, { minLength: 1, maxLength: 12 }),
        integer({ min: 1, max: 300 }),
        (widths, available) => {
          const { columns, gap } = fitColumns(widths, available);
          const total = columns.reduce((sum, { width }) => sum + width, 0) + gap * (columns.length - 1);
          const couldGive = columns.some(
            ({ at, width }) => widths[at]?.fit === 'drop' || (widths[at]?.fit === 'cut' && width > 8),
          );
          expect(total <= available || !couldGive).toBe(true);
          // In their order, none wider than it is, and those that are to be kept whole.
          expect(columns.map(({ at }) => at)).toEqual(columns.map(({ at }) => at).toSorted((a, b) => a - b));
          for (const { at, width } of columns) expect(width).toBeLessThanOrEqual(widths[at]?.natural ?? 0);
          const kept = widths.flatMap(({ fit, natural }, at) =>
            fit === 'keep' ? [{ at, width: natural }] : [],
          );
          expect(columns).toEqual(expect.arrayContaining(kept));
        },
      ),
    );
  });

  it('changes nothing where all fits', () => {
    const widths = [
      { natural: 10, fit: 'cut' },
      { natural: 5, fit: 'drop' },
    ] as const;
    const whole = [
      { at: 0, width: 10 },
      { at: 1, width: 5 },
    ];
    expect(fitColumns(widths, 18)).toEqual({ columns: whole, gap: 3 });
    expect(fitColumns(widths, 17)).toEqual({ columns: whole, gap: 2 });
  });
});

describe('renderTable', () => {
  it('cuts with a sign, also what is coloured, and counts what is wide', () => {
    const head = [{ title: 'A' }, { title: 'B', fit: 'cut' as const }];
    const red = '\u001b[31mfar too long for it\u001b[39m';
    const lines = renderTable(
      head,
      [
        ['x', red],
        ['y', '漢字漢字漢字漢字漢字'],
      ],
      14,
    ).split('\n');
    expect(lines[1]).toBe('x  \u001b[31mfar too lo\u001b[39m…');
    expect(lines[2]).toContain('…');
  });
});

function widthOf<T>(answer: (terminal: TestTerminal) => Answer<T>): number {
  const terminal = new TestTerminal({ rows: 24 });
  const table = tableOf(terminal, 'table', answer(terminal));
  // oxlint-disable-next-line no-control-regex -- colours take no room
  return Math.max(...table.split('\n').map((line) => line.replaceAll(/\u001b\[\d+m/g, '').length));
}

describe('tables on a terminal of 80 columns', () => {
  const long = 'a-name-that-is-as-long-as-some-people-like-their-names-to-be';

  it('fit, whatever is in them', () => {
    const task = fakeTask({
      id: 'task-q1ac0m7s5ws38ee6dj',
      name: long,
      status: 'PERMANENTLY_FAILED',
      node: long,
      signal: 'SIGKILL',
    });
    expect(widthOf((terminal) => taskAnswer(terminal, [task]))).toBeLessThanOrEqual(80);
    const node = Node.create({
      name: long,
      status: 'UNHEALTHY',
      role: 'learner',
      pressure: ['disk', 'memory'],
      capacity: { cpu_millis: 128_000, memory_bytes: 2 ** 40 },
      allocated: { cpu_millis: 127_900, memory_bytes: 2 ** 39 + 2 ** 28 },
      active_tasks: 100_000,
    });
    expect(widthOf((terminal) => nodeAnswer(terminal, [node], () => null))).toBeLessThanOrEqual(80);
    const batch = Batch.create({
      id: 'batch-q1ac0m7s5ws38ee6dj',
      name: long,
      status: 'RUNNING',
      status_reason: 'stopping',
      size: 1_000_000,
      counts: { COMPLETED: 123_456, PENDING: 876_543, RUNNING: 1000 },
    });
    const words = { toJson: (group: Batch): object => group, whenEmpty: '' };
    expect(widthOf((terminal) => groupAnswer(terminal, [batch], words))).toBeLessThanOrEqual(80);
  });

  it('are whole in a pipe, and with wide', () => {
    const task = fakeTask({ id: 'task-q1ac0m7s5ws38ee6dj', name: long, node: long });
    const pipe = new TestTerminal();
    expect(tableOf(pipe, 'table', taskAnswer(pipe, [task])).split(long)).toHaveLength(3);
    const terminal = new TestTerminal({ rows: 24 });
    expect(tableOf(terminal, 'wide', taskAnswer(terminal, [task])).split(long)).toHaveLength(3);
  });
});
