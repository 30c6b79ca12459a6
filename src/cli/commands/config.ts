/** `jarvisctl config get|set`: the settings that belong to the cluster. */
import { randomUUID } from 'node:crypto';

import type { Command } from 'commander';

import type { ClusterSettings, HeartbeatChange } from '../../generated/cluster.ts';
import { JarvisError } from '../../lib/errors.ts';
import { settingsToJson } from '../../spec/json.ts';
import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { addExamples, outputOption, peerOption } from '../options.ts';
import type { OutputOptions } from '../options.ts';
import { printAnswer } from '../output/format.ts';
import type { Answer } from '../output/format.ts';
import { notify } from '../terminal.ts';
import type { Terminal } from '../terminal.ts';

const SETTABLE = ['interval', 'warning', 'timeout'] as const satisfies readonly (keyof HeartbeatChange)[];

export function registerConfig(program: Command, context: Context): void {
  const config = program.command('config').description('The settings of the whole cluster.');
  registerGet(config, context);
  registerSet(config, context);
}

function registerGet(config: Command, context: Context): void {
  const command = config
    .command('get')
    .description('Show the settings.')
    .addOption(outputOption())
    .addOption(peerOption())
    .action(async (options: OutputOptions) => {
      await withPeers(context, command, async (peers) => {
        const { terminal } = context;
        const settings = await peers.call((peer, signal) => peer.getConfig(signal), terminal.interrupted);
        await show(terminal, options, settings);
      });
    });
  addExamples(command, 'jarvisctl config get', 'jarvisctl config get -o json');
}

function registerSet(config: Command, context: Context): void {
  const command = config
    .command('set')
    .description('Change settings while the cluster runs; the others stay as they are.')
    .argument('<key=value...>', `such as heartbeat.timeout=1m; ${allowed()}`)
    .addOption(outputOption())
    .addOption(peerOption())
    .action(async (pairs: readonly string[], options: OutputOptions) => {
      const request = { heartbeat: changesOf(pairs), idempotency_key: randomUUID() };
      await withPeers(context, command, async (peers) => {
        const { terminal } = context;
        const settings = await peers.call(
          (peer, signal) => peer.setConfig(request, signal),
          terminal.interrupted,
        );
        await show(terminal, options, settings);
      });
    });
  addExamples(command, 'jarvisctl config set heartbeat.timeout=1m heartbeat.warning=20s');
}

function allowed(): string {
  return `allowed: ${SETTABLE.map((name) => `heartbeat.${name}`).join(', ')}`;
}

/** @throws JarvisError invalid */
function changesOf(pairs: readonly string[]): HeartbeatChange {
  const changes: Partial<Record<(typeof SETTABLE)[number], string>> = {};
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    const key = at < 0 ? pair : pair.slice(0, at);
    const name = SETTABLE.find((one) => key === `heartbeat.${one}`);
    if (name === undefined)
      throw new JarvisError('invalid', `${JSON.stringify(key)} is no setting to change; ${allowed()}`);
    if (at < 0) throw new JarvisError('invalid', `${key} has no value: ${key}=VALUE`);
    if (changes[name] !== undefined) throw new JarvisError('invalid', `${key} is set twice`);
    changes[name] = pair.slice(at + 1);
  }
  return changes;
}

async function show(terminal: Terminal, options: OutputOptions, settings: ClusterSettings): Promise<void> {
  await printAnswer(terminal, options.output, answerOf(settings));
  const { heartbeat, settling_timeout: settling } = settings;
  if (settling !== undefined)
    await notify(
      terminal,
      `nodes are taken for gone after ${settling} s until leases of that length are over; after ${heartbeat?.timeout} s then`,
    );
}

type Line = readonly [key: string, value: string];

function answerOf(settings: ClusterSettings): Answer<Line> {
  const { heartbeat, membership } = settings;
  return {
    items: [
      ['heartbeat.interval', `${heartbeat?.interval}s`],
      ['heartbeat.warning', `${heartbeat?.warning}s`],
      ['heartbeat.timeout', `${heartbeat?.timeout}s`],
      ['membership.voters', String(membership?.voters ?? '-')],
      ['membership.learners', String(membership?.learners)],
      ['membership.voter_grace', `${membership?.voter_grace}s`],
    ],
    columns: [
      { title: 'SETTING', cell: ([key]) => key },
      { title: 'VALUE', cell: ([, value]) => value },
    ],
    nameOf: ([key]) => key,
    json: () => settingsToJson(settings),
    whenEmpty: '',
  };
}
