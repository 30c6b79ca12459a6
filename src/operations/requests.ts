/** Requests for operations as they come over the wire, checked: every fault at once, and nothing done before. */
import { hash } from 'node:crypto';

import type {
  ListTasksRequest,
  LogsRequest,
  SubmitTasksRequest,
  UpdateTaskRequest,
} from '../generated/cluster.ts';
import type { ReadLogRequest } from '../generated/worker.ts';
import type { Fault } from '../lib/errors.ts';
import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { NAME_PATTERN } from '../lib/names.ts';
import type { IdempotencyKey, TaskChanges } from '../model/commands.ts';
import { labelsOf } from '../model/earlier-rows.ts';
import type { RetryPolicy, TaskRow, TaskSpec, TaskStatus } from '../model/task.ts';
import { formatPath, invalidInput, show } from '../spec/faults.ts';
import { Maxima } from '../spec/maxima.ts';
import { closest } from '../spec/suggest.ts';
import { parseTaskUpdate } from '../spec/task-update.ts';
import { checkTaskSpec } from '../spec/task-schema.ts';
import { plainFromWire } from '../spec/wire.ts';

const TASK_STATUSES: Readonly<Record<TaskStatus, true>> = {
  WAITING: true,
  PENDING: true,
  ASSIGNED: true,
  RUNNING: true,
  COMPLETED: true,
  FAILED: true,
  PERMANENTLY_FAILED: true,
  CANCELLED: true,
  SKIPPED: true,
};

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1000;
const MAX_LABELS = 64;
const MAX_CURSOR = 1024;
/** Room in an entry for what surrounds the specs. */
const ENTRY_RESERVE_BYTES = 64 * 1024;

/**
 * @param retryPolicy the cluster's own; undefined: it has none
 * @throws JarvisError invalid with the faults of all tasks; too_large where they do not fit one entry
 */
export function parseSubmit(
  request: Pick<SubmitTasksRequest, 'tasks'>,
  retryPolicy: RetryPolicy | undefined,
): readonly TaskSpec[] {
  if (request.tasks.length === 0)
    throw invalidInput([{ path: 'tasks', message: 'at least one is required' }]);
  if (request.tasks.length > limits.tasksPerSubmission) {
    throw new JarvisError(
      'too_large',
      `${request.tasks.length} tasks in one request; at most ${limits.tasksPerSubmission} are allowed: send them in parts`,
    );
  }
  const faults: Fault[] = [];
  const specs: TaskSpec[] = [];
  for (const [index, task] of request.tasks.entries()) {
    const result = checkTaskSpec(plainFromWire(task), retryPolicy);
    if (result.type === 'valid') specs.push(result.spec);
    else {
      // With a single task its own paths say enough.
      const at = request.tasks.length === 1 ? [] : ['tasks', index];
      for (const { path, message } of result.faults) {
        faults.push({ path: formatPath([...at, ...path]), message });
      }
    }
  }
  if (faults.length === 0) faults.push(...maximaFaults(specs));
  if (faults.length > 0) throw invalidInput(faults);
  return specs;
}

function maximaFaults(specs: readonly TaskSpec[]): readonly Fault[] {
  const maxima = new Maxima();
  return specs.flatMap((spec, index) => {
    const message = maxima.faultOf(spec);
    return message === null ? [] : [{ path: formatPath(['tasks', index, 'concurrency', 'max']), message }];
  });
}

export interface Remembered {
  /** Null where the caller gave no key. */
  readonly idempotency: IdempotencyKey | null;
  /** Of the content. */
  readonly bytes: number;
}

/**
 * The key under which a request is remembered, and what it asked for: the same however it was written.
 * @param route what is asked for, such as `POST /tasks`; keys of different routes are different
 * @throws JarvisError invalid, too_large
 */
export function idempotencyOf(request: {
  readonly principal: string;
  readonly route: string;
  readonly key: string;
  readonly content: unknown;
}): Remembered {
  const canonical = JSON.stringify(request.content);
  const bytes = Buffer.byteLength(canonical);
  if (bytes > limits.entryBytes - ENTRY_RESERVE_BYTES) {
    throw new JarvisError(
      'too_large',
      `the request takes more than ${limits.entryBytes} bytes: send it in parts`,
    );
  }
  const { principal, route, key } = request;
  if (key === '') return { idempotency: null, bytes };
  if (!/^[\u0021-\u007e]{1,255}$/.test(key)) {
    const message = `${show(key)} is not allowed: 1 to 255 visible ASCII characters`;
    throw invalidInput([{ path: 'idempotency_key', message }]);
  }
  const requestDigest = hash('sha256', canonical, 'hex');
  return { idempotency: { key: `${principal}|${route}|${key}`, requestDigest }, bytes };
}

