/** `jarvisctl context ls|show|use|set|delete`: the clusters of the user's config file. */
import path from 'node:path';
import { accessSync, constants } from 'node:fs';

import type { Command } from 'commander';

import { JarvisError, messageOf } from '../../lib/errors.ts';
import { NAME_RULE, isName } from '../../lib/names.ts';
import { listToJson } from '../../spec/json.ts';
import type { Context } from '../context.ts';
import { addExamples, outputOption, parsePeers } from '../options.ts';
import type { OutputOptions } from '../options.ts';
import { printAnswer } from '../output/format.ts';
import type { Answer } from '../output/format.ts';
import { DEFAULT_PEER } from '../peers.ts';
import {
  changeClientConfig,
  clientConfigFile,
  contextNamed,
  readClientConfig,
} from '../settings/client-config.ts';
import type { ClientConfig, ContextSettings, TlsFiles } from '../settings/client-config.ts';
import { credentialOptions, readToken, wholeTls } from '../settings/connection-settings.ts';
import { notify, printable } from '../terminal.ts';
import type { Terminal } from '../terminal.ts';

interface SetOptions extends OutputOptions {
  readonly peer?: readonly string[];
  readonly tokenFile?: string;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly removeToken?: true;
  readonly removeTls?: true;
}

export function registerContext(program: Command, context: Context): void {
  const parent = program
    .command('context')
    .description('The clusters of your config file: their peers, and what is shown to them.');
  registerList(parent, context);
  registerShow(parent, context);
  registerUse(parent, context);
  registerSet(parent, context);
  registerDelete(parent, context);
}

function registerList(parent: Command, { terminal }: Context): void {
  const command = parent
    .command('ls')
    .description('List the contexts.')
    .addOption(outputOption())
    .action(async (options: OutputOptions) => {
      const file = clientConfigFile(terminal.env);
      const config = readClientConfig(file);
      const shown = Object.keys(config.contexts)
        .sort()
        .map((name) => shownContext(config, name, file));
      const json = (): unknown => listToJson(shown.map(toJson));
      await printAnswer(terminal, options.output, answerOf(shown, json, file));
    });
  addExamples(command, 'jarvisctl context ls');
}

function registerShow(parent: Command, { terminal }: Context): void {
  const command = parent
    .command('show')
    .description('Show a context, but never its token.')
    .argument('[context]', 'default: the current one')
    .addOption(outputOption())
    .action(async (name: string | undefined, options: OutputOptions) => {
      const file = clientConfigFile(terminal.env);
      const config = readClientConfig(file);
      const wanted = name ?? config.current;
      if (wanted === undefined)
        throw new JarvisError(
          'not_found',
          `${file} has no current context; "jarvisctl context use" makes one it`,
        );
      await show(terminal, options, shownContext(config, wanted, file), file);
    });
  addExamples(command, 'jarvisctl context show', 'jarvisctl context show production -o yaml');
}

function registerUse(parent: Command, { terminal }: Context): void {
  const command = parent
    .command('use')
    .description('Make a context the current one, which counts where no --context and no --peer is given.')
    .argument('<context>')
    .addOption(outputOption())
    .action(async (name: string, options: OutputOptions) => {
      const file = clientConfigFile(terminal.env);
      contextNamed(readClientConfig(file), name, file);
      changeClientConfig(file, (config) => {
        contextNamed(config, name, file);
        return { ...config, current: name };
      });
      await show(terminal, options, shownContext(readClientConfig(file), name, file), file);
    });
  addExamples(command, 'jarvisctl context use production');
}

function registerSet(parent: Command, { terminal }: Context): void {
  const command = parent
    .command('set')
    .description(
      'Make a context, or change it; what is not given stays. The first one becomes the current one.',
    )
    .argument('<context>', 'its name')
    .option('--peer <host:port,…>', 'nodes of the cluster; several are tried in turn', parsePeers);
  for (const option of credentialOptions()) {
    // What the environment says is not taken into the file.
    option.description = option.description.replace(/ \(env: .*\)$/, '');
    command.addOption(option);
  }
  command
    .option('--remove-token', 'forget the token')
    .option('--remove-tls', 'forget the three files: plain text')
    .addOption(outputOption())
    .action(async (name: string, options: SetOptions) => {
      const file = clientConfigFile(terminal.env);
      const change = checkedChange(name, options);
      changeClientConfig(file, (config) => ({
        current: config.current ?? name,
        contexts: { ...config.contexts, [name]: changed(config, name, change, options) },
      }));
      const shown = shownContext(readClientConfig(file), name, file);
      await show(terminal, options, shown, file);
      if (shown.has_token && shown.tls === null && !shown.peers.every(isLoopback))
        await notify(
          terminal,
          `the token of ${name} will travel in plain text: --tls-ca, --tls-cert and --tls-key protect it`,
        );
    });
  addExamples(
    command,
    'jarvisctl context set test --peer 10.0.0.1:7101,10.0.0.2:7101',
    'jarvisctl context set production --peer n1.example.com:7101 --token-file token --tls-ca ca.pem --tls-cert me.pem --tls-key me.key',
  );
}

