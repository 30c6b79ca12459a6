/** `jarvisctl retry TASK…`: begins tasks anew that are over. */
import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';

import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { addExamples, outputOption, peerOption } from '../options.ts';
import type { OutputOptions } from '../options.ts';
import { printAnswer } from '../output/format.ts';
import { namedTasksJson, taskAnswer } from '../output/tasks.ts';
import { eachTask } from '../task-arguments.ts';

export function registerRetry(program: Command, context: Context): void {
  const command = program
    .command('retry')
    .description('Begin tasks anew that are over, with all the retries of their policy.')
    .argument('<task...>', 'ids, or unambiguous beginnings of them')
    .addOption(outputOption())
    .addOption(peerOption())
    .action(async (ids: readonly string[], options: OutputOptions) => {
      await withPeers(context, command, async (peers) => {
        const begun = await eachTask(context, ids, (id) => {
          const request = { id, idempotency_key: randomUUID() };
          return peers.call((peer, signal) => peer.retryTask(request, signal), context.terminal.interrupted);
        });
        const json = (): unknown => namedTasksJson(begun);
        if (begun.length > 0)
          await printAnswer(context.terminal, options.output, taskAnswer(context.terminal, begun, json));
      });
    });
  addExamples(
    command,
    'jarvisctl retry task-7k2m',
    'jarvisctl retry $(jarvisctl ls -o name --status PERMANENTLY_FAILED)',
  );
}
