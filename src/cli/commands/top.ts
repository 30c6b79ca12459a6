/** `jarvisctl top`: what the nodes are busy with, and what runs there; on a terminal, until the user has seen enough. */
import { setTimeout as delay } from 'node:timers/promises';

import { Option } from 'commander';
import type { Command } from 'commander';

import type { ClusterStatus, Node, Task } from '../../generated/cluster.ts';
import { messageOf } from '../../lib/errors.ts';
import { listToJson, nodeToJson, taskToJson } from '../../spec/json.ts';
import { attemptToJson } from '../../spec/usage-json.ts';
import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { rowsOf, showFullScreen } from '../full-screen.ts';
import { clientLimits } from '../limits.ts';
import { addExamples, parseDuration, peerOption, staleOption } from '../options.ts';
import { printJson } from '../output/format.ts';
import { renderTable } from '../output/table.ts';
import { busiestFirst, usageColumns } from '../output/usage.ts';
import { ATTEMPT_COLUMNS } from '../output/resources.ts';
import { taskRows } from '../output/tasks.ts';
import type { Peers } from '../peers.ts';
import type { Terminal } from '../terminal.ts';
import { mostDemanding, type Demanding } from '../usage-questions.ts';
import { columnsOf, onOneLine, printable, styled, writeLine } from '../terminal.ts';

interface TopOptions {
  readonly interval: number;
  readonly once?: true;
  readonly tasks?: true;
  readonly output: 'table' | 'json';
}

interface Sample {
  readonly cluster: ClusterStatus;
  readonly nodes: readonly Node[];
  readonly running: readonly Task[];
  /** There are more than those. */
  readonly areMore: boolean;
  /** Of all nodes; null: they were not asked for. */
  readonly attempts: Demanding | null;
}

const DEFAULT_INTERVAL = '2s';
/** Running tasks that are shown where the output is no terminal. */
const PLAIN_TASKS = 20;

export function registerTop(program: Command, context: Context): void {
  const command = program
    .command('top')
    .description('Show how busy the nodes are and what runs there. On a terminal it goes on until Ctrl-C.')
    .addOption(
      new Option('--interval <duration>', 'how often it is looked at')
        .argParser(parseDuration)
        .default(parseDuration(DEFAULT_INTERVAL), DEFAULT_INTERVAL),
    )
    .option('--once', 'look once and end, as where the output is no terminal')
    .option('--tasks', 'what the most demanding tasks use, instead of the newest that run')
    .addOption(
      new Option('-o, --output <format>', 'table or json').choices(['table', 'json']).default('table'),
    )
    .addOption(staleOption())
    .addOption(peerOption())
    .action(async (options: TopOptions) => {
      await withPeers(context, command, (peers) => show(context, peers, options));
    });
  addExamples(command, 'jarvisctl top', 'jarvisctl top --tasks', 'jarvisctl top --once -o json');
}

async function show({ terminal }: Context, peers: Peers, options: TopOptions): Promise<void> {
  const { stdout, interrupted } = terminal;
  const look = (tasks: number): Promise<Sample> =>
    take(peers, { count: tasks, areDemanding: options.tasks === true }, interrupted);
  if (options.output === 'json')
    return printJson(terminal, 'json', jsonOf(await look(clientLimits.pageItems)));
  if (stdout.isTTY !== true || options.once === true) {
    const lines = viewOf(terminal, await look(PLAIN_TASKS), PLAIN_TASKS);
    return writeLine(stdout, lines.join('\n'));
  }
  await peers.learn(interrupted);
  return showFullScreen(terminal, views(terminal, look, options.interval));
}

function jsonOf({ nodes, running, areMore, attempts }: Sample): object {
  const items = listToJson(nodes.map(nodeToJson));
  if (attempts === null) return { nodes: items, running: running.map(taskToJson), are_more: areMore };
  const json = attempts.items.map(({ node, usage }) => ({ ...attemptToJson(usage), node }));
  return { nodes: items, attempts: json, are_more: attempts.areMore };
}

