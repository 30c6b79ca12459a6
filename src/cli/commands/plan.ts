/** `jarvisctl plan -f FILE`: where the tasks, batches and DAGs of a file would run, and why not; changes nothing. */
import type { Command } from 'commander';

import { batchToWire, dagToWire } from '../../spec/group-wire.ts';
import { planToJson } from '../../spec/json.ts';
import { wireFromPlain } from '../../spec/wire.ts';
import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { EXIT_FAILED } from '../exit-status.ts';
import { addExamples, outputOption, peerOption } from '../options.ts';
import type { OutputOptions } from '../options.ts';
import { printAnswer } from '../output/format.ts';
import { fateOf, planText } from '../output/plan.ts';
import { readSpecs } from '../spec-input.ts';
import { write } from '../terminal.ts';

interface PlanOptions extends OutputOptions {
  readonly file: string;
}

export function registerPlan(program: Command, context: Context): void {
  const command = program
    .command('plan')
    .description(
      'Preview what a file holds: + would run, ~ would wait for its turn, - fits nowhere, and why. Exits 1 if one fits nowhere.',
    )
    .requiredOption('-f, --file <file>', 'the file, with one or several documents; - for stdin')
    .addOption(outputOption())
    .addOption(peerOption())
    .action(async (options: PlanOptions) => {
      const { terminal } = context;
      const file = await readSpecs(terminal, options.file);
      const request = {
        tasks: file.tasks.map(({ plain }) => wireFromPlain(plain)),
        batches: file.batches.map((plain) => batchToWire(plain, '')),
        dags: file.dags.map((plain) => dagToWire(plain, '')),
      };
      await withPeers(context, command, async (peers) => {
        const plan = await peers.call(
          (peer, signal) => peer.planTasks(request, signal),
          terminal.interrupted,
        );
        if (plan.items.some((item) => fateOf(item) === 'nowhere')) context.exitStatus = EXIT_FAILED;
        if (options.output === 'table' || options.output === 'wide')
          return write(terminal.stdout, planText(terminal, plan, options.output === 'wide'));
        await printAnswer(terminal, options.output, {
          items: plan.items,
          columns: [],
          nameOf: ({ name }) => name,
          json: () => planToJson(plan),
          whenEmpty: '',
        });
      });
    });
  addExamples(command, 'jarvisctl plan -f examples/hello.yaml', 'jarvisctl plan -o json -f - < task.json');
}
