/** How busy nodes are, for people. */
import type { Node } from '../../generated/cluster.ts';
import { printable, styled } from '../terminal.ts';
import type { Style, Terminal } from '../terminal.ts';
import { ageOf } from './age.ts';
import type { Column } from './format.ts';
import { formatBytes, formatCpu } from './quantities.ts';

const NONE = '-';
const STATUS_STYLES: Readonly<Record<string, Style>> = {
  AVAILABLE: 'green',
  UNHEALTHY: 'yellow',
  OFFLINE: 'red',
  DRAINING: 'yellow',
  DRAINED: 'yellow',
};

/** The status, and what else keeps new work away: `AVAILABLE,CORDONED,SHORT OF disk`. */
export function nodeStatusCell(terminal: Terminal, node: Node): string {
  const status = styled(terminal.stdout, STATUS_STYLES[node.status] ?? 'reset', node.status);
  const cordoned = node.schedulable || node.drain !== undefined ? [] : ['CORDONED'];
  return [status, ...cordoned, ...node.pressure.map((short) => `SHORT OF ${printable(short)}`)].join(',');
}

/** By cpu, and those of which nothing is known last. */
export function busiestFirst(nodes: readonly Node[]): readonly Node[] {
  return nodes.toSorted((a, b) => busy(b) - busy(a) || a.name.localeCompare(b.name));
}

function busy({ usage }: Node): number {
  return usage?.cpu_percent ?? -1;
}

export function usageColumns(terminal: Terminal, nowMs: number): readonly Column<Node>[] {
  return [
    { title: 'NODE', fit: 'cut', cell: (node) => printable(node.name) },
    { title: 'STATUS', fit: 'cut', cell: (node) => nodeStatusCell(terminal, node) },
    { title: 'CPU', cell: ({ usage }) => (usage === undefined ? NONE : `${Math.round(usage.cpu_percent)}%`) },
    { title: 'SET ASIDE', cell: (node) => setAside(node) },
    { title: 'MEMORY', cell: ({ usage }) => (usage === undefined ? NONE : formatBytes(usage.memory_bytes)) },
    { title: 'SET ASIDE', cell: (node) => setAsideMemory(node) },
    {
      title: 'DISK',
      fit: 'drop',
      cell: ({ usage }) => (usage === undefined ? NONE : formatBytes(usage.disk_bytes)),
    },
    {
      title: 'NETWORK',
      fit: 'drop',
      cell: ({ usage }) => (usage === undefined ? NONE : `${formatBytes(usage.network_bytes_per_second)}/s`),
    },
    { title: 'TASKS', cell: (node) => String(node.active_tasks) },
    { title: 'HEARTBEAT', fit: 'drop', cell: (node) => ageOf(node.last_heartbeat_at, nowMs) },
  ];
}

function setAside({ allocated, capacity }: Node): string {
  if (allocated === undefined || capacity === undefined) return NONE;
  return `${formatCpu(allocated.cpu_millis)}/${formatCpu(capacity.cpu_millis)}`;
}

function setAsideMemory({ allocated, capacity }: Node): string {
  if (allocated === undefined || capacity === undefined) return NONE;
  return `${formatBytes(allocated.memory_bytes)}/${formatBytes(capacity.memory_bytes)}`;
}
