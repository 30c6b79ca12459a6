/** The graph of a DAG as text, and in the languages of Mermaid and Graphviz. */
import { unreachable } from '../../lib/assert.ts';
import type { Dag, DagTask } from '../../generated/cluster.ts';
import { printable } from '../terminal.ts';

export const GRAPH_FORMATS = ['text', 'mermaid', 'dot'] as const;
export type GraphFormat = (typeof GRAPH_FORMATS)[number];

/** Of six digits: Graphviz knows no shorter ones. */
const COLOURS: Readonly<Record<string, string>> = {
  RUNNING: '#88ccff',
  COMPLETED: '#88dd88',
  FAILED: '#ffcc66',
  PERMANENTLY_FAILED: '#ff8888',
  CANCELLED: '#dd99dd',
  SKIPPED: '#cccccc',
};

/** Ends with an end of line. */
export function graphOf(dag: Dag, format: GraphFormat): string {
  switch (format) {
    case 'text':
      return asText(dag);
    case 'mermaid':
      return asMermaid(dag);
    case 'dot':
      return asDot(dag);
    default:
      return unreachable(format);
  }
}

/** Each task below all that it depends on, indented by the length of the longest way to it. */
function asText({ tasks }: Dag): string {
  const lines = inOrderOfLevels(tasks).map(({ task, level }) => {
    const after = task.dependencies.length === 0 ? '' : ` after ${task.dependencies.join(', ')}`;
    return printable(`${'  '.repeat(level)}${task.dag_task} ${task.status}${after}`);
  });
  return `${lines.join('\n')}\n`;
}

/** Those first that depend on nothing; `level` is the length of the longest way to a task. */
export function inOrderOfLevels(
  tasks: readonly DagTask[],
): readonly { readonly task: DagTask; readonly level: number }[] {
  const levels = levelsOf(tasks);
  return tasks
    .map((task) => ({ task, level: levels.get(task.dag_task) ?? 0 }))
    .sort((a, b) => a.level - b.level);
}

function levelsOf(tasks: readonly DagTask[]): ReadonlyMap<string, number> {
  const levels = new Map<string, number>();
  const open = new Map(tasks.map((task) => [task.dag_task, task.dependencies.length]));
  const dependents = new Map<string, string[]>();
  for (const { dag_task: id, dependencies } of tasks) {
    for (const other of dependencies) dependents.set(other, [...(dependents.get(other) ?? []), id]);
  }
  const ready = tasks.filter(({ dependencies }) => dependencies.length === 0).map(({ dag_task: id }) => id);
  for (let id = ready.pop(); id !== undefined; id = ready.pop()) {
    const level = levels.get(id) ?? 0;
    levels.set(id, level);
    for (const next of dependents.get(id) ?? []) {
      levels.set(next, Math.max(levels.get(next) ?? 0, level + 1));
      const left = (open.get(next) ?? 0) - 1;
      open.set(next, left);
      if (left === 0) ready.push(next);
    }
  }
  return levels;
}

function asMermaid({ tasks }: Dag): string {
  const names = new Map(tasks.map(({ dag_task: id }, at) => [id, `t${at}`]));
  const used = [...new Set(tasks.map(({ status }) => status))].filter((status) => status in COLOURS);
  const lines = [
    'graph LR',
    ...tasks.map(({ dag_task: id, status }) => `  ${names.get(id) ?? ''}["${id}"]:::${status}`),
    ...tasks.flatMap(({ dag_task: id, dependencies }) =>
      dependencies.map((other) => `  ${names.get(other) ?? ''} --> ${names.get(id) ?? ''}`),
    ),
    ...used.map((status) => `  classDef ${status} fill:${COLOURS[status] ?? ''}`),
  ];
  return `${lines.map(printable).join('\n')}\n`;
}

function asDot({ name, tasks }: Dag): string {
  const lines = [
    `digraph "${name}" {`,
    '  rankdir=LR;',
    ...tasks.map(({ dag_task: id, status }) => {
      const colour = COLOURS[status];
      const style = colour === undefined ? '' : `, style=filled, fillcolor="${colour}"`;
      return `  "${id}" [tooltip="${status}"${style}];`;
    }),
    ...tasks.flatMap(({ dag_task: id, dependencies }) =>
      dependencies.map((other) => `  "${other}" -> "${id}";`),
    ),
    '}',
  ];
  return `${lines.map(printable).join('\n')}\n`;
}
