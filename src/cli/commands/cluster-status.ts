/** `jarvisctl cluster status`: who leads, how far the log is, and how the members keep up. */
import type { Command } from 'commander';

import type { ClusterStatus } from '../../generated/cluster.ts';
import type { JarvisError } from '../../lib/errors.ts';
import { clusterToJson } from '../../spec/json.ts';
import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { addExamples, outputOption, peerOption, staleOption } from '../options.ts';
import type { OutputOptions } from '../options.ts';
import { clusterSummary, memberColumns, withCopy } from '../output/cluster.ts';
import { printAnswer } from '../output/format.ts';
import { isTransient } from '../peers.ts';
import type { Peers } from '../peers.ts';
import { write } from '../terminal.ts';

export function registerClusterStatus(cluster: Command, context: Context): void {
  const command = cluster
    .command('status')
    .description('Show the leader, the term, and each member. Without a leader: what one node knows.')
    .addOption(outputOption())
    .addOption(staleOption())
    .addOption(peerOption())
    .action(async (options: OutputOptions) => {
      await withPeers(context, command, async (peers) => {
        const { terminal } = context;
        const { status, refusal } = await ask(peers, terminal.interrupted);
        const isTable = options.output === 'table' || options.output === 'wide';
        if (isTable) await write(terminal.stdout, `${clusterSummary(terminal, status)}\n\n`);
        await printAnswer(terminal, options.output, {
          items: isTable ? withCopy(status) : status.members,
          columns: memberColumns(terminal),
          nameOf: (member) => member.name,
          json: () => clusterToJson(status),
          whenEmpty: 'the members are not known',
        });
        // The facts are on stdout; why they are no more than that, and the exit status, come from the error.
        if (refusal !== null) throw refusal;
      });
    });
  addExamples(command, 'jarvisctl cluster status', 'jarvisctl cluster status -o json');
}

/** The leader's word; where it cannot be had, what the first peer that answers knows, and why. */
async function ask(
  peers: Peers,
  signal: AbortSignal,
): Promise<{ readonly status: ClusterStatus; readonly refusal: JarvisError | null }> {
  try {
    // Whoever asks for the state of the cluster wants to hear soon that there is no leader: once around.
    const status = await peers.call(
      (peer, limited) => peer.getCluster({ consistency: '' }, limited),
      signal,
      0,
    );
    return { status, refusal: null };
  } catch (error) {
    if (signal.aborted || !isTransient(error)) throw error;
    return { status: await ownView(peers, signal, error), refusal: error };
  }
}

async function ownView(peers: Peers, signal: AbortSignal, refusal: JarvisError): Promise<ClusterStatus> {
  try {
    return await peers.call((peer, limited) => peer.getCluster({ consistency: 'stale' }, limited), signal, 0);
  } catch (error) {
    if (signal.aborted || !isTransient(error)) throw error;
    throw refusal;
  }
}
