/** Nodes as tables show them. */
import type { Node } from '../../generated/cluster.ts';
import type { Capacity } from '../../generated/worker.ts';
import { nodeToJson } from '../../spec/json.ts';
import { progressOf } from '../drain.ts';
import { printable } from '../terminal.ts';
import type { Terminal } from '../terminal.ts';
import { ageOf } from './age.ts';
import type { Answer, Column } from './format.ts';
import { formatBytes, formatCpu } from './quantities.ts';
import { nodeStatusCell } from './usage.ts';

export function nodeAnswer(terminal: Terminal, items: readonly Node[], json: () => unknown): Answer<Node> {
  return {
    items,
    columns: nodeColumns(terminal, Date.now()),
    nameOf: (item) => item.name,
    json,
    itemJson: nodeToJson,
    whenEmpty: 'no nodes found',
  };
}

function nodeColumns(terminal: Terminal, nowMs: number): readonly Column<Node>[] {
  return [
    { title: 'NAME', fit: 'cut', cell: (node) => printable(node.name) },
    { title: 'STATUS', fit: 'cut', cell: (node) => nodeStatusCell(terminal, node) },
    { title: 'ROLE', fit: 'drop', cell: (node) => node.role },
    { title: 'CPU', cell: (node) => share(node, (amount) => formatCpu(amount.cpu_millis)) },
    { title: 'MEMORY', cell: (node) => share(node, (amount) => formatBytes(amount.memory_bytes)) },
    { title: 'TASKS', cell: (node) => String(node.active_tasks) },
    { title: 'HEARTBEAT', fit: 'drop', ticks: true, cell: (node) => ageOf(node.last_heartbeat_at, nowMs) },
    { title: 'AGE', fit: 'drop', ticks: true, cell: (node) => ageOf(node.joined_at, nowMs) },
    { title: 'DRAIN', ticks: true, wide: true, cell: (node) => printable(drainOf(node, nowMs)) },
    { title: 'ADDRESS', wide: true, cell: (node) => printable(node.address) },
    { title: 'HTTP', wide: true, cell: (node) => printable(node.http) },
    { title: 'VERSION', wide: true, cell: (node) => printable(node.version) },
    { title: 'DRIVERS', wide: true, cell: (node) => node.drivers.map(printable).join(',') },
    { title: 'ISOLATION', wide: true, cell: (node) => printable(node.isolation) },
    { title: 'LABELS', wide: true, cell: (node) => printable(labelsOf(node)) },
  ];
}

/** What is set aside, of what there is. */
function share(node: Node, show: (amount: Capacity) => string): string {
  const { allocated, capacity } = node;
  return capacity === undefined || allocated === undefined ? '-' : `${show(allocated)}/${show(capacity)}`;
}

function labelsOf(node: Node): string {
  const labels = Object.entries(node.labels).map(([key, value]) => `${key}=${value}`);
  return labels.length === 0 ? '-' : labels.join(',');
}

/** How far it is. */
function drainOf(node: Node, nowMs: number): string {
  const { drain, name } = node;
  if (drain === undefined) return '-';
  const why = drain.on_exit ? ', before it stops' : '';
  if (drain.finished_at !== undefined) return `done ${ageOf(drain.finished_at, nowMs)} ago${why}`;
  const [text] = progressOf(node, nowMs);
  return `${text.replace(`node ${name}: `, '').replace(`node ${name} `, '')}${why}`;
}
