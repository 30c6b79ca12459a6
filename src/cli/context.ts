/** What every command is given: the terminal, the way to a cluster, and where to leave the exit status. */
import type { Command } from 'commander';

import { JarvisError } from '../lib/errors.ts';
import type { ClusterConnection } from './connection.ts';
import { Peers } from './peers.ts';
import type { Freshness } from '../rpc/freshness.ts';
import type { StaleOptions } from './options.ts';
import { connectionSettings } from './settings/connection-settings.ts';
import type { ConnectionSettings } from './settings/connection-settings.ts';
import type { Terminal } from './terminal.ts';
import { notify } from './terminal.ts';
import { speakingTls } from './tls-probe.ts';

/** What a cluster asks of those who talk to it. */
export type Credentials = Pick<ConnectionSettings, 'token' | 'tls'>;

export interface DialOptions {
  /** The node that is asked answers reads from its own state, however old that is. */
  readonly stale?: boolean;
}

export interface Context {
  readonly terminal: Terminal;
  readonly dial: (address: string, credentials: Credentials, options: DialOptions) => ClusterConnection;
  exitStatus: number;
}

/**
 * Gives the peers to `use` and closes them afterwards, however it ends. Where the user asks for stale answers it says how
 * old they are. @param options.stale answers may be old, and nobody has to be told
 */
export async function withPeers<T>(
  context: Context,
  command: Command,
  use: (peers: Peers) => Promise<T>,
  options: DialOptions = {},
): Promise<T> {
  const { peers: addresses, token, tls } = connectionSettings(context.terminal.env, command);
  const { stale: isAskedFor = false } = command.opts<StaleOptions>();
  const stale = isAskedFor || options.stale === true;
  const peers = new Peers({
    addresses,
    dial: (address) => context.dial(address, { token, tls }, { stale }),
    onOutage: (message) => void notify(context.terminal, message),
  });
  try {
    const result = await use(peers);
    const { address, freshness } = peers;
    if (isAskedFor && freshness !== null) await notify(context.terminal, staleness(address, freshness));
    return result;
  } catch (error) {
    throw tls === null ? await hinted(error, addresses, context.terminal.interrupted) : error;
  } finally {
    peers.close();
  }
}

/** Of a cluster with TLS, to which somebody came in plain text. */
async function hinted(
  error: unknown,
  addresses: readonly string[],
  interrupted: AbortSignal,
): Promise<unknown> {
  if (!(error instanceof JarvisError) || error.code !== 'unavailable' || interrupted.aborted) return error;
  const [first] = await speakingTls(addresses, interrupted);
  if (first === undefined) return error;
  const hint = `${first} speaks TLS: --context, or --tls-ca, --tls-cert and --tls-key`;
  return new JarvisError('unavailable', `${error.message}; ${hint}`, { cause: error });
}

function staleness(address: string, { index, ageMs }: Freshness): string {
  const age = ageMs === null ? 'of unknown age' : `${(ageMs / 1000).toFixed(1)} s old at most`;
  return `stale: what ${address} knew at index ${index}, ${age}`;
}

/** What to type to reach the same cluster: empty where nothing has to be said. */
export function peerArguments(context: Context, command: Command): string {
  return connectionSettings(context.terminal.env, command).flags;
}
