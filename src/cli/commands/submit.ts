/**
 * `jarvisctl submit -f FILE`: the tasks of a file, all or none, and its batches and DAGs, each all or none. Every fault
 * is found before anything is sent.
 */
import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';

import { batchToWire, dagToWire } from '../../spec/group-wire.ts';
import { dagToJson } from '../../spec/json.ts';
import type { SpecFile } from '../../spec/spec-file.ts';
import { wireFromPlain } from '../../spec/wire.ts';
import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { addExamples, outputOption, peerOption } from '../options.ts';
import type { OutputOptions } from '../options.ts';
import { printAnswer } from '../output/format.ts';
import { groupAnswer, submittedBatchAnswer } from '../output/groups.ts';
import { namedTasksJson, taskAnswer } from '../output/tasks.ts';
import type { Peers } from '../peers.ts';
import { readSpecs } from '../spec-input.ts';

interface SubmitOptions extends OutputOptions {
  readonly file: string;
}

export function registerSubmit(program: Command, context: Context): void {
  const command = program
    .command('submit')
    .description('Submit the tasks of a YAML or JSON file, all or none; or its batches and DAGs.')
    .requiredOption('-f, --file <file>', 'the file, with one or several documents; - for stdin')
    .addOption(outputOption())
    .addOption(peerOption())
    .action(async (options: SubmitOptions) => {
      const file = await readSpecs(context.terminal, options.file);
      await withPeers(context, command, (peers) => submitAll(context, peers, file, options));
    });
  addExamples(
    command,
    'jarvisctl submit -f examples/hello.yaml',
    'jarvisctl submit -f examples/etl-pipeline.yaml',
    'jarvisctl submit -o name -f - < task.json',
  );
}

/** The tasks of a file together, then each batch and each DAG. All of it was found valid before. */
async function submitAll(
  { terminal }: Context,
  peers: Peers,
  file: SpecFile,
  { output }: SubmitOptions,
): Promise<void> {
  const { interrupted } = terminal;
  if (file.tasks.length > 0) {
    const tasks = file.tasks.map(({ plain }) => wireFromPlain(plain));
    const request = { tasks, idempotency_key: randomUUID() };
    const answer = await peers.call((peer, signal) => peer.submitTasks(request, signal), interrupted);
    const json = (): unknown => namedTasksJson(answer.tasks);
    await printAnswer(terminal, output, taskAnswer(terminal, answer.tasks, json));
  }
  for (const plain of file.batches) {
    const request = batchToWire(plain, randomUUID());
    const answer = await peers.call((peer, signal) => peer.submitBatch(request, signal), interrupted);
    await printAnswer(terminal, output, submittedBatchAnswer(answer));
  }
  for (const plain of file.dags) {
    const request = dagToWire(plain, randomUUID());
    const dag = await peers.call((peer, signal) => peer.submitDag(request, signal), interrupted);
    await printAnswer(terminal, output, groupAnswer(terminal, [dag], { toJson: dagToJson, whenEmpty: '' }));
  }
}