function registerDelete(parent: Command, { terminal }: Context): void {
  const command = parent
    .command('delete')
    .description('Take a context out of the file, with its token.')
    .argument('<context>')
    .action(async (name: string) => {
      const file = clientConfigFile(terminal.env);
      contextNamed(readClientConfig(file), name, file);
      changeClientConfig(file, (config) => {
        contextNamed(config, name, file);
        const { [name]: _gone, ...contexts } = config.contexts;
        return { current: config.current === name ? undefined : config.current, contexts };
      });
      await notify(terminal, `deleted ${name} from ${file}`);
    });
  addExamples(command, 'jarvisctl context delete test');
}

/** What is to be set, with every file that it names read or found. @throws JarvisError invalid */
function checkedChange(name: string, options: SetOptions): ContextSettings {
  if (!isName(name))
    throw new JarvisError('invalid', `${JSON.stringify(name)} is no context; allowed: ${NAME_RULE}`);
  const given = { ca: options.tlsCa, cert: options.tlsCert, key: options.tlsKey };
  const files: Partial<Record<keyof TlsFiles, string>> = {};
  for (const part of ['ca', 'cert', 'key'] as const) {
    const file = given[part];
    if (file !== undefined) files[part] = readable(file, `--tls-${part}`);
  }
  const tls = wholeTls(files);
  if (tls !== null && options.removeTls === true)
    throw new JarvisError('invalid', '--remove-tls and --tls-ca, --tls-cert, --tls-key exclude each other');
  if (options.tokenFile !== undefined && options.removeToken === true)
    throw new JarvisError('invalid', '--remove-token and --token-file exclude each other');
  const token = options.tokenFile === undefined ? undefined : readToken(options.tokenFile);
  return { peers: options.peer, token, tls: tls ?? undefined };
}

function changed(
  { contexts }: ClientConfig,
  name: string,
  change: ContextSettings,
  { removeToken, removeTls }: SetOptions,
): ContextSettings {
  const before: ContextSettings = (Object.hasOwn(contexts, name) ? contexts[name] : undefined) ?? {};
  return {
    peers: change.peers ?? before.peers,
    token: removeToken === true ? undefined : (change.token ?? before.token),
    tls: removeTls === true ? undefined : (change.tls ?? before.tls),
  };
}

function readable(file: string, flag: string): string {
  const absolute = path.resolve(file);
  try {
    accessSync(absolute, constants.R_OK);
  } catch (error) {
    throw new JarvisError('invalid', `${flag}: cannot read ${absolute}: ${messageOf(error)}`, {
      cause: error,
    });
  }
  return absolute;
}

function isLoopback(address: string): boolean {
  return /^(127\.\d+\.\d+\.\d+|localhost|\[::1\]):\d+$/.test(address);
}

/** A context as it may be seen. */
interface ShownContext {
  readonly name: string;
  readonly current: boolean;
  readonly peers: readonly string[];
  readonly has_token: boolean;
  readonly tls: TlsFiles | null;
}

function shownContext(config: ClientConfig, name: string, file: string): ShownContext {
  const { peers, token, tls } = contextNamed(config, name, file);
  return {
    name,
    current: config.current === name,
    peers: peers ?? [DEFAULT_PEER],
    has_token: token !== undefined,
    tls: tls ?? null,
  };
}

function toJson(context: ShownContext): object {
  return { ...context };
}

async function show(
  terminal: Terminal,
  { output }: OutputOptions,
  context: ShownContext,
  file: string,
): Promise<void> {
  await printAnswer(
    terminal,
    output,
    answerOf([context], () => toJson(context), file),
  );
}

function answerOf(items: readonly ShownContext[], json: () => unknown, file: string): Answer<ShownContext> {
  return {
    items,
    columns: [
      { title: 'NAME', cell: ({ name }) => printable(name) },
      { title: 'CURRENT', cell: ({ current }) => (current ? 'yes' : '-') },
      { title: 'PEERS', fit: 'cut', cell: ({ peers }) => printable(peers.join(',')) },
      { title: 'TLS', cell: ({ tls }) => (tls === null ? 'no' : 'yes') },
      { title: 'TOKEN', cell: ({ has_token: hasToken }) => (hasToken ? 'yes' : 'no') },
      { title: 'CA', wide: true, cell: ({ tls }) => printable(tls?.ca ?? '-') },
      { title: 'CERTIFICATE', wide: true, cell: ({ tls }) => printable(tls?.cert ?? '-') },
      { title: 'KEY', wide: true, cell: ({ tls }) => printable(tls?.key ?? '-') },
    ],
    nameOf: ({ name }) => name,
    json,
    whenEmpty: `${file} has no contexts; "jarvisctl context set NAME --peer host:port" makes one`,
  };
}
