/** `jarvisctl autoscaler`: what the autoscaler does, and what it would do. */
import { writeFile } from 'node:fs/promises';

import { Option, type Command } from 'commander';

import { simulate } from '../../autoscaler/core/simulator.ts';
import type { Arrival, Simulation } from '../../autoscaler/core/simulator.ts';
import { JarvisError, messageOf } from '../../lib/errors.ts';
import { formatDurationMs } from '../../lib/quantities.ts';
import type { Autoscaling } from '../../model/autoscaling.ts';
import { formatPath, invalidInput } from '../../spec/faults.ts';
import { checkStated, defaultSettings, resolveSettings } from '../../spec/settings/settings.ts';
import type { Context } from '../context.ts';
import { addExamples, outputOption, parseCount, parseDuration } from '../options.ts';
import type { OutputOptions } from '../options.ts';
import { printJson } from '../output/format.ts';
import { decisionsText, simulationSvg, simulationText, simulationToJson } from '../output/simulation.ts';
import { LONGEST_RUN_MS, readLoad } from '../simulated-load.ts';
import { plainYaml, readText } from '../spec-input.ts';
import { columnsOf, notify, write } from '../terminal.ts';
import type { Terminal } from '../terminal.ts';
import { registerScalingHistory, registerScalingStatus } from './autoscaler-status.ts';

/** Where nobody looks on. */
const PLAIN_COLUMNS = 100;
/** After the last arrival: time for the cluster to shrink again. */
const AFTERWARDS_MS = 3_600_000;

export function registerAutoscaler(program: Command, context: Context): void {
  const autoscaler = program.command('autoscaler').description('Nodes that come and go with the load.');
  registerScalingStatus(autoscaler, context);
  registerScalingHistory(autoscaler, context);
  registerSimulate(autoscaler, context);
}

interface SimulateOptions extends OutputOptions {
  readonly file: string;
  readonly config?: string;
  readonly slots: number;
  readonly boot: number;
  readonly founders: number;
  readonly until?: number;
  readonly svg?: string;
}

function registerSimulate(autoscaler: Command, context: Context): void {
  const command = autoscaler
    .command('simulate')
    .description(
      'Show what the rules would do with a load that is known: nodes and queue over time. Needs no cluster.',
    )
    .requiredOption('-f, --file <csv>', 'arrivals: columns time, tasks and duration; - for stdin')
    .option(
      '--config <file>',
      'YAML with an autoscaling block, as in the file of a node; default: the example of the docs',
    )
    .option('--slots <n>', 'tasks that a node runs at once', parseCount, 10)
    .addOption(
      new Option('--boot <duration>', 'from when a node is asked for until it takes work')
        .argParser(parseDuration)
        .default(120_000, '2m'),
    )
    .option('--founders <n>', 'nodes at the beginning; they vote, and stay', parseCount, 3)
    .option(
      '--until <duration>',
      'how much of the time to simulate; default: an hour beyond the last arrival',
      parseDuration,
    )
    .option('--svg <file>', 'write a picture of it, too')
    .addOption(outputOption())
    .action(async (options: SimulateOptions) => {
      const { terminal } = context;
      if ((options.until ?? 0) > LONGEST_RUN_MS)
        throw new JarvisError('invalid', `--until is at most ${formatDurationMs(LONGEST_RUN_MS)}`);
      const arrivals = readLoad(await readText(terminal, options.file), options.file);
      const settings = await settingsOf(terminal, options.config);
      const simulation = simulate(
        settings,
        { slots: options.slots, bootMs: options.boot, founders: options.founders },
        { arrivals, untilMs: options.until ?? endOf(arrivals) + AFTERWARDS_MS },
      );
      if (options.svg !== undefined) await writePicture(terminal, options.svg, simulation);
      await print(terminal, options, simulation);
    });
  addExamples(
    command,
    'jarvisctl autoscaler simulate -f examples/load.csv',
    'jarvisctl autoscaler simulate -f load.csv --config node.yaml --boot 4m --svg load.svg',
  );
}

function endOf(arrivals: readonly Arrival[]): number {
  return Math.max(...arrivals.slice(-1000).map(({ atMs, durationMs }) => atMs + durationMs));
}

async function print(terminal: Terminal, { output }: OutputOptions, simulation: Simulation): Promise<void> {
  if (output === 'json' || output === 'yaml')
    return printJson(terminal, output, simulationToJson(simulation));
  const text = simulationText(simulation, columnsOf(terminal.stdout) ?? PLAIN_COLUMNS);
  await write(terminal.stdout, output === 'wide' ? `${text}\n${decisionsText(simulation)}` : text);
}

async function writePicture(terminal: Terminal, file: string, simulation: Simulation): Promise<void> {
  try {
    await writeFile(file, simulationSvg(simulation));
  } catch (error) {
    throw new JarvisError('invalid', `cannot write ${file}: ${messageOf(error)}`, { cause: error });
  }
  await notify(terminal, `${file} is written`);
}

/** As in use case 8. */
const EXAMPLE = {
  min_nodes: 1,
  max_nodes: 20,
  scale_up_rules: [
    { metric: 'queue_depth', threshold: 100, action: 'add_nodes', count: 2 },
    { metric: 'average_wait_time', threshold: 300, action: 'add_nodes', count: 1 },
  ],
  scale_down_rules: [
    { metric: 'cluster_utilization', threshold: 30, cooldown: 600, action: 'remove_nodes', count: 1 },
  ],
};

/** @throws JarvisError invalid, with everything that is wrong */
async function settingsOf(terminal: Terminal, file: string | undefined): Promise<Autoscaling> {
  const block = file === undefined ? EXAMPLE : blockOf(await readText(terminal, file), file);
  const result = checkStated({ autoscaling: block });
  const { settings, faults } =
    result.type === 'valid'
      ? resolveSettings(result.stated, defaultSettings(1), defaultSettings(1))
      : { settings: defaultSettings(1), faults: result.faults };
  if (faults.length === 0) return settings.autoscaling;
  throw invalidInput(faults.map(({ path, message }) => ({ path: formatPath(path), message })));
}

function blockOf(text: string, file: string): unknown {
  const plain = plainYaml(text, file);
  if (typeof plain === 'object' && plain !== null && 'autoscaling' in plain) return plain.autoscaling;
  throw new JarvisError('invalid', `${file}: no block autoscaling`);
}
