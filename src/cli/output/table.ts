/** Tables as kubectl prints them: no borders, columns padded to their widest cell. */
import Table from 'cli-table3';
import stringWidth from 'string-width';

import { fitColumns } from './fit.ts';
import type { Fit } from './fit.ts';

const NO_BORDER = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '',
} as const;

export interface TableColumn {
  readonly title: string;
  /** Default: keep. */
  readonly fit?: Fit;
}

/**
 * The lines of a table, without an end of line after the last.
 * @param available columns of the terminal that they have to fit; absent: all of it is shown
 */
export function renderTable(
  head: readonly TableColumn[],
  rows: readonly (readonly string[])[],
  available: number = Number.POSITIVE_INFINITY,
): string {
  const widths = head.map(({ title, fit }, at) => ({
    natural: Math.max(stringWidth(title), ...rows.map((row) => stringWidth(row[at] ?? ''))),
    fit: fit ?? 'keep',
  }));
  const { columns, gap } = fitColumns(widths, available);
  const table = new Table({
    chars: NO_BORDER,
    style: { 'padding-left': 0, 'padding-right': gap, head: [], border: [], compact: true },
    colWidths: columns.map(({ width }) => width + gap),
  });
  table.push(
    ...[head.map(({ title }) => title), ...rows].map((row) => columns.map(({ at }) => row[at] ?? '')),
  );
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}
