/** `jarvisctl config get|set`: the settings that belong to the cluster. */
import { randomUUID } from 'node:crypto';

import type { Command } from 'commander';

import type { ClusterSettings } from '../../generated/cluster.ts';
import { JarvisError } from '../../lib/errors.ts';
import { formatDurationMs, formatMemoryBytes } from '../../lib/quantities.ts';
import { isPlainObject } from '../../lib/plain-object.ts';
import { formatPath, invalidInput } from '../../spec/faults.ts';
import { settingsToJson } from '../../spec/json.ts';
import { SETTING_NAMES, checkStated, isDurationSetting } from '../../spec/settings/settings.ts';
import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { addExamples, outputOption, peerOption, staleOption } from '../options.ts';
import type { OutputOptions } from '../options.ts';
import { printAnswer } from '../output/format.ts';
import type { Answer } from '../output/format.ts';
import { plainYaml, readText } from '../spec-input.ts';
import { notify, printable } from '../terminal.ts';
import type { Terminal } from '../terminal.ts';

export function registerConfig(program: Command, context: Context): void {
  const config = program.command('config').description('The settings of the whole cluster.');
  registerGet(config, context);
  registerSet(config, context);
}

function registerGet(config: Command, context: Context): void {
  const command = config
    .command('get')
    .description('Show the settings, or those that are named.')
    .argument('[setting...]', `such as retention or heartbeat.timeout; ${allowed()}`)
    .addOption(outputOption())
    .addOption(staleOption())
    .addOption(peerOption())
    .action(async (names: readonly string[], options: OutputOptions) => {
      await withPeers(context, command, async (peers) => {
        const { terminal } = context;
        const settings = await peers.call((peer, signal) => peer.getConfig(signal), terminal.interrupted);
        await show(terminal, options, settings, names);
      });
    });
  addExamples(command, 'jarvisctl config get', 'jarvisctl config get retention -o json');
}

interface SetOptions extends OutputOptions {
  readonly file?: string;
}

function registerSet(config: Command, context: Context): void {
  const command = config
    .command('set')
    .description('Change settings while the cluster runs; the others stay as they are. null: the default.')
    .argument('[setting=value...]', `such as heartbeat.timeout=1m; ${allowed()}`)
    .option('-f, --file <file>', 'blocks of settings, as in the file of a node; - for stdin')
    .addOption(outputOption())
    .addOption(peerOption())
    .action(async (pairs: readonly string[], options: SetOptions) => {
      const changes = await changesOf(context.terminal, pairs, options.file);
      const request = {
        changes: JSON.stringify(changes),
        idempotency_key: randomUUID(),
        heartbeat: undefined,
      };
      await withPeers(context, command, async (peers) => {
        const { terminal } = context;
        const settings = await peers.call(
          (peer, signal) => peer.setConfig(request, signal),
          terminal.interrupted,
        );
        await show(terminal, options, settings, []);
      });
    });
  addExamples(
    command,
    'jarvisctl config set heartbeat.timeout=1m heartbeat.warning=20s',
    'jarvisctl config set retention.tasks=3d retry_policy.max_attempts=null',
    'jarvisctl config set -f alerts.yaml',
  );
}

function allowed(): string {
  return `settings of ${SETTING_NAMES.join(', ')}`;
}

/** @throws JarvisError invalid, with everything that is wrong */
async function changesOf(
  terminal: Terminal,
  pairs: readonly string[],
  file: string | undefined,
): Promise<object> {
  const changes = new Map<string, unknown>();
  if (file !== undefined) {
    const given = plainYaml(await readText(terminal, file), file);
    if (typeof given !== 'object' || given === null || Array.isArray(given))
      throw new JarvisError('invalid', `${file}: a map of settings is expected; allowed: ${allowed()}`);
    for (const [name, value] of Object.entries(given)) changes.set(name, value);
  }
  for (const pair of pairs) addPair(changes, pair);
  if (changes.size === 0)
    throw new JarvisError(
      'invalid',
      `names nothing to change: setting=value, or --file; allowed: ${allowed()}`,
    );
  const plain = Object.fromEntries(changes);
  const result = checkStated(plain);
  if (result.type === 'valid') return plain;
  throw invalidInput(result.faults.map(({ path, message }) => ({ path: formatPath(path), message })));
}

