/** `jarvisctl describe TASK…`: all that is known of tasks, for people. */
import type { Command } from 'commander';

import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { addExamples, outputOption, peerOption } from '../options.ts';
import type { OutputOptions } from '../options.ts';
import { describeTask } from '../output/describe.ts';
import { printAnswer } from '../output/format.ts';
import { namedTasksJson, taskAnswer } from '../output/tasks.ts';
import { eachTask } from '../task-arguments.ts';
import { write } from '../terminal.ts';

export function registerDescribe(program: Command, context: Context): void {
  const command = program
    .command('describe')
    .description('Show everything about tasks: what was asked for, what became of it, and every attempt.')
    .argument('<task...>', 'ids, or unambiguous beginnings of them')
    .addOption(outputOption())
    .addOption(peerOption())
    .action(async (ids: readonly string[], options: OutputOptions) => {
      const { terminal } = context;
      await withPeers(context, command, async (peers) => {
        const found = await eachTask(context, ids, (id) =>
          peers.call((peer, signal) => peer.getTask({ id }, signal), terminal.interrupted),
        );
        if (found.length === 0) return;
        if (options.output === 'table' || options.output === 'wide') {
          const nowMs = Date.now();
          return write(terminal.stdout, found.map((task) => describeTask(task, nowMs)).join('\n\n'));
        }
        const json = (): unknown => namedTasksJson(found);
        await printAnswer(terminal, options.output, taskAnswer(terminal, found, json));
      });
    });
  addExamples(command, 'jarvisctl describe task-7k2m');
}
