/** A task in full, as text for people: one field a line, what belongs together indented below its title. */
import type { Attempt, LabelRule as Rule, RetryPolicy, Task, TaskError } from '../../generated/cluster.ts';
import { printable } from '../terminal.ts';
import { ageOf } from './age.ts';
import { durationOf, shownStatus } from './tasks.ts';
import { wrapLine } from './wrap.ts';

/** One line, or a title with what stands below it; null: not shown. */
type Field = readonly [title: string, value: string | readonly string[]] | null;

const INDENT = '  ';
const NONE = '-';

/** What is shown as it is, so that it can be copied. */
const VERBATIM: ReadonlySet<string> = new Set(['Command', 'Environment', 'Log tail', 'Result', 'Uses']);

export interface DescribeOptions {
  /** Lines of what its running attempt uses. */
  readonly uses?: readonly string[];
  readonly nowMs: number;
  /** Of the terminal; undefined: nothing has to fit. */
  readonly columns?: number | undefined;
}

/** Ends with an end of line. @param why it does not run; empty: it does, or is over */
export function describeTask(task: Task, why: readonly string[], options: DescribeOptions): string {
  const { uses = [], nowMs, columns = Number.POSITIVE_INFINITY } = options;
  const lines = [
    ...fields(columns, [
      ['Name', task.name],
      ['Id', task.id],
      ['Labels', pairs(task.labels)],
      ['Status', shownStatus(task)],
      optional('Reason', task.status_reason),
      several(
        'Why',
        why.map((line) => line.trimStart()),
      ),
      optional('Node', task.node),
      ['Attempt', `${task.attempt} of ${task.retry_policy?.max_attempts ?? 1}`],
      ['Retries', String(task.retry_count)],
      ...ending(task),
      optional('Result', task.result),
      several(
        'Uses',
        uses.map((line) => line.trimStart()),
      ),
    ]),
    ...section('Times', columns, timesOfTask(task, nowMs)),
    ...section('Spec', columns, specOf(task)),
    'Attempts:',
    ...(task.attempts.length === 0 ? [`${INDENT}${NONE}`] : []),
    ...task.attempts.flatMap((attempt) => describeAttempt(attempt, nowMs, columns)),
  ];
  return `${lines.join('\n')}\n`;
}

function timesOfTask(task: Task, nowMs: number): readonly Field[] {
  return [
    ['Created', timeOf(task.created_at, nowMs)],
    ['Scheduled', timeOf(task.scheduled_at, nowMs)],
    ['Started', timeOf(task.started_at, nowMs)],
    ['Finished', timeOf(task.finished_at, nowMs)],
    ['Duration', durationOf(task, nowMs)],
  ];
}

function specOf(task: Task): readonly Field[] {
  const { image, resources, limits } = task;
  const ofContainer: readonly Field[] = [
    ['User', task.user ?? "the image's"],
    ['Network', task.network ?? NONE],
    ['Pull policy', task.pull_policy ?? NONE],
    [
      'Mounts',
      task.mounts.map(
        (mount) => `${mount.source} at ${mount.target}${mount.read_only ? ' (read-only)' : ''}`,
      ),
    ],
    [
      'Limits',
      `cpu ${limits?.cpu ?? 'none'}, memory ${limits?.memory ?? 'none'}, pids ${limits?.pids ?? 'none'}`,
    ],
  ];
  return [
    ['Image', image ?? 'none: a process of the node'],
    ['Command', task.command.length === 0 ? "the image's" : linesIfSeveral(commandLine(task.command))],
    ['Working dir', task.working_dir ?? (image === undefined ? 'an empty directory' : "the image's")],
    ['Environment', [...pairs(task.env), ...task.sensitive_env.map((key) => `${key}: sensitive`)]],
    ['Resources', `cpu ${resources?.cpu ?? NONE}, memory ${resources?.memory ?? NONE}`],
    ...(image === undefined ? [] : ofContainer),
    ['Priority', task.priority],
    ['Timeout', task.timeout === undefined ? 'none' : `${task.timeout} s`],
    ['Stop grace', `${task.stop_grace} s`],
    ...(task.retry_policy === undefined ? [] : [retryOf(task.retry_policy)]),
    // A leader of an earlier version does not say.
    ['On node loss', task.on_node_loss || 'reschedule'],
    ...placementOf(task),
  ];
}

/** What is not asked for is not shown. */
function placementOf({ not_before: notBefore, concurrency, affinity, locality }: Task): readonly Field[] {
  const apart = (affinity?.anti ?? []).map(({ batch, labels }) =>
    batch === undefined ? `tasks with ${pairs(labels).join(', ')}` : 'its batch or DAG',
  );
  const near = (locality?.near ?? []).map(({ place, task }) => place ?? `task ${task}`);
  return [
    optional('Not before', notBefore),
    concurrency === undefined ? null : ['Concurrency', `${concurrency.key}, at most ${concurrency.max}`],
    several('Required', affinity?.required.map(ruleOf)),
    several('Preferred', affinity?.preferred.map(ruleOf)),
    several('Keeps apart', apart),
    several('Near', near),
  ];
}