/** `block.field=value`, or `block=null`. */
function addPair(changes: Map<string, unknown>, pair: string): void {
  const at = pair.indexOf('=');
  const key = at < 0 ? pair : pair.slice(0, at);
  if (at < 0) throw new JarvisError('invalid', `${key} has no value: ${key}=VALUE`);
  const value = plainYaml(pair.slice(at + 1), key);
  const [block = '', ...rest] = key.split('.');
  const field = rest.join('.');
  const before = changes.get(block);
  const isTwice =
    field === ''
      ? before !== undefined
      : isPlainObject(before)
        ? Object.hasOwn(before, field)
        : before !== undefined;
  if (isTwice) throw new JarvisError('invalid', `${key} is set twice`);
  changes.set(block, field === '' ? value : { ...(isPlainObject(before) ? before : {}), [field]: value });
}

async function show(
  terminal: Terminal,
  options: OutputOptions,
  settings: ClusterSettings,
  names: readonly string[],
): Promise<void> {
  await printAnswer(terminal, options.output, answerOf(settings, names));
  const { heartbeat, settling_timeout: settling } = settings;
  if (settling !== undefined)
    await notify(
      terminal,
      `nodes are taken for gone after ${settling} s until leases of that length are over; after ${heartbeat?.timeout} s then`,
    );
}

type Line = readonly [key: string, value: string];

/** @throws JarvisError invalid where a name is none */
function answerOf(settings: ClusterSettings, names: readonly string[]): Answer<Line> {
  const all = settingsToJson(settings) as Readonly<Record<string, unknown>>;
  const { settling_timeout: settling, ...blocks } = all;
  const lines = Object.entries(blocks).flatMap(([block, fields]) =>
    Object.entries(fields ?? {}).map(([field, value]: [string, unknown]): Line => {
      const key = `${block}.${field}`;
      return [key, printable(cellOf(key, value))];
    }),
  );
  const wanted = (key: string) =>
    names.length === 0 || names.some((name) => key === name || key.startsWith(`${name}.`));
  for (const name of names) {
    if (!lines.some(([key]) => key === name || key.startsWith(`${name}.`)))
      throw new JarvisError('invalid', `${JSON.stringify(name)} is no setting; allowed: ${allowed()}`);
  }
  return {
    items: lines.filter(([key]) => wanted(key)),
    columns: [
      { title: 'SETTING', cell: ([key]) => key },
      { title: 'VALUE', fit: 'cut', cell: ([, value]) => value },
    ],
    nameOf: ([key]) => key,
    json: () => (names.length === 0 ? { ...blocks, settling_timeout: settling } : selected(blocks, wanted)),
    whenEmpty: '',
  };
}

function selected(blocks: Readonly<Record<string, unknown>>, wanted: (key: string) => boolean): object {
  return Object.fromEntries(
    Object.entries(blocks).flatMap(([block, fields]) => {
      const kept = Object.entries(fields as object).filter(([field]) => wanted(`${block}.${field}`));
      return kept.length === 0 ? [] : [[block, Object.fromEntries(kept)]];
    }),
  );
}

function cellOf(key: string, value: unknown): string {
  if (value === null || value === undefined) return '-';
  if (typeof value === 'object') return JSON.stringify(value);
  if (typeof value === 'number') {
    if (isDurationSetting(key)) return formatDurationMs(value * 1000);
    if (key.endsWith('_bytes')) return formatMemoryBytes(value);
  }
  return typeof value === 'string' ? value : JSON.stringify(value);
}
