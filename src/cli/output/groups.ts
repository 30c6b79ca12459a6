/** How batches and DAGs are shown. */
import type { Batch, SubmitBatchResponse } from '../../generated/cluster.ts';
import { listToJson, submittedBatchToJson } from '../../spec/json.ts';
import { printable, styled } from '../terminal.ts';
import type { Style, Terminal } from '../terminal.ts';
import { ageOf, humanDuration } from './age.ts';
import type { Answer, Column } from './format.ts';

const STATUS_STYLES: Readonly<Record<string, Style>> = {
  RUNNING: 'cyan',
  COMPLETED: 'green',
  FAILED: 'red',
  CANCELLED: 'magenta',
};

/** What both have. */
export type Group = Batch;

export function isOver({ status }: Pick<Group, 'status'>): boolean {
  return status === 'COMPLETED' || status === 'FAILED' || status === 'CANCELLED';
}

function columnsOf<T extends Group>(terminal: Terminal, nowMs: number): readonly Column<T>[] {
  return [
    { title: 'ID', cell: (group) => printable(group.id) },
    { title: 'NAME', fit: 'cut', cell: (group) => printable(group.name) },
    {
      title: 'STATUS',
      cell: (group) => styled(terminal.stdout, STATUS_STYLES[group.status] ?? 'reset', shownStatus(group)),
    },
    { title: 'TASKS', fit: 'drop', cell: (group) => String(group.size) },
    { title: 'COMPLETED', cell: (group) => countOf(group, 'COMPLETED') },
    { title: 'RUNNING', fit: 'drop', cell: (group) => countOf(group, 'RUNNING', 'ASSIGNED') },
    { title: 'QUEUED', fit: 'drop', cell: (group) => countOf(group, 'PENDING', 'WAITING', 'FAILED') },
    { title: 'FAILED', cell: (group) => countOf(group, 'PERMANENTLY_FAILED') },
    { title: 'AGE', fit: 'drop', ticks: true, cell: (group) => ageOf(group.created_at, nowMs) },
    { title: 'TOOK', ticks: true, wide: true, cell: (group) => durationOf(group, nowMs) },
    { title: 'CANCELLED', wide: true, cell: (group) => countOf(group, 'CANCELLED', 'SKIPPED') },
    { title: 'MAX PARALLEL', wide: true, cell: (group) => group.max_parallel?.toString() ?? '-' },
    { title: 'MAX FAILURES', wide: true, cell: (group) => group.max_failures?.toString() ?? '-' },
    { title: 'REASON', wide: true, cell: (group) => printable(group.status_reason ?? '-') },
  ];
}

export function groupAnswer<T extends Group>(
  terminal: Terminal,
  groups: readonly T[],
  words: { readonly toJson: (group: T) => object; readonly whenEmpty: string },
  nextCursor: string | null = null,
): Answer<T> {
  const [only] = groups;
  return {
    items: groups,
    columns: columnsOf<T>(terminal, Date.now()),
    nameOf: ({ id }) => id,
    // As for tasks: what is asked for by name is itself, whatever else is a list.
    json: () =>
      only !== undefined && groups.length === 1 && nextCursor === null
        ? words.toJson(only)
        : listToJson(
            groups.map((group) => words.toJson(group)),
            nextCursor ?? '',
          ),
    itemJson: words.toJson,
    whenEmpty: words.whenEmpty,
  };
}

export function submittedBatchAnswer(submitted: SubmitBatchResponse): Answer<SubmitBatchResponse> {
  return {
    items: [submitted],
    columns: [
      { title: 'BATCH', cell: ({ batch_id: id }) => printable(id) },
      { title: 'TASKS', fit: 'drop', cell: ({ tasks }) => String(tasks.length) },
    ],
    nameOf: ({ batch_id: id }) => id,
    json: () => submittedBatchToJson(submitted),
    whenEmpty: '',
  };
}

/** For instance `batch-… FAILED: 2 of 10 tasks failed`. */
export function describeGroupEnd(group: Group): string {
  const reason = group.status_reason ?? '';
  return `${group.id} ${group.status}${reason === '' ? '' : `: ${reason}`}`;
}

function countOf({ counts }: Group, ...statuses: readonly string[]): string {
  return String(statuses.reduce((sum, status) => sum + (counts[status] ?? 0), 0));
}

function shownStatus({ status, status_reason: reason }: Group): string {
  return reason?.startsWith('stopping') === true && status === 'RUNNING' ? `${status} (stopping)` : status;
}

function durationOf(group: Group, nowMs: number): string {
  if (group.started_at === undefined) return '-';
  const endMs = group.finished_at === undefined ? nowMs : Date.parse(group.finished_at);
  return humanDuration(endMs - Date.parse(group.started_at));
}
