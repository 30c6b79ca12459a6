/** `jarvisctl cluster status`: who leads, how far the log is, and how the members keep up. */
import type { Command } from 'commander';

import type { ClusterStatus, Member } from '../../generated/cluster.ts';
import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { addExamples, outputOption, peerOption } from '../options.ts';
import type { OutputOptions } from '../options.ts';
import { printAnswer } from '../output/format.ts';
import type { Column } from '../output/format.ts';
import { clusterToJson } from '../../spec/json.ts';
import { printable, styled, write } from '../terminal.ts';
import type { Terminal } from '../terminal.ts';

export function registerCluster(program: Command, context: Context): void {
  const cluster = program.command('cluster').description('Look at the cluster as a whole.');
  const command = cluster
    .command('status')
    .description('Show the leader, the term, and each member.')
    .addOption(outputOption())
    .addOption(peerOption())
    .action(async (options: OutputOptions) => {
      await withPeers(context, command, async (peers) => {
        const { terminal } = context;
        const status = await peers.call((peer, signal) => peer.getCluster(signal), terminal.interrupted);
        if (options.output === 'table' || options.output === 'wide')
          await write(terminal.stdout, `${summary(terminal, status)}\n\n`);
        await printAnswer(terminal, options.output, {
          items: status.members,
          columns: memberColumns(terminal),
          nameOf: (member) => member.name,
          json: () => clusterToJson(status),
          whenEmpty: 'the members are not known',
        });
      });
    });
  addExamples(command, 'jarvisctl cluster status', 'jarvisctl cluster status -o json');
}

function summary(terminal: Terminal, status: ClusterStatus): string {
  const leader = status.leader === '' ? styled(terminal.stdout, 'red', 'none') : printable(status.leader);
  return [
    `Cluster:     ${printable(status.cluster_id)}`,
    `Leader:      ${leader}`,
    `Term:        ${status.term}`,
    `Commit:      ${status.commit_index} (applied ${status.applied_index})`,
    `Voters:      ${status.voters.length}, of which ${status.failure_tolerance} may fail`,
  ].join('\n');
}

function memberColumns(terminal: Terminal): readonly Column<Member>[] {
  return [
    { title: 'NAME', cell: (member) => printable(member.name) },
    { title: 'ROLE', cell: (member) => member.role },
    {
      title: 'STATE',
      cell: (member) =>
        member.active ? member.state : styled(terminal.stdout, 'red', `${member.state},silent`),
    },
    { title: 'LAG', cell: (member) => String(member.lag) },
    { title: 'ADDRESS', cell: (member) => printable(member.address) },
    { title: 'MATCH', wide: true, cell: (member) => String(member.match_index) },
    { title: 'RAFT-ID', wide: true, cell: (member) => String(member.raft_id) },
  ];
}
