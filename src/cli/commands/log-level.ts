/** `jarvisctl node log-level NAME [LEVEL]`: from which level on a node logs. */
import { Argument, type Command } from 'commander';

import type { LogLevel } from '../../generated/cluster.ts';
import { LOG_LEVELS } from '../../lib/log.ts';
import { formatDurationMs } from '../../lib/quantities.ts';
import { logLevelToJson } from '../../spec/json.ts';
import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { addExamples, outputOption, parseDuration, peerOption } from '../options.ts';
import type { OutputOptions } from '../options.ts';
import { printAnswer } from '../output/format.ts';
import type { Column } from '../output/format.ts';

interface LogLevelOptions extends OutputOptions {
  readonly for?: number;
}

const COLUMNS: readonly Column<LogLevel>[] = [
  { title: 'NODE', cell: ({ node }) => node },
  { title: 'LEVEL', cell: ({ level }) => level },
  { title: 'CONFIGURED', cell: ({ configured }) => configured },
  {
    title: 'UNTIL',
    cell: ({ level, configured, until }) => until ?? (level === configured ? '-' : 'its next start'),
  },
];

export function registerLogLevel(node: Command, context: Context): void {
  const command = node
    .command('log-level')
    .description('Show from which level on a node logs, or change it for a while, without a restart.')
    .argument('<node>', 'the name of the node')
    .addArgument(new Argument('[level]', 'what it logs from now on').choices(LOG_LEVELS))
    .option(
      '--for <duration>',
      'then the configured level comes back; 24h at most, 0: not by itself (default: 1h)',
      parseDuration,
    )
    .addOption(outputOption())
    .addOption(peerOption())
    .action(async (name: string, level: string | undefined, options: LogLevelOptions) => {
      const { terminal } = context;
      if (level === undefined && options.for !== undefined)
        command.error('error: --for needs a level to change to', { code: 'commander.missingArgument' });
      await withPeers(context, command, async (peers) => {
        const period = options.for === undefined ? undefined : formatDurationMs(options.for);
        const found = await peers.call(
          (peer, signal) =>
            level === undefined
              ? peer.getLogLevel({ name }, signal)
              : peer.setLogLevel({ name, level, for: period }, signal),
          terminal.interrupted,
        );
        await printAnswer(terminal, options.output, {
          items: [found],
          columns: COLUMNS,
          nameOf: (one) => one.level,
          json: () => logLevelToJson(found),
          whenEmpty: '',
        });
      });
    });
  addExamples(command, 'jarvisctl node log-level n3', 'jarvisctl node log-level n3 debug --for 10m');
}
