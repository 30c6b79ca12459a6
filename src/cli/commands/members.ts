/** `jarvisctl cluster members|transfer|add|remove|promote|demote`: who belongs to the cluster, who votes, who leads. */
import { randomUUID } from 'node:crypto';

import type { Command } from 'commander';

import type { ClusterStatus, Member } from '../../generated/cluster.ts';
import { clusterToJson } from '../../spec/json.ts';
import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { addExamples, outputOption, peerOption, staleOption } from '../options.ts';
import type { OutputOptions } from '../options.ts';
import { memberColumns, withCopy } from '../output/cluster.ts';
import { printAnswer } from '../output/format.ts';
import type { ClusterConnection } from '../connection.ts';

type Ask = (peer: ClusterConnection, signal: AbortSignal) => Promise<ClusterStatus>;

export function registerMembers(cluster: Command, context: Context): void {
  registerList(cluster, context);
  registerTransfer(cluster, context);
  registerAdd(cluster, context);
  registerRemove(cluster, context);
  registerPromote(cluster, context);
  registerDemote(cluster, context);
}

function registerList(cluster: Command, context: Context): void {
  const command = withCommon(
    cluster
      .command('members')
      .description('Show the members, and behind them the nodes that work without a copy of the state.')
      .addOption(staleOption()),
  ).action(async (options: OutputOptions) => {
    await withPeers(context, command, async (peers) => {
      const { interrupted } = context.terminal;
      const status = await peers.call(
        (peer, inner) => peer.getCluster({ consistency: '' }, inner),
        interrupted,
      );
      await show(context, options, { status, members: status.members });
    });
  });
  addExamples(command, 'jarvisctl cluster members', 'jarvisctl cluster members -o json');
}

function registerTransfer(cluster: Command, context: Context): void {
  const command = withCommon(
    cluster
      .command('transfer')
      .description('Hand the leadership to another voter.')
      .argument('[member]', 'a voter; absent: the one that is furthest with the log'),
  ).action(async (to: string | undefined, options: OutputOptions) => {
    const request = { to: to ?? '', idempotency_key: randomUUID() };
    await answer(
      context,
      command,
      options,
      (peer, signal) => peer.transferLeadership(request, signal),
      // Who has handed over does not know how far the others are.
      (peer, signal) => peer.getCluster({ consistency: '' }, signal),
    );
  });
  addExamples(command, 'jarvisctl cluster transfer', 'jarvisctl cluster transfer n2');
}

function registerAdd(cluster: Command, context: Context): void {
  const command = withCommon(
    cluster
      .command('add')
      .description(
        'Let a blank node in, as a learner, or without a copy where there are learners enough. One that was started with --join asks by itself.',
      )
      .argument('<name>')
      .argument('<address>', 'its gRPC address, host:port'),
  ).action(async (name: string, address: string, options: OutputOptions) => {
    await answer(context, command, options, changing('add', name, { address }));
  });
  addExamples(command, 'jarvisctl cluster add n4 10.0.0.4:7101');
}

function registerRemove(cluster: Command, context: Context): void {
  const command = withCommon(
    cluster
      .command('remove')
      .description('Remove a member for good: its process ends, its data directory can never come back.')
      .argument('<member>'),
  ).action(async (name: string, options: OutputOptions) => {
    await answer(context, command, options, changing('remove', name, {}));
  });
  addExamples(command, 'jarvisctl cluster remove n4');
}

function registerPromote(cluster: Command, context: Context): void {
  const command = withCommon(
    cluster
      .command('promote')
      .description('Let a learner vote, in the place of a voter where there are enough.')
      .argument('<member>')
      .option('--instead-of <member>', 'the voter that becomes a learner in the same change'),
  ).action(async (name: string, options: OutputOptions & { readonly insteadOf?: string }) => {
    await answer(context, command, options, changing('promote', name, { other: options.insteadOf ?? '' }));
  });
  addExamples(command, 'jarvisctl cluster promote n4 --instead-of n3');
}

function registerDemote(cluster: Command, context: Context): void {
  const command = withCommon(
    cluster
      .command('demote')
      .description('Let a voter be a learner, with another in its place where too few would be left.')
      .argument('<member>')
      .option('--in-favour-of <member>', 'the learner that votes from the same change on'),
  ).action(async (name: string, options: OutputOptions & { readonly inFavourOf?: string }) => {
    await answer(context, command, options, changing('demote', name, { other: options.inFavourOf ?? '' }));
  });
  addExamples(command, 'jarvisctl cluster demote n3 --in-favour-of n4');
}

function withCommon(command: Command): Command {
  return command.addOption(outputOption()).addOption(peerOption());
}

function changing(action: string, name: string, more: { address?: string; other?: string }): Ask {
  const request = { action, name, address: '', other: '', ...more, idempotency_key: randomUUID() };
  return (peer, signal) => peer.changeMember(request, signal);
}

/** @param asks one after the other; of the last answer those are shown that have a copy */
async function answer(
  context: Context,
  command: Command,
  options: OutputOptions,
  ...asks: readonly [Ask, ...Ask[]]
): Promise<void> {
  await withPeers(context, command, async (peers) => {
    const { interrupted } = context.terminal;
    const [first, ...more] = asks;
    let status = await peers.call(first, interrupted);
    for (const ask of more) status = await peers.call(ask, interrupted);
    await show(context, options, { status, members: withCopy(status) });
  });
}

async function show(
  { terminal }: Context,
  { output }: OutputOptions,
  { status, members }: { readonly status: ClusterStatus; readonly members: readonly Member[] },
): Promise<void> {
  await printAnswer(terminal, output, {
    items: members,
    columns: memberColumns(terminal),
    nameOf: (member) => member.name,
    json: () => clusterToJson(status),
    whenEmpty: 'the members are not known',
  });
}
