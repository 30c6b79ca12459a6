/** A plan as a preview, in the way of a diff: what would run and where, what would wait, and what fits nowhere. */
import type { PlanItem, TaskPlan } from '../../generated/cluster.ts';
import { unreachable } from '../../lib/assert.ts';
import { columnsOf, printable, styled } from '../terminal.ts';
import type { Style, Terminal } from '../terminal.ts';
import { isOwnTurn, reasonSentences } from './reasons.ts';
import { wrapLine } from './wrap.ts';

type Fate = 'runs' | 'waits' | 'nowhere';

const SIGNS: Readonly<Record<Fate, readonly [sign: string, style: Style]>> = {
  runs: ['+', 'green'],
  waits: ['~', 'yellow'],
  nowhere: ['-', 'red'],
};

/** What only waits until others of its kind have ended has a place then. */
export function fateOf({ node, reasons }: PlanItem): Fate {
  if (node !== undefined) return 'runs';
  // That it waits for others of its DAG says nothing of nodes: it is planned as if they had ended.
  const ofItself = reasons.filter(({ filter }) => filter !== 'dependencies');
  return ofItself.length > 0 && ofItself.every(isOwnTurn) ? 'waits' : 'nowhere';
}

/** Ends with an end of line. @param whole each item by itself; else those with names that differ by a number together */
export function planText(terminal: Terminal, plan: TaskPlan, whole: boolean): string {
  const columns = columnsOf(terminal.stdout);
  const lines = linesOf(plan.items, whole).flatMap(({ name, fate, nodes, count, reasons }) => {
    const [sign, style] = SIGNS[fate];
    const times = count === 1 ? '' : ` (${count} times)`;
    const head = wrapLine(`${sign} ${printable(name)}${times}: ${outcomeOf(fate, nodes, count)}`, columns);
    return [
      ...head.map((line) => styled(terminal.stdout, style, line)),
      ...reasons.flatMap((reason) => wrapLine(`    ${reason}`, columns)),
    ];
  });
  return `${[...lines, ...wrapLine(summaryOf(plan), columns)].join('\n')}\n`;
}

interface Line {
  readonly name: string;
  readonly fate: Fate;
  readonly count: number;
  /** How many of them on which. */
  readonly nodes: ReadonlyMap<string, number>;
  readonly reasons: readonly string[];
}

function linesOf(items: readonly PlanItem[], whole: boolean): readonly Line[] {
  const lines = new Map<string, Line>();
  for (const [at, item] of items.entries()) {
    const fate = fateOf(item);
    const reasons = reasonSentences(item.reasons);
    const pattern = item.name.replace(/\d+$/, '*');
    const key = whole ? String(at) : JSON.stringify([pattern, fate, reasons]);
    const known = lines.get(key);
    const nodes = new Map(known?.nodes);
    if (item.node !== undefined) nodes.set(item.node, (nodes.get(item.node) ?? 0) + item.count);
    const name = known === undefined || known.name === item.name ? item.name : pattern;
    lines.set(key, { name, fate, count: (known?.count ?? 0) + item.count, nodes, reasons });
  }
  return [...lines.values()];
}

function outcomeOf(fate: Fate, nodes: ReadonlyMap<string, number>, count: number): string {
  switch (fate) {
    case 'runs':
      return count === 1 ? [...nodes.keys()].map(printable).join('') : sharesOf(nodes);
    case 'waits':
      return 'waits for its turn';
    case 'nowhere':
      return 'fits nowhere at present';
    default:
      return unreachable(fate);
  }
}

function sharesOf(nodes: ReadonlyMap<string, number>): string {
  return [...nodes].map(([node, count]) => `${count} on ${printable(node)}`).join(', ');
}

function summaryOf({ items, index }: TaskPlan): string {
  const counts: Record<Fate, number> = { runs: 0, waits: 0, nowhere: 0 };
  const nodes = new Map<string, number>();
  for (const item of items) {
    counts[fateOf(item)] += item.count;
    if (item.node !== undefined) nodes.set(item.node, (nodes.get(item.node) ?? 0) + item.count);
  }
  const runs = `${counts.runs} would run${nodes.size === 0 ? '' : ` (${sharesOf(nodes)})`}`;
  const rest = `${counts.waits} would wait for their turn, ${counts.nowhere} fit nowhere`;
  return `Plan: ${runs}, ${rest}. Nothing was changed; as of index ${index}.`;
}
