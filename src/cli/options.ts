/** Options that several commands share, and the parsers of their values. A bad value ends in one line and exit 2. */
import type { Command } from 'commander';
import { InvalidArgumentError, Option } from 'commander';

import { JarvisError } from '../lib/errors.ts';
import { parseDurationMs } from '../lib/quantities.ts';
import type { TaskStatus } from '../model/task.ts';
import { notAllowed } from './choices.ts';
import { OUTPUT_FORMATS } from './output/format.ts';
import type { OutputFormat } from './output/format.ts';

export interface OutputOptions {
  readonly output: OutputFormat;
}

/** The title in `--help` of the options that say which cluster is meant. */
export const CONNECTION = 'Connection:';

export function peerOption(): Option {
  return new Option(
    '--peer <host:port,…>',
    'any node of the cluster; several are tried in turn (env: JARVIS_PEERS)',
  )
    .argParser(parsePeers)
    .helpGroup(CONNECTION);
}

/** Whether a command that has it talks to a cluster. */
export function isConnectionOption(option: Option): boolean {
  return option.long === '--peer' && option.helpGroupHeading === CONNECTION;
}

export function outputOption(): Option {
  return new Option('-o, --output <format>', 'how to print it').choices(OUTPUT_FORMATS).default('table');
}

export interface WatchOptions {
  readonly watch?: true;
}

export function watchOption(): Option {
  return new Option('-w, --watch', 'go on showing it as it changes, until Ctrl-C');
}

export interface StaleOptions {
  readonly stale?: true;
}

/** Heeded by `withPeers`. */
export function staleOption(): Option {
  return new Option('--stale', 'as the node that is asked knows it, also without a leader; it may be old');
}

/** @throws InvalidArgumentError where one of them is no address */
export function parsePeers(text: string): readonly string[] {
  const addresses = text
    .split(',')
    .map((address) => address.trim())
    .filter((address) => address !== '');
  if (addresses.length === 0) throw new InvalidArgumentError('Allowed: host:port[,host:port…].');
  for (const address of addresses) {
    const match = /^(?:\[[0-9A-Fa-f:.]+\]|[^\s:/[\]]+):(\d{1,5})$/.exec(address);
    const port = Number(match?.[1]);
    if (match === null || port < 1 || port > 65_535)
      throw new InvalidArgumentError(`"${address}" is not an address, allowed: host:port[,host:port…].`);
  }
  return [...new Set(addresses)];
}

/** Seconds, or a duration such as `5m`; in milliseconds. */
export function parseDuration(text: string): number {
  const durationMs = durationOf(text);
  if (durationMs === null)
    throw new InvalidArgumentError('Allowed: seconds, or a duration such as 90s, 5m or 1h.');
  return durationMs;
}

function durationOf(text: string): number | null {
  try {
    return parseDurationMs(text);
  } catch (error) {
    if (error instanceof JarvisError) return null;
    throw error;
  }
}

export function parseCount(text: string): number {
  const count = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (count < 1) throw new InvalidArgumentError('Allowed: a whole number from 1 on.');
  return count;
}

/** 0 too: `--tail 0` shows only what is new. */
export function parseTail(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('Allowed: a whole number from 0 on.');
  return Number(text);
}

/** Collects `KEY=VALUE`; the last of the same key wins. */
export function collectPairs(
  text: string,
  previous: ReadonlyMap<string, string> | undefined,
): ReadonlyMap<string, string> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('Allowed: key=value.');
  return new Map([...(previous ?? []), [text.slice(0, at), text.slice(at + 1)]]);
}

/** Collects what is separated by commas. */
export function collectList(text: string, previous: readonly string[] | undefined): readonly string[] {
  return [...(previous ?? []), ...text.split(',').map((item) => item.trim())];
}

export interface MountOption {
  readonly source: string;
  readonly target: string;
  readonly read_only: boolean;
}

/** Collects `source:target[:ro]`. */
export function collectMounts(
  text: string,
  previous: readonly MountOption[] | undefined,
): readonly MountOption[] {
  const [source = '', target = '', mode = 'rw', ...more] = text.split(':');
  if (source === '' || target === '' || !['ro', 'rw'].includes(mode) || more.length > 0)
    throw new InvalidArgumentError('Allowed: source:target or source:target:ro, two absolute paths.');
  return [...(previous ?? []), { source, target, read_only: mode === 'ro' }];
}

/** `5m` ago, or an RFC 3339 time; as RFC 3339. */
export function parseSince(text: string): string {
  const durationMs = durationOf(text);
  if (durationMs !== null) return new Date(Date.now() - durationMs).toISOString();
  const isTime = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$/i.test(text);
  const atMs = isTime ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(atMs))
    throw new InvalidArgumentError('Allowed: a duration such as 5m, or a time such as 2026-12-01T00:00:00Z.');
  return new Date(atMs).toISOString();
}

/** Shown below a command's options. */
export function addExamples(command: Command, ...examples: readonly string[]): Command {
  const title = examples.length === 1 ? 'Example' : 'Examples';
  return command.addHelpText('after', `\n${title}:\n${examples.map((line) => `  $ ${line}`).join('\n')}`);
}

export const TASK_STATUSES = [
  'WAITING',
  'PENDING',
  'ASSIGNED',
  'RUNNING',
  'COMPLETED',
  'FAILED',
  'PERMANENTLY_FAILED',
  'CANCELLED',
  'SKIPPED',
] as const satisfies readonly TaskStatus[];

/** Collects statuses, in any case, separated by commas. */
export function parseStatuses(text: string, previous: readonly string[] | undefined): readonly string[] {
  const statuses = collectList(text, []).map((status) => status.toUpperCase().replaceAll('-', '_'));
  const known: readonly string[] = TASK_STATUSES;
  const unknown = statuses.find((status) => !known.includes(status));
  if (unknown !== undefined) throw notAllowed(unknown, known);
  return [...(previous ?? []), ...statuses];
}
