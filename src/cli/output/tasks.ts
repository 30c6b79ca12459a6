/** How tasks are shown: columns, colours, and the sentence that says how one ended. */
import type { Task } from '../../generated/cluster.ts';
import { printable, styled } from '../terminal.ts';
import type { Style, Terminal } from '../terminal.ts';
import { ageOf, humanDuration } from './age.ts';
import { tableOf } from './format.ts';
import type { Answer, Column } from './format.ts';
import { listToJson, taskToJson } from '../../spec/json.ts';

const STATUS_STYLES: Readonly<Record<string, Style>> = {
  RUNNING: 'cyan',
  COMPLETED: 'green',
  FAILED: 'yellow',
  PERMANENTLY_FAILED: 'red',
  CANCELLED: 'magenta',
};

function taskColumns(terminal: Terminal, nowMs: number): readonly Column<Task>[] {
  return [
    { title: 'ID', cell: (task) => printable(task.id) },
    { title: 'NAME', fit: 'cut', cell: (task) => printable(task.name) },
    {
      title: 'STATUS',
      cell: (task) => styled(terminal.stdout, STATUS_STYLES[task.status] ?? 'reset', shownStatus(task)),
    },
    { title: 'NODE', fit: 'cut', cell: (task) => printable(task.node ?? '-') },
    {
      title: 'ATTEMPT',
      fit: 'drop',
      cell: (task) => `${task.attempt}/${task.retry_policy?.max_attempts ?? 1}`,
    },
    { title: 'EXIT', cell: (task) => task.signal ?? task.exit_code?.toString() ?? '-' },
    { title: 'AGE', fit: 'drop', ticks: true, cell: (task) => ageOf(task.created_at, nowMs) },
    { title: 'TOOK', ticks: true, wide: true, cell: (task) => durationOf(task, nowMs) },
    { title: 'PRIORITY', wide: true, cell: (task) => task.priority },
    { title: 'CPU', wide: true, cell: (task) => task.resources?.cpu ?? '-' },
    { title: 'MEMORY', wide: true, cell: (task) => task.resources?.memory ?? '-' },
    { title: 'IMAGE', wide: true, cell: (task) => shorten(task.image ?? '-') },
    { title: 'REASON', wide: true, cell: (task) => shorten(reasonOf(task) ?? '-') },
    { title: 'COMMAND', wide: true, cell: (task) => shorten(task.command.join(' ') || '-') },
  ];
}

export function taskAnswer(
  terminal: Terminal,
  tasks: readonly Task[],
  json: () => unknown = () => listToJson(tasks.map(taskToJson)),
): Answer<Task> {
  return {
    items: tasks,
    columns: taskColumns(terminal, Date.now()),
    nameOf: (task) => task.id,
    json,
    itemJson: taskToJson,
    whenEmpty: 'no tasks found',
  };
}

/** As a table, whatever else there is on the screen. */
export function taskRows(terminal: Terminal, tasks: readonly Task[]): string {
  return tableOf(terminal, 'table', taskAnswer(terminal, tasks));
}

/** What HTTP would answer to the same words: one task as itself, several as a list. */
export function namedTasksJson(tasks: readonly Task[]): unknown {
  const [first] = tasks;
  return first !== undefined && tasks.length === 1 ? taskToJson(first) : listToJson(tasks.map(taskToJson));
}

/** For instance `task-… PERMANENTLY_FAILED on n2: Timeout: …`. */
export function describeEnd(task: Task): string {
  const where = task.node === undefined ? '' : ` on ${task.node}`;
  const reason = reasonOf(task);
  return `${task.id} ${task.status}${where}${reason === null ? '' : `: ${reason}`}`;
}

function reasonOf(task: Task): string | null {
  const parts = [task.error?.type, task.error?.message, task.error === undefined ? task.status_reason : ''];
  const reason = parts.filter((part) => part !== undefined && part !== '').join(': ');
  return reason === '' ? null : reason;
}

/** Of a task or an attempt. */
export function durationOf(timed: Pick<Task, 'started_at' | 'finished_at'>, nowMs: number): string {
  if (timed.started_at === undefined) return '-';
  const startMs = Date.parse(timed.started_at);
  if (timed.finished_at === undefined) return humanDuration(nowMs - startMs);
  const tookMs = Date.parse(timed.finished_at) - startMs;
  return tookMs > 0 && tookMs < 1000 ? `${tookMs}ms` : humanDuration(tookMs);
}

function shorten(text: string): string {
  const shown = printable(text);
  return shown.length > 60 ? `${shown.slice(0, 59)}…` : shown;
}

/** RUNNING alone would not show that a cancellation was heard. */
export function shownStatus(task: Task): string {
  return task.status_reason === 'stopping' ? `${task.status} (stopping)` : task.status;
}
