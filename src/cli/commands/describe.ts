/** `jarvisctl describe TASK…`: all that is known of tasks, for people. */
import type { Command } from 'commander';

import type { Task } from '../../generated/cluster.ts';
import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { isTerminal } from '../exit-status.ts';
import { clientLimits } from '../limits.ts';
import { addExamples, outputOption, peerOption, staleOption } from '../options.ts';
import type { OutputOptions, StaleOptions } from '../options.ts';
import { describeTask } from '../output/describe.ts';
import { printAnswer } from '../output/format.ts';
import { namedTasksJson, taskAnswer } from '../output/tasks.ts';
import { attemptResources } from '../output/resources.ts';
import { whyNotRunning } from '../output/reasons.ts';
import type { Peers } from '../peers.ts';
import { eachTask, mapBounded } from '../task-arguments.ts';
import { columnsOf, write } from '../terminal.ts';
import { usageOfTask } from '../usage-questions.ts';

export function registerDescribe(program: Command, context: Context): void {
  const command = program
    .command('describe')
    .description('Show everything about tasks: what was asked for, what became of it, and every attempt.')
    .argument('<task...>', 'ids, or unambiguous beginnings of them')
    .addOption(outputOption())
    .addOption(staleOption())
    .addOption(peerOption())
    .action(async (ids: readonly string[], options: OutputOptions & StaleOptions) => {
      const { terminal } = context;
      await withPeers(context, command, async (peers) => {
        const found = await eachTask(context, ids, (id) =>
          peers.call((peer, signal) => peer.getTask({ id }, signal), terminal.interrupted),
        );
        if (found.length === 0) return;
        if (options.output === 'table' || options.output === 'wide') {
          const texts = await mapBounded(found, clientLimits.concurrentWatches, async (task) =>
            describeTask(task, await whyOf(peers, task, terminal.interrupted), {
              // One node alone is asked then.
              uses: options.stale === true ? [] : await usesOf(peers, task, terminal.interrupted),
              nowMs: Date.now(),
              columns: columnsOf(terminal.stdout),
            }),
          );
          return write(terminal.stdout, texts.join('\n\n'));
        }
        const json = (): unknown => namedTasksJson(found);
        await printAnswer(terminal, options.output, taskAnswer(terminal, found, json));
      });
    });
  addExamples(command, 'jarvisctl describe task-7k2m');
}

/** Of one that runs, what it uses. */
async function usesOf(peers: Peers, task: Task, signal: AbortSignal): Promise<readonly string[]> {
  if (task.status !== 'RUNNING') return [];
  const answer = await usageOfTask(peers, task.id, signal);
  if ('why' in answer) return [answer.why];
  return answer.usage.usage === undefined ? [] : attemptResources(answer.usage.usage);
}

/** Of one that does not run, why; of any other nothing that the description does not say. */
async function whyOf(peers: Peers, task: Task, signal: AbortSignal): Promise<readonly string[]> {
  if (task.status === 'RUNNING' || isTerminal(task)) return [];
  const explanation = await peers.call((peer, inner) => peer.explainTask({ id: task.id }, inner), signal);
  return whyNotRunning(task, explanation, Date.now());
}
