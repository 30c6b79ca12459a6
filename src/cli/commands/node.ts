/** `jarvisctl node ls|get|remove`: the nodes, what they can hold and what they hold. */
import { randomUUID } from 'node:crypto';

import type { Command } from 'commander';

import type { Node, RemoveNodeResponse } from '../../generated/cluster.ts';
import type { Capacity } from '../../generated/worker.ts';
import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { addExamples, outputOption, peerOption } from '../options.ts';
import type { OutputOptions } from '../options.ts';
import { ageOf } from '../output/age.ts';
import { printAnswer } from '../output/format.ts';
import type { Answer, Column } from '../output/format.ts';
import { listToJson, nodeToJson, removalToJson } from '../../spec/json.ts';
import { formatBytes, formatCpu } from '../output/quantities.ts';
import { nodeStatusCell } from '../output/usage.ts';
import { eachNamed } from '../task-arguments.ts';
import { notify, printable } from '../terminal.ts';
import type { Terminal } from '../terminal.ts';

export function registerNode(program: Command, context: Context): void {
  const node = program.command('node').description('The nodes of the cluster: look at them, remove them.');
  registerList(node, context);
  registerGet(node, context);
  registerRemove(node, context);
}

function registerList(node: Command, context: Context): void {
  const command = node
    .command('ls')
    .description('List the nodes.')
    .addOption(outputOption())
    .addOption(peerOption())
    .action(async (options: OutputOptions) => {
      await withPeers(context, command, async (peers) => {
        const { interrupted } = context.terminal;
        const list = await peers.call((peer, signal) => peer.listNodes(signal), interrupted);
        const json = (): unknown => listToJson(list.items.map(nodeToJson), list.next_cursor);
        await printAnswer(context.terminal, options.output, nodeAnswer(context.terminal, list.items, json));
      });
    });
  addExamples(command, 'jarvisctl node ls -o wide');
}

function registerGet(node: Command, context: Context): void {
  const command = node
    .command('get')
    .description('Show nodes.')
    .argument('<name...>')
    .addOption(outputOption())
    .addOption(peerOption())
    .action(async (names: readonly string[], options: OutputOptions) => {
      await withPeers(context, command, async (peers) => {
        const { terminal } = context;
        const found = await eachNamed(context, names, (name) =>
          peers.call((peer, signal) => peer.getNode({ name }, signal), terminal.interrupted),
        );
        const [first] = found;
        if (first === undefined) return;
        const json = (): unknown =>
          found.length === 1 ? nodeToJson(first) : listToJson(found.map(nodeToJson));
        const answer = nodeAnswer(terminal, found, json);
        // Whoever asks for one by name wants to know all of it.
        const columns = answer.columns.map((column) => ({ ...column, wide: false }));
        await printAnswer(terminal, options.output, { ...answer, columns });
      });
    });
  addExamples(command, 'jarvisctl node get n2 -o json');
}

function registerRemove(node: Command, context: Context): void {
  const command = node
    .command('remove')
    .description('Take a node that is gone off the list: it must be OFFLINE, and nothing open on it.')
    .argument('<name>')
    .option('--dead', 'vouch that nothing of it runs any more: what is on it is placed elsewhere at once')
    .addOption(outputOption())
    .addOption(peerOption())
    .action(async (name: string, options: OutputOptions & { readonly dead?: true }) => {
      await withPeers(context, command, async (peers) => {
        const { terminal } = context;
        const request = { name, dead: options.dead === true, idempotency_key: randomUUID() };
        const removal = await peers.call(
          (peer, signal) => peer.removeNode(request, signal),
          terminal.interrupted,
        );
        await printAnswer(terminal, options.output, removalAnswer(removal));
        const { member } = removal;
        if (member !== undefined)
          await notify(
            terminal,
            `${name} is still a ${member} of the cluster; "jarvisctl cluster remove ${name}" ends that`,
          );
      });
    });
  addExamples(command, 'jarvisctl node remove n3', 'jarvisctl node remove n3 --dead');
}

function removalAnswer(removal: RemoveNodeResponse): Answer<RemoveNodeResponse> {
  return {
    items: [removal],
    columns: [
      { title: 'REMOVED', cell: ({ name }) => printable(name) },
      { title: 'LOST ATTEMPTS', cell: ({ lost_attempts: lost }) => String(lost) },
      { title: 'STILL A MEMBER', cell: ({ member }) => member ?? 'no' },
    ],
    nameOf: ({ name }) => name,
    json: () => removalToJson(removal),
    whenEmpty: '',
  };
}

function nodeAnswer(terminal: Terminal, items: readonly Node[], json: () => unknown): Answer<Node> {
  return {
    items,
    columns: nodeColumns(terminal, Date.now()),
    nameOf: (item) => item.name,
    json,
    whenEmpty: 'no nodes found',
  };
}

function nodeColumns(terminal: Terminal, nowMs: number): readonly Column<Node>[] {
  return [
    { title: 'NAME', cell: (node) => printable(node.name) },
    { title: 'STATUS', cell: (node) => nodeStatusCell(terminal, node) },
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
