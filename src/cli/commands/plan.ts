/** `jarvisctl plan -f FILE`: where the tasks, batches and DAGs of a file would run, and why not; changes nothing. */
import type { Command } from 'commander';

import type { PlanItem, TaskPlan } from '../../generated/cluster.ts';
import { batchToWire, dagToWire } from '../../spec/group-wire.ts';
import { planToJson } from '../../spec/json.ts';
import { wireFromPlain } from '../../spec/wire.ts';
import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { EXIT_FAILED } from '../exit-status.ts';
import { addExamples, outputOption, peerOption } from '../options.ts';
import type { OutputOptions } from '../options.ts';
import { printAnswer } from '../output/format.ts';
import { reasonLines } from '../output/reasons.ts';
import { readSpecs } from '../spec-input.ts';
import { write } from '../terminal.ts';

interface PlanOptions extends OutputOptions {
  readonly file: string;
}

export function registerPlan(program: Command, context: Context): void {
  const command = program
    .command('plan')
    .description('Say where what a file holds would run now, and why not. Exits 1 if one fits nowhere.')
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
        if (plan.items.some(fitsNowhere)) context.exitStatus = EXIT_FAILED;
        if (options.output === 'table' || options.output === 'wide')
          return write(terminal.stdout, shown(plan));
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

/** What a task waits for that is no node. */
const OWN_TURN: ReadonlySet<string> = new Set(['not_before', 'max_parallel', 'concurrency']);

/** What only waits until others of its kind have ended has a place then. */
function fitsNowhere({ node, reasons }: PlanItem): boolean {
  if (node !== undefined) return false;
  // That it waits for others of its DAG says nothing of nodes: it is planned as if they had ended.
  const ofItself = reasons.filter(({ filter }) => filter !== 'dependencies');
  return ofItself.length === 0 || ofItself.some(({ filter }) => !OWN_TURN.has(filter));
}

function shown({ items }: TaskPlan): string {
  return items
    .flatMap(({ name, count, node, reasons }) => [
      `${name}${count === 1 ? '' : ` (${count} times)`}: ${node ?? 'nowhere at present'}`,
      ...reasonLines(reasons),
    ])
    .map((line) => `${line}\n`)
    .join('');
}
