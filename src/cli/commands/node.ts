/** `jarvisctl node ls`: the nodes, what they can hold and what they hold. */
import type { Command } from 'commander';

import type { Node } from '../../generated/cluster.ts';
import type { Capacity } from '../../generated/worker.ts';
import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { addExamples, outputOption, peerOption } from '../options.ts';
import type { OutputOptions } from '../options.ts';
import { ageOf } from '../output/age.ts';
import { printAnswer } from '../output/format.ts';
import type { Answer, Column } from '../output/format.ts';
import { listToJson, nodeToJson } from '../../spec/json.ts';
import { formatBytes, formatCpu } from '../output/quantities.ts';
import { printable, styled } from '../terminal.ts';
import type { Style, Terminal } from '../terminal.ts';

export function registerNode(program: Command, context: Context): void {
  const node = program.command('node').description('Look at the nodes of the cluster.');
  const command = node
    .command('ls')
    .description('List the nodes.')
    .addOption(outputOption())
    .addOption(peerOption())
    .action(async (options: OutputOptions) => {
      await withPeers(context, command, async (peers) => {
        const { interrupted } = context.terminal;
        const list = await peers.call((peer, signal) => peer.listNodes(signal), interrupted);
        const answer: Answer<Node> = {
          items: list.items,
          columns: nodeColumns(context.terminal, Date.now()),
          nameOf: (item) => item.name,
          json: () => listToJson(list.items.map(nodeToJson), list.next_cursor),
          whenEmpty: 'no nodes found',
        };
        await printAnswer(context.terminal, options.output, answer);
      });
    });
  addExamples(command, 'jarvisctl node ls -o wide');
}

const STATUS_STYLES: Readonly<Record<string, Style>> = {
  AVAILABLE: 'green',
  UNHEALTHY: 'yellow',
  OFFLINE: 'red',
};

function nodeColumns(terminal: Terminal, nowMs: number): readonly Column<Node>[] {
  return [
    { title: 'NAME', cell: (node) => printable(node.name) },
    {
      title: 'STATUS',
      cell: (node) => {
        const status = styled(terminal.stdout, STATUS_STYLES[node.status] ?? 'reset', node.status);
        return node.schedulable ? status : `${status},CORDONED`;
      },
    },
    { title: 'ROLE', cell: (node) => node.role },
    { title: 'CPU', cell: (node) => share(node, (amount) => formatCpu(amount.cpu_millis)) },
    { title: 'MEMORY', cell: (node) => share(node, (amount) => formatBytes(amount.memory_bytes)) },
    { title: 'TASKS', cell: (node) => String(node.active_tasks) },
    { title: 'HEARTBEAT', cell: (node) => ageOf(node.last_heartbeat_at, nowMs) },
    { title: 'AGE', cell: (node) => ageOf(node.joined_at, nowMs) },
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
