/** `jarvisctl get TASK…`: tasks as they are now. */
import type { Command } from 'commander';

import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { addExamples, outputOption, peerOption, staleOption, watchOption } from '../options.ts';
import type { OutputOptions, WatchOptions } from '../options.ts';
import { namedTasksJson, taskAnswer } from '../output/tasks.ts';
import { showNamed } from '../watch.ts';

export function registerGet(program: Command, context: Context): void {
  const command = program
    .command('get')
    .description('Show tasks.')
    .argument('<task...>', 'ids, or unambiguous beginnings of them')
    .addOption(outputOption())
    .addOption(watchOption())
    .addOption(staleOption())
    .addOption(peerOption())
    .action(async (ids: readonly string[], options: OutputOptions & WatchOptions) => {
      await withPeers(context, command, (peers) =>
        showNamed(context, peers, options, {
          names: ids,
          ask: (id, signal) => peers.call((peer, inner) => peer.getTask({ id }, inner), signal),
          nameOf: ({ id }) => id,
          answerOf: (tasks) => taskAnswer(context.terminal, tasks, () => namedTasksJson(tasks)),
        }),
      );
    });
  addExamples(command, 'jarvisctl get task-7k2m -o json', 'jarvisctl get task-7k2m --watch');
}