function ruleOf({ key, operator, values, weight }: Rule): string {
  const parts = [key, operator, values.join(', '), weight === undefined ? '' : `(weight ${weight})`];
  return parts.filter((part) => part !== '').join(' ');
}

function several(title: string, lines: readonly string[] = []): Field {
  return lines.length === 0 ? null : [title, lines];
}

function listed(types: readonly string[]): string {
  return types.length === 0 ? 'none' : types.join(', ');
}

function retryOf(policy: RetryPolicy): Field {
  const {
    max_attempts: attempts,
    backoff_strategy: strategy,
    backoff_base: base,
    max_backoff: most,
  } = policy;
  return [
    'Retry policy',
    [
      `max attempts ${attempts ?? 1}, ${strategy ?? NONE} backoff, base ${base ?? NONE} s, at most ${most ?? NONE} s`,
      `retried: ${listed(policy.retryable_errors)}`,
      `not retried: ${listed(policy.non_retryable_errors)}`,
    ],
  ];
}

function describeAttempt(attempt: Attempt, nowMs: number, columns: number): readonly string[] {
  return [
    printable(`${INDENT}${attempt.attempt}: ${attempt.status} on ${attempt.node}`),
    ...fields(columns - 2 * INDENT.length, [
      ...ending(attempt),
      optional('Image digest', attempt.image_digest),
      ['Started', timeOf(attempt.started_at, nowMs)],
      ['Finished', timeOf(attempt.finished_at, nowMs)],
      ['Duration', durationOf(attempt, nowMs)],
      optional('Log on node', attempt.log_node),
      stoppingOf(attempt, nowMs),
      attempt.log_tail === '' ? null : ['Log tail', linesOf(attempt.log_tail)],
    ]).map((line) => `${INDENT}${INDENT}${line}`),
  ];
}

/** What is being done to end it, while that goes on. */
function stoppingOf({ stopping }: Attempt, nowMs: number): Field {
  if (stopping === undefined) return null;
  const { reason, since, kill_at: killAt } = stopping;
  const kill = Date.parse(killAt) <= nowMs ? `KILL since ${killAt}` : `KILL at ${killAt}`;
  return ['Stopping', `${reason.replace('_', ' ')}: TERM since ${since}, ${kill}`];
}

/** How it ended, where it has. */
function ending(of: {
  readonly exit_code?: number | undefined;
  readonly signal?: string | undefined;
  readonly error?: TaskError | undefined;
}): readonly Field[] {
  return [
    optional('Exit code', of.exit_code?.toString()),
    optional('Signal', of.signal),
    optional('Error', of.error?.type),
    optional('Message', of.error?.message),
  ];
}

function optional(title: string, value: string | undefined): Field {
  return value === undefined || value === '' ? null : [title, value];
}

function section(title: string, columns: number, content: readonly Field[]): readonly string[] {
  return [`${title}:`, ...fields(columns - INDENT.length, content).map((line) => `${INDENT}${line}`)];
}

/** Values stand in one column. */
function fields(columns: number, content: readonly Field[]): readonly string[] {
  const shown = content.filter((field) => field !== null);
  const width = Math.max(...shown.map(([title]) => title.length)) + 3;
  return shown.flatMap(([title, value]) => {
    const head = `${title}:`;
    const room = VERBATIM.has(title) ? undefined : columns;
    if (typeof value === 'string') return wrapLine(`${head.padEnd(width)}${printable(value)}`, room);
    if (value.length === 0) return [`${head.padEnd(width)}${NONE}`];
    return [head, ...value.flatMap((line) => wrapLine(`${INDENT}${printable(line)}`, room))];
  });
}

/** A script is shown as it was written. */
function linesIfSeveral(text: string): string | readonly string[] {
  return text.includes('\n') ? text.split('\n') : text;
}

function pairs(record: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(record).map(([key, value]) => `${key}=${value}`);
}

function timeOf(time: string | undefined, nowMs: number): string {
  return time === undefined ? NONE : `${time} (${ageOf(time, nowMs)} ago)`;
}

/** As a shell would need it: words that it would take apart are quoted. */
function commandLine(words: readonly string[]): string {
  return words
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`))
    .join(' ');
}

/** Without the end of the last line; tabs as spaces, which stay what they are in any column. */
function linesOf(text: string): readonly string[] {
  return text
    .replace(/\r?\n$/, '')
    .split(/\r?\n/)
    .map((line) => line.replaceAll('\t', '    '));
}
