/** The load that `autoscaler simulate` is given: a CSV file with a row for each arrival. */
import { parse } from 'csv-parse/sync';

import type { Arrival } from '../autoscaler/core/simulator.ts';
import { JarvisError, messageOf } from '../lib/errors.ts';
import { parseDurationMs } from '../lib/quantities.ts';
import { show } from '../spec/faults.ts';

const COLUMNS = ['time', 'tasks', 'duration'] as const;
type Row = Readonly<Record<(typeof COLUMNS)[number], string>>;
/** With the line that it ends on. */
interface RowAt {
  readonly record: Row;
  readonly info: { readonly lines: number };
}

const MOST_ROWS = 1_000_000;
const MOST_TASKS = 1_000_000;
const DAY_MS = 24 * 3_600_000;
/** Of the time that is simulated: each second of it is looked at. */
const LONGEST_MS = 31 * DAY_MS;
/** The last task has come and gone, and nodes have had a day to go. */
export const LONGEST_RUN_MS = 2 * LONGEST_MS + DAY_MS;

/** @returns sorted by time @throws JarvisError invalid that names the line, what stands there, and what is allowed */
export function readLoad(text: string, fileName: string): readonly Arrival[] {
  const rows = rowsOf(text, fileName);
  if (rows.length === 0) throw new JarvisError('invalid', `${fileName}: no row after the heading`);
  if (rows.length > MOST_ROWS)
    throw new JarvisError('invalid', `${fileName}: ${rows.length} rows; allowed: ${MOST_ROWS}`);
  const arrivals = rows.map(({ record, info }) => arrivalOf(record, `${fileName}: line ${info.lines}`));
  return arrivals.toSorted((a, b) => a.atMs - b.atMs);
}

function rowsOf(text: string, fileName: string): readonly RowAt[] {
  let rows: RowAt[];
  try {
    rows = parse<RowAt>(text, { columns: true, bom: true, trim: true, skip_empty_lines: true, info: true });
  } catch (error) {
    throw new JarvisError('invalid', `${fileName}: ${messageOf(error)}`, { cause: error });
  }
  const given = Object.keys(rows[0]?.record ?? {});
  const missing = rows.length === 0 ? [] : COLUMNS.filter((name) => !given.includes(name));
  if (missing.length > 0)
    throw new JarvisError(
      'invalid',
      `${fileName}: no column ${missing.join(', ')}; the first line must name ${COLUMNS.join(',')}`,
    );
  return rows;
}

function arrivalOf(row: Row, where: string): Arrival {
  const tasks = /^\d{1,7}$/.test(row.tasks) ? Number(row.tasks) : 0;
  if (tasks < 1 || tasks > MOST_TASKS)
    throw new JarvisError('invalid', `${where}: tasks ${show(row.tasks)} is not allowed: 1 to ${MOST_TASKS}`);
  return { atMs: timeOf('time', row, where), tasks, durationMs: timeOf('duration', row, where) };
}

function timeOf(column: 'duration' | 'time', row: Row, where: string): number {
  let timeMs: number;
  try {
    timeMs = parseDurationMs(row[column]);
  } catch (error) {
    if (!(error instanceof JarvisError)) throw error;
    const allowed = 'seconds, or a duration such as 90s, 5m or 1h';
    throw new JarvisError('invalid', `${where}: ${column} ${show(row[column])} is not allowed: ${allowed}`, {
      cause: error,
    });
  }
  if (timeMs > LONGEST_MS)
    throw new JarvisError('invalid', `${where}: ${column} ${row[column]} is too long: at most 31d`);
  return timeMs;
}
