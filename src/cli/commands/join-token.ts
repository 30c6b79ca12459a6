/** `jarvisctl cluster join-token [ls|rm]`: with which a node comes in that the cluster does not know yet. */
import { randomUUID } from 'node:crypto';

import type { Command } from 'commander';

import type { CreatedJoinToken, JoinToken, Node } from '../../generated/cluster.ts';
import { createdJoinTokenToJson, joinTokenToJson } from '../../spec/join-token-json.ts';
import { listToJson } from '../../spec/json.ts';
import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { addExamples, outputOption, parseCount, peerOption } from '../options.ts';
import type { OutputOptions } from '../options.ts';
import { ageOf } from '../output/age.ts';
import { printAnswer, printJson } from '../output/format.ts';
import type { Column } from '../output/format.ts';
import { notify, printable, writeLine } from '../terminal.ts';

/** Named for a node to join by: it asks them in turn. */
const MOST_ADDRESSES = 3;

interface CreateOptions extends OutputOptions {
  readonly expires?: string;
  readonly uses?: number;
  readonly name?: string;
  readonly quiet?: boolean;
}

export function registerJoinToken(cluster: Command, context: Context): void {
  const command = cluster
    .command('join-token')
    .description('Make a token with which a node comes in, and print the line that starts it.')
    .option('--expires <duration>', 'how long it is good for: 1h (default), at most 7d')
    .option('--uses <count>', 'how many nodes it lets in (default: 1)', parseCount)
    .option('--name <name>', 'the only name that it is good for (default: any that is free)')
    .option('-q, --quiet', 'print the token and nothing else')
    .addOption(outputOption())
    .addOption(peerOption())
    .action(async (options: CreateOptions) => {
      const { expires, uses, name } = options;
      const request = { expires, uses, name, idempotency_key: randomUUID(), secret_hash: '' };
      await withPeers(context, command, async (peers) => {
        const { terminal } = context;
        const created = await peers.call(
          (peer, signal) => peer.createJoinToken(request, signal),
          terminal.interrupted,
        );
        if (options.quiet === true) return await writeLine(terminal.stdout, created.token);
        if (options.output === 'json' || options.output === 'yaml')
          return await printJson(terminal, options.output, createdJoinTokenToJson(created));
        if (options.output === 'name') return await writeLine(terminal.stdout, created.info?.id ?? '');
        const { items } = await peers.call((peer, signal) => peer.listNodes(signal), terminal.interrupted);
        await writeLine(terminal.stdout, startLine(created, items));
        await notify(terminal, hintOf(created));
      });
    });
  addExamples(
    command,
    'jarvisctl cluster join-token --name n4',
    'jarvisctl cluster join-token --expires 15m --quiet > join-token',
  );
  registerList(command, context);
  registerRemove(command, context);
}

function registerList(joinToken: Command, context: Context): void {
  const command = joinToken
    .command('ls')
    .description('Show the join tokens that have not expired; never what they are worth.')
    .addOption(outputOption())
    .addOption(peerOption())
    .action(async (options: OutputOptions) => {
      await withPeers(context, command, async (peers) => {
        const { terminal } = context;
        const { items } = await peers.call(
          (peer, signal) => peer.listJoinTokens(signal),
          terminal.interrupted,
        );
        await printAnswer(terminal, options.output, {
          items,
          columns: columns(Date.now()),
          nameOf: ({ id }) => id,
          json: () => listToJson(items.map(joinTokenToJson)),
          whenEmpty: 'no join tokens found',
        });
      });
    });
  addExamples(command, 'jarvisctl cluster join-token ls');
}

function registerRemove(joinToken: Command, context: Context): void {
  const command = joinToken
    .command('rm')
    .description('Delete a join token: nobody comes in by it any more. Nodes that did stay.')
    .argument('<id>')
    .addOption(peerOption())
    .action(async (id: string) => {
      const request = { id, idempotency_key: randomUUID() };
      await withPeers(context, command, async (peers) => {
        const { terminal } = context;
        const gone = await peers.call(
          (peer, signal) => peer.deleteJoinToken(request, signal),
          terminal.interrupted,
        );
        await writeLine(terminal.stdout, gone.id);
      });
    });
  addExamples(command, 'jarvisctl cluster join-token rm join-0123456789abcdefgh');
}

function columns(nowMs: number): readonly Column<JoinToken>[] {
  return [
    { title: 'ID', cell: ({ id }) => id },
    { title: 'NAME', cell: ({ name }) => printable(name ?? 'any') },
    { title: 'USES LEFT', cell: (token) => `${token.uses_left}/${token.uses}` },
    { title: 'EXPIRES', cell: (token) => token.expires_at },
    { title: 'AGE', cell: (token) => ageOf(token.created_at, nowMs) },
    { title: 'USED BY', cell: (token) => printable(token.used_by.map(({ node }) => node).join(',') || '-') },
    { title: 'CREATED BY', wide: true, cell: (token) => printable(token.created_by) },
  ];
}

/** Ready to be pasted, but for the addresses of the new node's own. */
function startLine({ info, token }: CreatedJoinToken, nodes: readonly Node[]): string {
  const name = info?.name ?? 'NAME';
  return (
    `jarvisd --name ${name} --data-dir ./${name} --listen HOST:7101 --http HOST:8101 ` +
    `--join ${addressesOf(nodes).join(',') || 'HOST:PORT'} --join-token ${token}`
  );
}

function addressesOf(nodes: readonly Node[]): readonly string[] {
  const reachable = nodes.filter(({ status }) => status !== 'OFFLINE').slice(0, MOST_ADDRESSES);
  return reachable.map(({ address }) => printable(address));
}

function hintOf({ info }: CreatedJoinToken): string {
  const nodes = info?.uses === 1 ? 'one node' : `${info?.uses} nodes`;
  return (
    `good for ${nodes} until ${info?.expires_at}, and not shown again; lists of processes show flags: better keep it in a ` +
    'file (--quiet > FILE) and start the node with --join-token-file FILE'
  );
}
