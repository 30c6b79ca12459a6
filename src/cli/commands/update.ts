/** `jarvisctl update TASK…`: changes tasks that wait for their turn. */
import { randomUUID } from 'node:crypto';
import { Option, type Command } from 'commander';

import { JarvisError } from '../../lib/errors.ts';
import { PRIORITIES } from '../../model/task.ts';
import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { addExamples, collectList, collectPairs, outputOption, peerOption } from '../options.ts';
import type { OutputOptions } from '../options.ts';
import { printAnswer } from '../output/format.ts';
import { namedTasksJson, taskAnswer } from '../output/tasks.ts';
import { eachTask } from '../task-arguments.ts';

interface UpdateOptions extends OutputOptions {
  readonly priority?: string;
  readonly label?: ReadonlyMap<string, string>;
  readonly removeLabel?: readonly string[];
  readonly notBefore?: string;
}

export function registerUpdate(program: Command, context: Context): void {
  const command = program
    .command('update')
    .description('Change tasks while they wait for their turn.')
    .argument('<task...>', 'ids, or unambiguous beginnings of them')
    .addOption(new Option('--priority <priority>', 'their new priority').choices(PRIORITIES))
    .option('-l, --label <key=value>', 'set a label (repeat for several)', collectPairs)
    .option('--remove-label <key>', 'take a label away (repeat, or separate with commas)', collectList)
    .option('--not-before <time>', 'not to run before, such as 2026-12-01T00:00:00Z; now: at once')
    .addOption(outputOption())
    .addOption(peerOption())
    .action(async (ids: readonly string[], options: UpdateOptions) => {
      const { priority, label = new Map<string, string>(), removeLabel = [], notBefore } = options;
      const isNothing = priority === undefined && label.size === 0 && removeLabel.length === 0;
      if (isNothing && notBefore === undefined) {
        const known = '--priority, --label, --remove-label or --not-before';
        throw new JarvisError('invalid', `nothing is to be changed: ${known}`);
      }
      await withPeers(context, command, async (peers) => {
        const changed = await eachTask(context, ids, (id) => {
          const request = {
            id,
            idempotency_key: randomUUID(),
            priority,
            labels: Object.fromEntries(label),
            remove_labels: [...removeLabel],
            not_before: notBefore === 'now' ? '' : notBefore,
          };
          return peers.call((peer, signal) => peer.updateTask(request, signal), context.terminal.interrupted);
        });
        const json = (): unknown => namedTasksJson(changed);
        if (changed.length > 0)
          await printAnswer(context.terminal, options.output, taskAnswer(context.terminal, changed, json));
      });
    });
  addExamples(
    command,
    'jarvisctl update task-7k2m --priority high',
    'jarvisctl update task-7k2m -l team=data --remove-label draft',
  );
}
