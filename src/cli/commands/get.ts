/** `jarvisctl get TASK…`: tasks as they are now. */
import type { Command } from 'commander';

import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { addExamples, outputOption, peerOption } from '../options.ts';
import type { OutputOptions } from '../options.ts';
import { printAnswer } from '../output/format.ts';
import { namedTasksJson, taskAnswer } from '../output/tasks.ts';
import { eachTask } from '../task-arguments.ts';

export function registerGet(program: Command, context: Context): void {
  const command = program
    .command('get')
    .description('Show tasks.')
    .argument('<task...>', 'ids, or unambiguous beginnings of them')
    .addOption(outputOption())
    .addOption(peerOption())
    .action(async (ids: readonly string[], options: OutputOptions) => {
      await withPeers(context, command, async (peers) => {
        const found = await eachTask(context, ids, (id) =>
          peers.call((peer, signal) => peer.getTask({ id }, signal), context.terminal.interrupted),
        );
        const json = (): unknown => namedTasksJson(found);
        if (found.length > 0)
          await printAnswer(context.terminal, options.output, taskAnswer(context.terminal, found, json));
      });
    });
  addExamples(command, 'jarvisctl get task-7k2m -o json');
}
