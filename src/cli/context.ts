/** What every command is given: the terminal, the way to a cluster, and where to leave the exit status. */
import type { Command } from 'commander';

import type { ClusterConnection } from './connection.ts';
import { Peers } from './peers.ts';
import { connectionSettings } from './settings/connection-settings.ts';
import type { ConnectionSettings } from './settings/connection-settings.ts';
import type { Terminal } from './terminal.ts';
import { notify } from './terminal.ts';

/** What a cluster asks of those who talk to it. */
export type Credentials = Pick<ConnectionSettings, 'token' | 'tls'>;

export interface Context {
  readonly terminal: Terminal;
  readonly dial: (address: string, credentials: Credentials) => ClusterConnection;
  exitStatus: number;
}

/** Gives the peers to `use` and closes them afterwards, however it ends. */
export async function withPeers<T>(
  context: Context,
  command: Command,
  use: (peers: Peers) => Promise<T>,
): Promise<T> {
  const { peers: addresses, token, tls } = connectionSettings(context.terminal.env, command);
  const peers = new Peers({
    addresses,
    dial: (address) => context.dial(address, { token, tls }),
    onOutage: (message) => void notify(context.terminal, message),
  });
  try {
    return await use(peers);
  } finally {
    peers.close();
  }
}

/** What to type to reach the same cluster: empty where nothing has to be said. */
export function peerArguments(context: Context, command: Command): string {
  return connectionSettings(context.terminal.env, command).flags;
}
