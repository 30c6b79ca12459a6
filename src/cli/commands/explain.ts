/** `jarvisctl explain TASK…`: why tasks wait, and for what. */
import type { Command } from 'commander';

import type { Explanation, Task } from '../../generated/cluster.ts';
import { explanationToJson, listToJson } from '../../spec/json.ts';
import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { addExamples, outputOption, peerOption, staleOption } from '../options.ts';
import type { OutputOptions } from '../options.ts';
import { printAnswer } from '../output/format.ts';
import { whyNotRunning } from '../output/reasons.ts';
import { wrapLine } from '../output/wrap.ts';
import { eachTask } from '../task-arguments.ts';
import { columnsOf, write } from '../terminal.ts';
import type { Terminal } from '../terminal.ts';

export function registerExplain(program: Command, context: Context): void {
  const command = program
    .command('explain')
    .description('Say why tasks wait: their place in the queue, and what stands against each node.')
    .argument('<task...>', 'ids, or unambiguous beginnings of them')
    .addOption(outputOption())
    .addOption(staleOption())
    .addOption(peerOption())
    .action(async (ids: readonly string[], options: OutputOptions) => {
      const { terminal } = context;
      await withPeers(context, command, async (peers) => {
        const found = await eachTask(context, ids, (id) =>
          peers.call(async (peer, signal): Promise<Explained> => {
            const task = await peer.getTask({ id }, signal);
            return { task, explanation: await peer.explainTask({ id: task.id }, signal) };
          }, terminal.interrupted),
        );
        if (found.length === 0) return;
        if (options.output === 'table' || options.output === 'wide')
          return write(terminal.stdout, found.map((one) => shown(terminal, one)).join('\n'));
        const [only] = found;
        const isOne = ids.length === 1 && only !== undefined;
        await printAnswer(terminal, options.output, {
          items: found,
          columns: [],
          nameOf: ({ task }) => task.id,
          json: () => (isOne ? toJson(only) : listToJson(found.map(toJson))),
          whenEmpty: '',
        });
      });
    });
  addExamples(command, 'jarvisctl explain task-7k2m', 'jarvisctl explain task-7k2m -o json');
}

interface Explained {
  readonly task: Task;
  readonly explanation: Explanation;
}

function shown(terminal: Terminal, { task, explanation }: Explained): string {
  return whyNotRunning(task, explanation, Date.now())
    .flatMap((line) => wrapLine(line, columnsOf(terminal.stdout)))
    .map((line) => `${line}\n`)
    .join('');
}

function toJson({ explanation }: Explained): object {
  return explanationToJson(explanation);
}
