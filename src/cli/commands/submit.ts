/** `jarvisctl submit -f FILE`: the tasks of a file, all or none. Every fault is found before anything is sent. */
import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';

import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { addExamples, outputOption, peerOption } from '../options.ts';
import type { OutputOptions } from '../options.ts';
import { printAnswer } from '../output/format.ts';
import { namedTasksJson, taskAnswer } from '../output/tasks.ts';
import { readTasks } from '../spec-input.ts';

interface SubmitOptions extends OutputOptions {
  readonly file: string;
}

export function registerSubmit(program: Command, context: Context): void {
  const command = program
    .command('submit')
    .description('Submit the tasks of a YAML or JSON file, all or none.')
    .requiredOption('-f, --file <file>', 'the file, with one or several documents; - for stdin')
    .addOption(outputOption())
    .addOption(peerOption())
    .action(async (options: SubmitOptions) => {
      const { terminal } = context;
      const tasks = await readTasks(terminal, options.file);
      const request = { tasks, idempotency_key: randomUUID() };
      await withPeers(context, command, async (peers) => {
        const answer = await peers.call(
          (peer, signal) => peer.submitTasks(request, signal),
          terminal.interrupted,
        );
        const json = (): unknown => namedTasksJson(answer.tasks);
        await printAnswer(terminal, options.output, taskAnswer(terminal, answer.tasks, json));
      });
    });
  addExamples(
    command,
    'jarvisctl submit -f examples/hello.yaml',
    'jarvisctl submit -o name -f - < task.json',
  );
}
