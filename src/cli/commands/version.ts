/** `jarvisctl version`: of this program and, where one answers, of the node. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';

import type { VersionInfo } from '../../generated/cluster.ts';
import { packageFile } from '../../lib/program-files.ts';
import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { addExamples, outputOption, peerOption } from '../options.ts';
import type { OutputOptions } from '../options.ts';
import { printJson } from '../output/format.ts';
import { versionToJson } from '../../spec/json.ts';
import { isTransient } from '../peers.ts';
import type { Peers } from '../peers.ts';
import { notify, printable, writeLine } from '../terminal.ts';

export function registerVersion(program: Command, context: Context): void {
  const command = program
    .command('version')
    .description('Show the version of this program and of the node that answers.')
    .addOption(outputOption())
    .addOption(peerOption())
    .action(async (options: OutputOptions) => {
      await withPeers(context, command, async (peers) => {
        const server = await serverVersion(context, peers);
        const { terminal } = context;
        const client = { version: clientVersion(), node_version: process.version };
        if (options.output === 'json' || options.output === 'yaml') {
          const json = { client, server: server === null ? null : versionToJson(server) };
          return printJson(terminal, options.output, json);
        }
        await writeLine(terminal.stdout, `jarvisctl ${client.version} (Node.js ${client.node_version})`);
        if (server !== null)
          await writeLine(
            terminal.stdout,
            printable(
              `jarvisd ${server.version} (${server.name} at ${peers.address}, Node.js ${server.node_version})`,
            ),
          );
      });
    });
  addExamples(command, 'jarvisctl version -o json');
}

async function serverVersion(context: Context, peers: Peers): Promise<VersionInfo | null> {
  try {
    return await peers.call((peer, signal) => peer.version(signal), context.terminal.interrupted);
  } catch (error) {
    if (!isTransient(error)) throw error;
    await notify(context.terminal, error.message);
    return null;
  }
}

/** As in package.json, which stands at the same distance from the sources and from what is built of them. */
export function clientVersion(): string {
  const text = readFileSync(packageFile(), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
