/** What every command is given: the terminal, the way to a cluster, and where to leave the exit status. */
import type { Command } from 'commander';

import { JarvisError } from '../lib/errors.ts';
import type { ClusterConnection } from './connection.ts';
import type { PeerOptions } from './options.ts';
import { parsePeers } from './options.ts';
import { DEFAULT_PEER, Peers } from './peers.ts';
import type { Terminal } from './terminal.ts';
import { notify } from './terminal.ts';

export interface Context {
  readonly terminal: Terminal;
  readonly dial: (address: string) => ClusterConnection;
  exitStatus: number;
}

/** Gives the peers to `use` and closes them afterwards, however it ends. */
export async function withPeers<T>(
  context: Context,
  command: Command,
  use: (peers: Peers) => Promise<T>,
): Promise<T> {
  const peers = new Peers({
    addresses: peerAddresses(context, command),
    dial: context.dial,
    onOutage: (message) => void notify(context.terminal, message),
  });
  try {
    return await use(peers);
  } finally {
    peers.close();
  }
}

/** `--peer`, before or after the command's name, then JARVIS_PEERS, then the default. @throws JarvisError invalid */
function peerAddresses(context: Context, command: Command): readonly string[] {
  for (let owner: Command | null = command; owner !== null; owner = owner.parent) {
    const { peer } = owner.opts<PeerOptions>();
    if (peer !== undefined) return peer;
  }
  const fromEnvironment = context.terminal.env['JARVIS_PEERS'];
  if (fromEnvironment === undefined || fromEnvironment === '') return [DEFAULT_PEER];
  try {
    return parsePeers(fromEnvironment);
  } catch (error) {
    throw new JarvisError(
      'invalid',
      `JARVIS_PEERS: "${fromEnvironment}" is not a list host:port[,host:port…]`,
      {
        cause: error,
      },
    );
  }
}

/** What to type to reach the same cluster: empty where the default does. */
export function peerArguments(context: Context, command: Command): string {
  const addresses = peerAddresses(context, command);
  const isDefault = addresses.length === 1 && addresses[0] === DEFAULT_PEER;
  const fromEnvironment = (context.terminal.env['JARVIS_PEERS'] ?? '') !== '';
  return isDefault || fromEnvironment ? '' : ` --peer ${addresses.join(',')}`;
}
