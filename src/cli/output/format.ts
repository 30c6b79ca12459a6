/** `-o table|wide|json|yaml|name`: one way to print whatever a reading command has found. */
import stringWidth from 'string-width';

import { unreachable } from '../../lib/assert.ts';
import { columnsOf, writeLine, write } from '../terminal.ts';
import type { Terminal } from '../terminal.ts';
import { jsonText, yamlText } from './documents.ts';
import type { Fit } from './fit.ts';
import { renderTable } from './table.ts';

export const OUTPUT_FORMATS = ['table', 'wide', 'json', 'yaml', 'name'] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

export interface Column<T> {
  readonly title: string;
  readonly cell: (item: T) => string;
  /** Only with `-o wide`. */
  readonly wide?: boolean;
  /** Where a terminal has no room for all. Default: keep. */
  readonly fit?: Fit;
  /** It changes by itself, as an age does: no news. */
  readonly ticks?: boolean;
}

/** One answer in all its forms; the cheap parts are made only when they are printed. */
export interface Answer<T> {
  readonly items: readonly T[];
  readonly columns: readonly Column<T>[];
  readonly nameOf: (item: T) => string;
  /** What the HTTP API returns. */
  readonly json: () => unknown;
  /** What it returns of one of them. */
  readonly itemJson?: (item: T) => unknown;
  /** A terminal that has no room for all columns shows a line for each of them, item by item. */
  readonly isAboutEach?: boolean;
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
      return writeLine(terminal.stdout, tableOf(terminal, format, answer));
    }
    default:
      return unreachable(format);
  }
}

/** Whole where somebody asked for all of it or nobody looks at it; else as wide as the terminal is. */
export function tableOf<T>(terminal: Terminal, format: 'table' | 'wide', answer: Answer<T>): string {
  const columns = answer.columns.filter((column) => format === 'wide' || column.wide !== true);
  const rows = answer.items.map((item) => columns.map((column) => column.cell(item)));
  const available = columnsOf(terminal.stdout);
  if (answer.isAboutEach === true && available !== undefined) {
    const table = renderTable(columns, rows);
    const isWider = table.split('\n').some((line) => stringWidth(line) > available);
    return isWider ? rows.map((row) => blockOf(columns, row)).join('\n\n') : table;
  }
  return renderTable(columns, rows, format === 'wide' ? undefined : available);
}

/** A column a line, the titles in a column of their own. */
function blockOf<T>(columns: readonly Column<T>[], row: readonly string[]): string {
  const width = Math.max(...columns.map(({ title }) => title.length)) + 2;
  return columns.map(({ title }, at) => `${`${title}:`.padEnd(width)}${row[at] ?? ''}`).join('\n');
}

export function printJson(terminal: Terminal, format: 'json' | 'yaml', value: unknown): Promise<void> {
  if (format === 'json') return writeLine(terminal.stdout, jsonText(value, 2));
  return write(terminal.stdout, yamlText(value));
}