/** @throws JarvisError invalid */
export function parseUpdate(request: UpdateTaskRequest): TaskChanges {
  const removed = request.remove_labels.map((key) => [key, null] as const);
  const plain = {
    ...(request.priority === undefined ? {} : { priority: request.priority }),
    labels: Object.fromEntries([...Object.entries(request.labels), ...removed]),
    ...(request.not_before === undefined
      ? {}
      : { not_before: request.not_before === '' ? null : request.not_before }),
  };
  const both = removed.filter(([key]) => Object.hasOwn(request.labels, key));
  if (both.length > 0) {
    const message = 'is to be set and to be taken away';
    throw invalidInput(both.map(([key]) => ({ path: formatPath(['labels', key]), message })));
  }
  return parseTaskUpdate(plain);
}

export interface TaskQuery {
  readonly limit: number;
  readonly cursor: string;
  readonly matches: (task: TaskRow, spec: TaskSpec) => boolean;
}

/** @throws JarvisError invalid */
export function parseListTasks(request: ListTasksRequest): TaskQuery {
  const faults: Fault[] = [];
  for (const status of request.status) {
    if (Object.hasOwn(TASK_STATUSES, status)) continue;
    const allowed = Object.keys(TASK_STATUSES);
    const meant = closest(status, allowed);
    const hint = meant === null ? '' : `; did you mean ${meant}?`;
    faults.push({
      path: 'status',
      message: `${show(status)} is not allowed: one of ${allowed.join(', ')}${hint}`,
    });
  }
  for (const [path, name] of Object.entries({ node: request.node, name: request.name })) {
    if (name !== '' && !NAME_PATTERN.test(name))
      faults.push({ path, message: `${show(name)} is not a name` });
  }
  const labels = request.label.map((label) => {
    const at = label.indexOf('=');
    if (at < 1) faults.push({ path: 'label', message: `${show(label)} is not allowed: key=value` });
    return [label.slice(0, at), label.slice(at + 1)] as const;
  });
  if (labels.length > MAX_LABELS) faults.push({ path: 'label', message: `at most ${MAX_LABELS}` });
  if (request.limit > MAX_LIMIT) {
    faults.push({ path: 'limit', message: `${request.limit} is too large: at most ${MAX_LIMIT}` });
  }
  if (request.cursor.length > MAX_CURSOR)
    faults.push({ path: 'cursor', message: 'is not a cursor of this cluster' });
  if (faults.length > 0) throw invalidInput(faults);
  return {
    limit: request.limit === 0 ? DEFAULT_LIMIT : request.limit,
    cursor: request.cursor,
    matches: taskFilter(request, labels),
  };
}

function taskFilter(
  { status, node, name }: ListTasksRequest,
  labels: readonly (readonly [string, string])[],
): TaskQuery['matches'] {
  return (task, spec) =>
    (status.length === 0 || status.includes(task.status)) &&
    (name === '' || task.name === name) &&
    (node === '' || isOn(task, node)) &&
    labels.every(([key, value]) => labelsOf(task, spec).some(([k, v]) => k === key && v === value));
}

/** Where it runs or ran last; nowhere while it waits for another try. */
function isOn(task: TaskRow, node: string): boolean {
  return task.status !== 'PENDING' && task.status !== 'WAITING' && task.attempts.at(-1)?.node === node;
}

/** What of a task's output is wanted, but for the attempt. @throws JarvisError invalid */
export function parseLogs(request: LogsRequest): Pick<ReadLogRequest, 'tail' | 'stream' | 'since_ms'> {
  const faults: Fault[] = [];
  if (!['', 'stdout', 'stderr'].includes(request.stream)) {
    faults.push({ path: 'stream', message: `${show(request.stream)} is not allowed: stdout or stderr` });
  }
  const sinceMs = request.since === undefined ? undefined : parseTime(request.since);
  if (sinceMs === null) {
    const message = `${show(request.since)} is not a time such as 2026-12-01T00:00:00Z`;
    faults.push({ path: 'since', message });
  }
  if (faults.length > 0) throw invalidInput(faults);
  return { tail: request.tail, stream: request.stream, since_ms: sinceMs ?? undefined };
}

/** RFC 3339; null where it is none. */
export function parseTime(text: string): number | null {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/i.test(text)) return null;
  const atMs = Date.parse(text);
  return Number.isNaN(atMs) || atMs < 0 ? null : atMs;
}
