/** `jarvisctl wait TASK…`: until they are over; the exit status is the task's own, or whether all completed. */
import type { Command } from 'commander';

import type { Task } from '../../generated/cluster.ts';
import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { Deadline } from '../deadline.ts';
import { EXIT_FAILED, exitStatusOfTask, isTerminal } from '../exit-status.ts';
import { watchTask } from '../follow.ts';
import { clientLimits } from '../limits.ts';
import { LiveBlock } from '../live-block.ts';
import { addExamples, outputOption, parseDuration, peerOption } from '../options.ts';
import type { OutputOptions } from '../options.ts';
import { barOf } from '../output/bar.ts';
import { printAnswer } from '../output/format.ts';
import { describeEnd, namedTasksJson, taskAnswer } from '../output/tasks.ts';
import type { Peers } from '../peers.ts';
import { checkIds, eachTask, mapBounded } from '../task-arguments.ts';
import { printable, writeLine } from '../terminal.ts';

const BAR_WIDTH = 24;

interface WaitOptions extends OutputOptions {
  readonly timeout?: number;
}

export function registerWait(program: Command, context: Context): void {
  const command = program
    .command('wait')
    .description(
      'Wait until tasks are over. Exits with the exit code of a single task; with several, 0 only if all completed.',
    )
    .argument('<task...>', 'ids, or unambiguous beginnings of them')
    .option('--timeout <duration>', 'give up waiting after so long, with exit status 124', parseDuration)
    .addOption(outputOption())
    .addOption(peerOption())
    .action(async (ids: readonly string[], options: WaitOptions) => {
      await withPeers(context, command, (peers) => waitForTasks(context, peers, ids, options));
    });
  addExamples(command, 'jarvisctl wait task-7k2m --timeout 10m');
}

async function waitForTasks(
  context: Context,
  peers: Peers,
  ids: readonly string[],
  options: WaitOptions,
): Promise<void> {
  const { terminal } = context;
  checkIds(ids);
  using deadline = new Deadline(terminal.interrupted, options.timeout);
  await deadline.guard(
    async (signal) => {
      // First of all whether they exist and a peer answers: only what has begun well is waited for with patience.
      const found = await eachTask(context, ids, (id) =>
        peers.call((peer, inner) => peer.getTask({ id }, inner), signal),
      );
      if (found.some((task) => !isTerminal(task))) await peers.learn(signal);
      const isTable = options.output === 'table' || options.output === 'wide';
      await using block = new LiveBlock(terminal);
      let over = 0;
      const ended = await mapBounded(found, clientLimits.concurrentWatches, async (task) => {
        const end = await lastState(peers, task, signal);
        over += 1;
        await block.clear();
        if (isTable) await writeLine(terminal.stdout, printable(describeEnd(end)));
        if (over < found.length) await block.draw([{ text: tasksOver(over, found.length) }]);
        return end;
      });
      const json = (): unknown => namedTasksJson(ended);
      if (!isTable) await printAnswer(terminal, options.output, taskAnswer(terminal, ended, json));
      const [only] = ended;
      if (ids.length === 1 && only !== undefined) context.exitStatus = exitStatusOfTask(only);
      else if (!ended.every((task) => task.status === 'COMPLETED')) context.exitStatus ||= EXIT_FAILED;
    },
    () => `${ids.join(', ')}: not over yet`,
  );
}

async function lastState(peers: Peers, task: Task, signal: AbortSignal): Promise<Task> {
  let last = task;
  if (isTerminal(last)) return last;
  for await (const state of watchTask(peers, task.id, signal)) last = state;
  return last;
}

function tasksOver(over: number, all: number): string {
  return `${barOf(over / all, BAR_WIDTH)} ${over} of ${all} tasks are over`;
}