/** One after the other until the user has seen enough; an outage is shown above what was seen last. */
async function* views(
  terminal: Terminal,
  look: (tasks: number) => Promise<Sample>,
  intervalMs: number,
): AsyncGenerator<readonly string[], void> {
  const { interrupted, stdout } = terminal;
  let last: Sample | null = null;
  while (!interrupted.aborted) {
    const rows = rowsOf(stdout);
    let outage: readonly string[] = [];
    try {
      last = await look(rows);
    } catch (error) {
      if (interrupted.aborted) return;
      outage = [styled(stdout, 'red', onOneLine(messageOf(error)))];
    }
    yield [...outage, ...(last === null ? [] : viewOf(terminal, last, rows))];
    await delay(intervalMs, undefined, { signal: interrupted }).catch(() => {
      // Ctrl-C is how it ends.
    });
  }
}

/** So many tasks: the most demanding, or the newest. */
async function take(
  peers: Peers,
  { count, areDemanding }: { readonly count: number; readonly areDemanding: boolean },
  signal: AbortSignal,
): Promise<Sample> {
  const request = {
    status: ['RUNNING'],
    node: '',
    name: '',
    label: [],
    cursor: '',
    batch_id: '',
    dag_id: '',
  };
  // Names of demanding tasks are looked for in one whole page.
  const limit = areDemanding ? clientLimits.pageItems : Math.min(count, clientLimits.pageItems);
  const [cluster, nodes, running] = await Promise.all([
    peers.call((peer, inner) => peer.getCluster({ consistency: '' }, inner), signal),
    peers.call((peer, inner) => peer.listNodes(inner), signal),
    peers.call((peer, inner) => peer.listTasks({ ...request, limit }, inner), signal),
  ]);
  return {
    cluster,
    nodes: busiestFirst(nodes.items),
    running: running.items,
    areMore: running.next_cursor !== '',
    attempts: areDemanding
      ? await mostDemanding(peers, { nodes: nodes.items, running: running.items, count }, signal)
      : null,
  };
}

function viewOf(terminal: Terminal, sample: Sample, rows: number): readonly string[] {
  const { cluster, nodes } = sample;
  const columns = usageColumns(terminal, Date.now());
  const rowsOfNodes = nodes.map((node) => columns.map(({ cell }) => cell(node)));
  const table = renderTable(columns, rowsOfNodes, columnsOf(terminal.stdout)).split('\n');
  const summary = summaryOf(cluster, nodes);
  // Nodes first; tasks have what is left, and at least a few lines of it.
  const left = Math.max(4, rows - table.length - 4);
  return [summary, '', ...table, '', ...tasksOf(terminal, sample, left)];
}

function tasksOf(terminal: Terminal, sample: Sample, left: number): readonly string[] {
  const { running, attempts } = sample;
  const all: readonly unknown[] = attempts === null ? running : attempts.items;
  if (all.length === 0) return [attempts === null ? 'nothing runs' : 'nothing runs that has been measured'];
  const isCut = (attempts ?? sample).areMore || all.length > left;
  const more = isCut ? ['more run: "jarvisctl ls --status RUNNING" lists them all'] : [];
  if (attempts === null) return [...taskRows(terminal, running.slice(0, left)).split('\n'), ...more];
  const rows = attempts.items.slice(0, left).map((one) => ATTEMPT_COLUMNS.map(({ cell }) => cell(one)));
  return [...renderTable(ATTEMPT_COLUMNS, rows, columnsOf(terminal.stdout)).split('\n'), ...more];
}

function summaryOf({ leader, term }: ClusterStatus, nodes: readonly Node[]): string {
  const available = nodes.filter(({ status, schedulable }) => status === 'AVAILABLE' && schedulable).length;
  const tasks = nodes.reduce((sum, node) => sum + node.active_tasks, 0);
  const led = leader === '' ? 'no leader' : `leader ${printable(leader)}`;
  return `${led}, term ${term}; ${available} of ${nodes.length} nodes take work; ${tasks} ${tasks === 1 ? 'task' : 'tasks'} on them`;
}
