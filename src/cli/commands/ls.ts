/** `jarvisctl ls`: tasks, newest first, through all pages of the list. */
import { Option } from 'commander';
import type { Command } from 'commander';

import type { ListTasksRequest, Task } from '../../generated/cluster.ts';
import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { clientLimits } from '../limits.ts';
import {
  addExamples,
  collectPairs,
  outputOption,
  parseCount,
  parseStatuses,
  peerOption,
  staleOption,
  watchOption,
} from '../options.ts';
import type { OutputOptions, WatchOptions } from '../options.ts';
import { listToJson, taskToJson } from '../../spec/json.ts';
import { taskAnswer } from '../output/tasks.ts';
import type { Peers } from '../peers.ts';
import { showOrWatch } from '../watch.ts';

interface LsOptions extends OutputOptions, WatchOptions {
  readonly label?: ReadonlyMap<string, string>;
  readonly status?: readonly string[];
  readonly node?: string;
  readonly name?: string;
  readonly batch?: string;
  readonly dag?: string;
  readonly limit?: number;
}

export function registerLs(program: Command, context: Context): void {
  const command = program
    .command('ls')
    .description('List tasks, the newest first.')
    .option('-l, --label <key=value>', 'only with this label (repeat: all must match)', collectPairs)
    .addOption(
      new Option('--status <status>', 'only in this status (repeat, or separate with commas)').argParser(
        parseStatuses,
      ),
    )
    .option('--node <node>', 'only on this node')
    .option('--name <name>', 'only of this name')
    .option('--batch <batch>', 'only of this batch')
    .option('--dag <dag>', 'only of this DAG, by its id or name; of a name its newest run')
    .option('--limit <n>', 'at most so many; default: all; with --watch 500', parseCount)
    .addOption(outputOption())
    .addOption(watchOption())
    .addOption(staleOption())
    .addOption(peerOption())
    .action(async (options: LsOptions) => {
      await withPeers(context, command, (peers) =>
        showOrWatch(context, peers, options, async (signal) => {
          const { tasks, nextCursor } = await listTasks(peers, bounded(options), signal);
          const json = (): unknown => listToJson(tasks.map(taskToJson), nextCursor);
          return taskAnswer(context.terminal, tasks, json);
        }),
      );
    });
  addExamples(
    command,
    'jarvisctl ls --status RUNNING,PENDING -l team=data',
    'jarvisctl ls --limit 20 -o wide',
    'jarvisctl ls --status RUNNING --watch',
  );
}

/** What is looked at every second is one page, unless the user wants more. */
function bounded(options: LsOptions): LsOptions {
  return options.watch === true ? { limit: clientLimits.pageItems, ...options } : options;
}

async function listTasks(
  peers: Peers,
  options: LsOptions,
  signal: AbortSignal,
): Promise<{ tasks: Task[]; nextCursor: string }> {
  const wanted = options.limit ?? Number.POSITIVE_INFINITY;
  const tasks: Task[] = [];
  let cursor = '';
  do {
    const request: ListTasksRequest = {
      status: [...(options.status ?? [])],
      node: options.node ?? '',
      name: options.name ?? '',
      label: [...(options.label ?? [])].map(([key, value]) => `${key}=${value}`),
      limit: Math.min(clientLimits.pageItems, wanted - tasks.length),
      cursor,
      batch_id: options.batch ?? '',
      dag_id: options.dag ?? '',
    };
    const page = await peers.call((peer, inner) => peer.listTasks(request, inner), signal);
    tasks.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor !== '' && tasks.length < wanted);
  return { tasks, nextCursor: cursor };
}
