/** How far a batch or a DAG is, for those who wait for it: a bar, and of a DAG each task below those it depends on. */
import type { DagTask } from '../../generated/cluster.ts';
import type { LiveText } from '../live-block.ts';
import type { Style } from '../terminal.ts';
import { humanDuration } from './age.ts';
import { barOf } from './bar.ts';
import { inOrderOfLevels } from './graph.ts';
import type { Group } from './groups.ts';

const BAR_WIDTH = 24;

const SIGNS: Readonly<Record<string, readonly [sign: string, style: Style]>> = {
  RUNNING: ['▶', 'cyan'],
  ASSIGNED: ['▷', 'cyan'],
  COMPLETED: ['✓', 'green'],
  FAILED: ['↻', 'yellow'],
  PERMANENTLY_FAILED: ['✗', 'red'],
  CANCELLED: ['–', 'magenta'],
  SKIPPED: ['–', 'gray'],
};
const WAITS = ['·', 'gray'] as const;

const OVER = ['COMPLETED', 'PERMANENTLY_FAILED', 'CANCELLED', 'SKIPPED'];

/** @param room lines that there are for it */
export function progressLines(
  group: Group & { readonly tasks?: readonly DagTask[] },
  room: number,
  nowMs: number,
): readonly LiveText[] {
  const head = { text: headOf(group, nowMs) };
  const rows = inOrderOfLevels(group.tasks ?? []);
  // Where not all have room, those that something happens with are worth more than those that are over or wait.
  const shown = rows.length < room ? rows : rows.filter(({ task }) => isInteresting(task)).slice(0, room - 2);
  const lines = shown.map(({ task, level }) => lineOf(task, shown.length < rows.length ? 0 : level, nowMs));
  const left = rows.length - shown.length;
  return [
    head,
    ...lines,
    ...(left === 0 ? [] : [{ text: `  … ${left} more`, style: 'gray' as const }]),
  ].slice(0, Math.max(1, room));
}

/** Of a DAG, the tasks that failed; of a batch nothing, since it may be large. */
export function failureLines(
  group: Group & { readonly tasks?: readonly DagTask[] },
  nowMs: number,
): readonly LiveText[] {
  const failed = (group.tasks ?? []).filter(({ status }) => status === 'PERMANENTLY_FAILED');
  return failed.map((task) => lineOf(task, 0, nowMs));
}

function headOf({ name, counts, size, started_at: startedAt }: Group, nowMs: number): string {
  const count = (...statuses: readonly string[]): number =>
    statuses.reduce((sum, status) => sum + (counts[status] ?? 0), 0);
  const over = count(...OVER);
  const parts = [
    [count('RUNNING', 'ASSIGNED'), 'running'],
    [count('PENDING', 'WAITING', 'FAILED'), 'queued'],
    [count('PERMANENTLY_FAILED'), 'failed'],
    [count('CANCELLED', 'SKIPPED'), 'cancelled'],
  ] as const;
  const told = parts.flatMap(([number, word]) => (number === 0 ? [] : [`${number} ${word}`]));
  const took = startedAt === undefined ? [] : [humanDuration(nowMs - Date.parse(startedAt))];
  const bar = barOf(size === 0 ? 0 : over / size, BAR_WIDTH);
  return `${name} ${bar} ${over}/${size}  ${[...told, ...took].join(', ')}`.trimEnd();
}

function isInteresting({ status }: DagTask): boolean {
  return status !== 'COMPLETED' && status !== 'WAITING' && status !== 'SKIPPED';
}

function lineOf(task: DagTask, level: number, nowMs: number): LiveText {
  const { dag_task: id, status, node, status_reason: reason } = task;
  const [sign, style] = SIGNS[status] ?? WAITS;
  const where = node === undefined || status === 'COMPLETED' ? '' : ` on ${node}`;
  const exit = task.exit_code === undefined || task.exit_code === 0 ? [] : [`exit code ${task.exit_code}`];
  const told = [...exit, ...(reason === undefined || reason === '' ? [] : [reason])].join(', ');
  const why = told === '' ? '' : `: ${told}`;
  return {
    text: `  ${'  '.repeat(level)}${sign} ${id} ${status}${where}${tookOf(task, nowMs)}${why}`,
    style,
  };
}

function tookOf({ started_at: startedAt, finished_at: finishedAt }: DagTask, nowMs: number): string {
  if (startedAt === undefined) return '';
  const endMs = finishedAt === undefined ? nowMs : Date.parse(finishedAt);
  return ` ${humanDuration(endMs - Date.parse(startedAt))}`;
}
