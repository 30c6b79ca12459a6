/** `jarvisctl token create|ls|revoke`: what callers show where the cluster asks for it. */
import { randomUUID } from 'node:crypto';

import type { Command } from 'commander';
import { Option } from 'commander';

import type { CreateTokenResponse, Token } from '../../generated/cluster.ts';
import { ROLES } from '../../model/token.ts';
import { listToJson } from '../../spec/json.ts';
import { createdTokenToJson, tokenToJson } from '../../spec/token-json.ts';
import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { addExamples, outputOption, parseDuration, peerOption } from '../options.ts';
import type { OutputOptions } from '../options.ts';
import { ageOf } from '../output/age.ts';
import { printAnswer, printJson } from '../output/format.ts';
import type { Column } from '../output/format.ts';
import { notify, printable, writeLine } from '../terminal.ts';

interface CreateOptions extends OutputOptions {
  readonly role: string;
  readonly name?: string;
  /** Milliseconds. */
  readonly expires?: number;
}

export function registerToken(program: Command, context: Context): void {
  const token = program.command('token').description('What callers show to a cluster that asks for it.');
  registerCreate(token, context);
  registerList(token, context);
  registerRevoke(token, context);
}

function registerCreate(token: Command, context: Context): void {
  const command = token
    .command('create')
    .description('Make a token and print it. It is shown once: the cluster keeps only a hash of it.')
    .addOption(
      new Option('--role <role>', 'what its holder may do; each role may do what those before it may')
        .choices(ROLES)
        .makeOptionMandatory(),
    )
    .option('--name <name>', 'for people; of those that can be used no two have the same (default: its id)')
    .option('--expires <duration>', 'how long it is good for (default: until it is revoked)', parseDuration)
    .addOption(outputOption())
    .addOption(peerOption())
    .action(async (options: CreateOptions) => {
      const { role, name = '', expires } = options;
      const expiry = expires === undefined ? undefined : String(expires / 1000);
      const request = { role, name, expires_in: expiry, idempotency_key: randomUUID() };
      await withPeers(context, command, async (peers) => {
        const { terminal } = context;
        const created = await peers.call(
          (peer, signal) => peer.createToken(request, signal),
          terminal.interrupted,
        );
        await show(context, options, created);
      });
    });
  addExamples(
    command,
    'jarvisctl token create --role submitter --name ci --expires 30d > ci.token',
    'jarvisctl token create --role viewer -o json',
  );
}

/** Alone on stdout, so that it can be written to a file. */
async function show(
  { terminal }: Context,
  { output }: OutputOptions,
  created: CreateTokenResponse,
): Promise<void> {
  if (output === 'json' || output === 'yaml')
    return await printJson(terminal, output, createdTokenToJson(created));
  const { id = '', name = '', role = '', expires_at: expiry } = created.token ?? {};
  if (output === 'name') return await writeLine(terminal.stdout, id);
  await writeLine(terminal.stdout, created.text);
  const end = expiry === undefined ? 'until it is revoked' : `until ${expiry}`;
  await notify(terminal, `token ${id} (${printable(name)}), ${role}, is good ${end}; it is not shown again`);
}

function registerList(token: Command, context: Context): void {
  const command = token
    .command('ls')
    .description(
      'Show the tokens, newest first; those that have ended for a week. Never what is shown of them.',
    )
    .addOption(outputOption())
    .addOption(peerOption())
    .action(async (options: OutputOptions) => {
      await withPeers(context, command, async (peers) => {
        const { terminal } = context;
        const { items } = await peers.call((peer, signal) => peer.listTokens(signal), terminal.interrupted);
        await printAnswer(terminal, options.output, {
          items,
          columns: columns(Date.now()),
          nameOf: ({ id }) => id,
          json: () => listToJson(items.map(tokenToJson)),
          whenEmpty: 'no tokens found',
        });
      });
    });
  addExamples(command, 'jarvisctl token ls', 'jarvisctl token ls -o json');
}

function registerRevoke(token: Command, context: Context): void {
  const command = token
    .command('revoke')
    .description('Revoke a token: it lets nobody in any more, and streams that it has opened end.')
    .argument('<id>', 'or its beginning')
    .addOption(outputOption())
    .addOption(peerOption())
    .action(async (id: string, options: OutputOptions) => {
      const request = { id, idempotency_key: randomUUID() };
      await withPeers(context, command, async (peers) => {
        const { terminal } = context;
        const revoked = await peers.call(
          (peer, signal) => peer.revokeToken(request, signal),
          terminal.interrupted,
        );
        await printAnswer(terminal, options.output, {
          items: [revoked],
          columns: columns(Date.now()),
          nameOf: (one) => one.id,
          json: () => tokenToJson(revoked),
          whenEmpty: '',
        });
      });
    });
  addExamples(command, 'jarvisctl token revoke 7k2m', 'jarvisctl token revoke 7k2m -o name');
}

function columns(nowMs: number): readonly Column<Token>[] {
  return [
    { title: 'ID', cell: ({ id }) => printable(id) },
    { title: 'NAME', cell: ({ name }) => printable(name) },
    { title: 'ROLE', cell: ({ role }) => printable(role) },
    { title: 'STATUS', cell: (token) => statusOf(token, nowMs) },
    { title: 'EXPIRES', cell: ({ expires_at: expiry }) => expiry ?? 'never' },
    { title: 'AGE', cell: ({ created_at: created }) => ageOf(created, nowMs) },
    { title: 'CREATED BY', wide: true, cell: ({ created_by: by }) => printable(by) },
  ];
}

function statusOf({ expires_at: expiry, revoked_at: revoked }: Token, nowMs: number): string {
  if (revoked !== undefined) return 'revoked';
  return expiry !== undefined && Date.parse(expiry) <= nowMs ? 'expired' : 'usable';
}
