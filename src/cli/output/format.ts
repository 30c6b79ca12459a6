/** `-o table|wide|json|yaml|name`: one way to print whatever a reading command has found. */
import { stringify } from 'yaml';

import { unreachable } from '../../lib/assert.ts';
import { writeLine, write } from '../terminal.ts';
import type { Terminal } from '../terminal.ts';
import { renderTable } from './table.ts';

export const OUTPUT_FORMATS = ['table', 'wide', 'json', 'yaml', 'name'] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

export interface Column<T> {
  readonly title: string;
  readonly cell: (item: T) => string;
  /** Only with `-o wide`. */
  readonly wide?: boolean;
}

/** One answer in all its forms; the cheap parts are made only when they are printed. */
export interface Answer<T> {
  readonly items: readonly T[];
  readonly columns: readonly Column<T>[];
  readonly nameOf: (item: T) => string;
  /** What the HTTP API returns. */
  readonly json: () => unknown;
  /** Said on stderr instead of a table without rows. */
  readonly whenEmpty: string;
}

export async function printAnswer<T>(
  terminal: Terminal,
  format: OutputFormat,
  answer: Answer<T>,
): Promise<void> {
  switch (format) {
    case 'json':
    case 'yaml':
      return printJson(terminal, format, answer.json());
    case 'name':
      return write(terminal.stdout, answer.items.map((item) => `${answer.nameOf(item)}\n`).join(''));
    case 'table':
    case 'wide': {
      if (answer.items.length === 0) return writeLine(terminal.stderr, answer.whenEmpty);
      const columns = answer.columns.filter((column) => format === 'wide' || column.wide !== true);
      const rows = answer.items.map((item) => columns.map((column) => column.cell(item)));
      const titles = columns.map((column) => column.title);
      return writeLine(terminal.stdout, renderTable(titles, rows));
    }
    default:
      return unreachable(format);
  }
}

export function printJson(terminal: Terminal, format: 'json' | 'yaml', value: unknown): Promise<void> {
  if (format === 'json') return writeLine(terminal.stdout, JSON.stringify(value, null, 2));
  return write(terminal.stdout, stringify(value, { lineWidth: 0 }));
}
