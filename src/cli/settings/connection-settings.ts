/**
 * Which cluster a command talks to, and what it shows there: each setting from its flag, else from the environment,
 * else from a context, else its default.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';

import type { Command } from 'commander';
import { Option } from 'commander';

import { JarvisError, messageOf } from '../../lib/errors.ts';
import { CONNECTION, isConnectionOption, parsePeers } from '../options.ts';
import { DEFAULT_PEER } from '../peers.ts';
import { clientConfigFile, contextNamed, readClientConfig } from './client-config.ts';
import type { ContextSettings, TlsFiles } from './client-config.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export interface ConnectionSettings {
  /** `host:port` */
  readonly peers: readonly string[];
  readonly token: string | null;
  /** null: plain text */
  readonly tls: TlsFiles | null;
  /** The context that counts; null: none does. */
  readonly contextName: string | null;
  /** What to add to another command for it to reach the same cluster, with a space before it; empty: nothing. */
  readonly flags: string;
}

interface Flags {
  readonly peer?: readonly string[];
  readonly context?: string;
  readonly tokenFile?: string;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
}

const TLS_FLAGS = { ca: 'tlsCa', cert: 'tlsCert', key: 'tlsKey' } as const;
const MAX_TOKEN_BYTES = 4096;

/** Of files, wherever they are taken. */
export function credentialOptions(): readonly Option[] {
  return [
    new Option('--token-file <file>', 'a file that holds the token (env: JARVIS_TOKEN, the token itself)'),
    new Option('--tls-ca <file>', "the certificate of the cluster's CA (env: JARVIS_TLS_CA)"),
    new Option('--tls-cert <file>', 'the certificate of this client (env: JARVIS_TLS_CERT)'),
    new Option('--tls-key <file>', 'the key of that certificate (env: JARVIS_TLS_KEY)'),
  ];
}

/** Gives every command that takes `--peer` the other options of the connection, and those below it. */
export function addConnectionOptions(command: Command): void {
  for (const child of command.commands) addConnectionOptions(child);
  if (!command.options.some(isConnectionOption)) return;
  const context = new Option(
    '--context <context>',
    'one of the config file: see jarvisctl context (env: JARVIS_CONTEXT)',
  );
  const credentials = credentialOptions();
  // Once is enough: the program's own help shows them.
  if (command.parent !== null) for (const option of credentials) option.hideHelp();
  for (const option of [context, ...credentials]) {
    if (command.options.some(({ long }) => long === option.long)) continue;
    command.addOption(option.helpGroup(CONNECTION));
  }
}

/** @throws JarvisError invalid, not_found where the context is not there */
export function connectionSettings(env: Environment, command: Command): ConnectionSettings {
  const flags = flagsOf(command);
  const explicit = flags.context ?? fromEnvironment(env, 'JARVIS_CONTEXT');
  const peers = flags.peer ?? peersOfEnvironment(env);
  // Whoever names peers and no context is not talking of the current one: its token is not for them.
  const isCurrentMeant = explicit === undefined && peers === undefined;
  const file = clientConfigFile(env);
  const config = explicit !== undefined || isCurrentMeant ? readClientConfig(file) : { contexts: {} };
  const contextName = explicit ?? config.current;
  const context: ContextSettings = contextName === undefined ? {} : contextNamed(config, contextName, file);
  return {
    peers: peers ?? context.peers ?? [DEFAULT_PEER],
    token: tokenOf(env, flags) ?? context.token ?? null,
    tls: tlsOf(env, flags, context),
    contextName: contextName ?? null,
    flags: flagsToRepeat(flags),
  };
}

/** One line, without its end. @throws JarvisError invalid; never with what the file holds */
export function readToken(file: string): string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new JarvisError('invalid', `--token-file: cannot read ${file}: ${messageOf(error)}`, {
      cause: error,
    });
  }
  return checkedToken(text, `--token-file: ${file}`);
}

/** @throws JarvisError invalid where only some of the three are given */
export function wholeTls(files: Partial<TlsFiles>): TlsFiles | null {
  const { ca, cert, key } = files;
  if (ca !== undefined && cert !== undefined && key !== undefined) return { ca, cert, key };
  const given = { '--tls-ca': ca, '--tls-cert': cert, '--tls-key': key };
  const missing = Object.entries(given).flatMap(([flag, value]) => (value === undefined ? [flag] : []));
  if (missing.length === 3) return null;
  throw new JarvisError(
    'invalid',
    `${missing.join(' and ')} ${missing.length === 1 ? 'is' : 'are'} missing: gRPC needs the CA, a certificate and its key, all three`,
  );
}

/** Before or after the command's name; the one that is nearer to it counts. */
function flagsOf(command: Command): Flags {
  let flags: Flags = {};
  for (let owner: Command | null = command; owner !== null; owner = owner.parent)
    flags = { ...owner.opts<Flags>(), ...flags };
  return flags;
}

function fromEnvironment(env: Environment, name: string): string | undefined {
  const value = env[name];
  return value === '' ? undefined : value;
}

function peersOfEnvironment(env: Environment): readonly string[] | undefined {
  const text = fromEnvironment(env, 'JARVIS_PEERS');
  if (text === undefined) return undefined;
  try {
    return parsePeers(text);
  } catch (error) {
    throw new JarvisError('invalid', `JARVIS_PEERS: "${text}" is not a list host:port[,host:port…]`, {
      cause: error,
    });
  }
}

function tokenOf(env: Environment, flags: Flags): string | undefined {
  if (flags.tokenFile !== undefined) return readToken(flags.tokenFile);
  const token = fromEnvironment(env, 'JARVIS_TOKEN');
  return token === undefined ? undefined : checkedToken(token, 'JARVIS_TOKEN');
}

/** It becomes part of a header: visible ASCII. */
function checkedToken(token: string, where: string): string {
  if (/^[\u0021-\u007e]+$/.test(token) && token.length <= MAX_TOKEN_BYTES) return token;
  throw new JarvisError('invalid', `${where} holds no token; allowed: one line of visible ASCII characters`);
}

function tlsOf(env: Environment, flags: Flags, context: ContextSettings): TlsFiles | null {
  const files: Partial<Record<keyof TlsFiles, string>> = {};
  for (const part of ['ca', 'cert', 'key'] as const) {
    const own = flags[TLS_FLAGS[part]] ?? fromEnvironment(env, `JARVIS_TLS_${part.toUpperCase()}`);
    const file = own === undefined ? context.tls?.[part] : path.resolve(own);
    if (file !== undefined) files[part] = file;
  }
  return wholeTls(files);
}

/** What came from the environment or the config file is there the next time, too. */
function flagsToRepeat(flags: Flags): string {
  const isDefault = flags.peer?.length === 1 && flags.peer[0] === DEFAULT_PEER;
  const words = [
    ...(flags.peer === undefined || (isDefault && flags.context === undefined)
      ? []
      : ['--peer', flags.peer.join(',')]),
    ...pair('--context', flags.context),
    ...pair('--token-file', flags.tokenFile),
    ...pair('--tls-ca', flags.tlsCa),
    ...pair('--tls-cert', flags.tlsCert),
    ...pair('--tls-key', flags.tlsKey),
  ];
  return words.map((word) => ` ${word}`).join('');
}

function pair(flag: string, value: string | undefined): readonly string[] {
  return value === undefined ? [] : [flag, value];
}
