/** Why a task does not run, in sentences. */
import type { Explanation, Reason, Task } from '../../generated/cluster.ts';
import { printable } from '../terminal.ts';
import { ageOf } from './age.ts';
import { describeEnd } from './tasks.ts';

/** What is so of the nodes that a filter rules out, of one and of several. */
const OF_NODES: Readonly<Record<string, readonly [one: string, several: string]>> = {
  health: ['is not healthy', 'are not healthy'],
  drain: ['is cordoned or drained', 'are cordoned or drained'],
  pressure: ['is short of disk or memory', 'are short of disk or memory'],
  driver: ['cannot execute it', 'cannot execute it'],
  policy: ['does not allow what it asks for', 'do not allow what it asks for'],
  affinity: ['lacks labels that it requires', 'lack labels that it requires'],
  anti_affinity: ['has tasks that it keeps apart from', 'have tasks that it keeps apart from'],
  task_count: ['has as many tasks as a node may', 'have as many tasks as a node may'],
  resources: ['has too little cpu or memory left', 'have too little cpu or memory left'],
  reservation: ['is kept for a task before it', 'are kept for tasks before it'],
};

/** What a task waits for that is no node. */
const OWN_TURN: ReadonlySet<string> = new Set([
  'not_before',
  'group',
  'max_parallel',
  'concurrency',
  'dependencies',
]);

export function isOwnTurn({ filter }: Reason): boolean {
  return OWN_TURN.has(filter);
}

/** One sentence for each, with the filter's name, under which programs know it. */
export function reasonSentences(reasons: readonly Reason[]): readonly string[] {
  return reasons.map((reason) => {
    const { filter, excluded, nearest_miss: nearest } = reason;
    if (isOwnTurn(reason) || excluded === 0) return `${filter}: ${printable(nearest)}`;
    const [one, several] = OF_NODES[filter] ?? ['is ruled out', 'are ruled out'];
    const nodes = excluded === 1 ? `1 node ${one}` : `${excluded} nodes ${several}`;
    return `${filter}: ${nodes}; the nearest: ${printable(nearest)}`;
  });
}

/** How it stands with a task, and what stands in its way: the first line says it, the others say why. */
export function whyNotRunning(task: Task, explanation: Explanation, nowMs: number): readonly string[] {
  const { status, position, reasons } = explanation;
  const is = `${printable(task.id)} is ${status}`;
  switch (status) {
    case 'WAITING': {
      const of = task.dependencies.length === 0 ? 'others of its DAG' : task.dependencies.join(', ');
      return [
        `${is}: it waits until ${printable(of)} ${task.dependencies.length === 1 ? 'has' : 'have'} completed.`,
      ];
    }
    case 'PENDING': {
      const place = position === undefined ? '' : `, number ${position} in the queue`;
      return [`${is}${place}${pendingFor(reasons)}`, ...reasonSentences(reasons).map((line) => `  ${line}`)];
    }
    case 'ASSIGNED':
      return [`${is}: it starts on ${where(task)}${because(task.status_reason)}.`];
    case 'RUNNING': {
      const since = ageOf(task.started_at, nowMs);
      return [
        `${is} on ${where(task)}${since === '-' ? '' : `, for ${since}`}${because(task.status_reason)}.`,
      ];
    }
    case 'FAILED':
      return [`${is}: attempt ${task.attempt} failed${because(errorOf(task))}; it will be tried again.`];
    default:
      return [`${printable(describeEnd(task))}; it is over.`];
  }
}

function pendingFor(reasons: readonly Reason[]): string {
  if (reasons.length === 0) return ': a node has room for it, it is about to be placed.';
  return reasons.some(isOwnTurn) ? ': it is not its turn yet:' : ': no node can take it now:';
}

function where({ node }: Task): string {
  return node === undefined ? 'a node' : printable(node);
}

function because(reason: string | undefined): string {
  return reason === undefined || reason === '' ? '' : ` (${printable(reason)})`;
}

function errorOf({ error, status_reason: reason }: Task): string | undefined {
  return error === undefined ? reason : [error.type, error.message].filter((part) => part !== '').join(': ');
}
