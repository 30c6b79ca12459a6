/** `jarvisctl cancel TASK…`: ends tasks; what still runs of them is stopped with its grace time. */
import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';

import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { addExamples, outputOption, peerOption } from '../options.ts';
import type { OutputOptions } from '../options.ts';
import { printAnswer } from '../output/format.ts';
import { namedTasksJson, taskAnswer } from '../output/tasks.ts';
import { eachTask } from '../task-arguments.ts';

export function registerCancel(program: Command, context: Context): void {
  const command = program
    .command('cancel')
    .description('Cancel tasks: TERM to what runs of them, then KILL after their stop_grace.')
    .argument('<task...>', 'ids, or unambiguous beginnings of them')
    .addOption(outputOption())
    .addOption(peerOption())
    .action(async (ids: readonly string[], options: OutputOptions) => {
      await withPeers(context, command, async (peers) => {
        const cancelled = await eachTask(context, ids, (id) => {
          const request = { id, idempotency_key: randomUUID() };
          return peers.call((peer, signal) => peer.cancelTask(request, signal), context.terminal.interrupted);
        });
        const json = (): unknown => namedTasksJson(cancelled);
        if (cancelled.length > 0)
          await printAnswer(context.terminal, options.output, taskAnswer(context.terminal, cancelled, json));
      });
    });
  addExamples(
    command,
    'jarvisctl cancel task-7k2m',
    'jarvisctl cancel $(jarvisctl ls -o name --status PENDING)',
  );
}
