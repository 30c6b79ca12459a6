/** Ids and names that the cluster and the config file know. */
import { unreachable } from '../../lib/assert.ts';
import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { clientLimits } from '../limits.ts';
import type { Peers } from '../peers.ts';
import { clientConfigFile, readClientConfig } from '../settings/client-config.ts';
import type { Candidate, Completion, Source } from './complete.ts';

/** Of the cluster that the words before the cursor mean. @throws whatever stands in the way */
export async function valuesOf(
  context: Context,
  { command }: Pick<Completion, 'command'>,
  source: Exclude<Source, 'files' | 'directories'>,
): Promise<readonly Candidate[]> {
  if (source === 'contexts') {
    const { contexts } = readClientConfig(clientConfigFile(context.terminal.env));
    return Object.entries(contexts).map(([name, { peers }]) => ({
      value: name,
      description: peers?.join(',') ?? '',
    }));
  }
  const signal = AbortSignal.any([
    context.terminal.interrupted,
    AbortSignal.timeout(clientLimits.completionMs),
  ]);
  // What is old will do here, and any node has it, also without a leader.
  return await withPeers(context, command, (peers) => ask(peers, source, signal), { stale: true });
}

async function ask(
  peers: Peers,
  source: Exclude<Source, 'files' | 'directories' | 'contexts'>,
  signal: AbortSignal,
): Promise<readonly Candidate[]> {
  const page = { limit: clientLimits.pageItems, cursor: '' };
  switch (source) {
    case 'tasks': {
      const wanted = { ...page, status: [], node: '', name: '', label: [], batch_id: '', dag_id: '' };
      const { items } = await peers.call((peer, inner) => peer.listTasks(wanted, inner), signal, 0);
      return items.map(({ id, name, status }) => ({ value: id, description: `${name} ${status}` }));
    }
    case 'batches': {
      const { items } = await peers.call((peer, inner) => peer.listBatches(page, inner), signal, 0);
      return items.map(({ id, name, status }) => ({ value: id, description: `${name} ${status}` }));
    }
    case 'dags': {
      const { items } = await peers.call((peer, inner) => peer.listDags(page, inner), signal, 0);
      const names = [...new Set(items.map(({ name }) => name))];
      return [
        ...names.map((name) => ({ value: name, description: 'its newest run' })),
        ...items.map(({ id, name, status }) => ({ value: id, description: `${name} ${status}` })),
      ];
    }
    case 'nodes': {
      const { items } = await peers.call((peer, inner) => peer.listNodes(inner), signal, 0);
      return items.map(({ name, status }) => ({ value: name, description: status }));
    }
    case 'members': {
      const cluster = await peers.call(
        (peer, inner) => peer.getCluster({ consistency: '' }, inner),
        signal,
        0,
      );
      return cluster.members.map(({ name, role }) => ({ value: name, description: role }));
    }
    default:
      return unreachable(source);
  }
}
