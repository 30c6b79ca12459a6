/**
 * A member that hears that it is one no more may have been removed because there are too many learners: then the cluster has
 * let it in without a copy before (docs/adr/0013), and says so when it is asked.
 */
import type { Clock } from '../../lib/clock.ts';
import { JarvisError, messageOf } from '../../lib/errors.ts';
import { limits } from '../../lib/limits.ts';
import type { Log } from '../../lib/log.ts';
import { openDataDirectory } from '../../raft/data-directory.ts';
import { peerFromWire } from '../../raft/form-cluster.ts';
import { joinCluster } from '../../raft/join-cluster.ts';
import type { MemberRemovedError } from '../../raft/node.ts';
import { ChannelPool } from '../../rpc/channel.ts';
import type { ChannelSecurity } from '../../rpc/channel-security.ts';
import { askToJoin, knownNodeRequest } from '../ask-to-join.ts';
import type { NodeConfig } from '../config.ts';

/**
 * Resolves once the data directory is that of a node without a copy, or of a learner with a new Raft id. Nothing may have it open.
 * @throws cause where the cluster wants the node no more; JarvisError no_leader where nobody says anything for a while
 */
export async function askForRole(options: {
  readonly config: Pick<NodeConfig, 'name' | 'dataDir' | 'peers' | 'join' | 'advertise'>;
  /** Default: none. */
  readonly security?: ChannelSecurity;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Addresses of the members, as this node last knew them. */
  readonly members: readonly string[];
  readonly cause: MemberRemovedError;
}): Promise<void> {
  const { config, security, clock, log, signal, members, cause } = options;
  const directory = await openDataDirectory(config.dataDir, { name: config.name });
  const pool = new ChannelPool(security);
  const patience = new AbortController();
  const cancel = clock.after(limits.rejoinMs, () =>
    patience.abort(new JarvisError('no_leader', 'nobody who leads has answered')),
  );
  const either = AbortSignal.any([signal, patience.signal]);
  try {
    const { cluster } = directory.identity;
    if (cluster === null) throw cause;
    const ask = askToJoin(pool, either);
    const others = [...config.peers, ...cluster.founders].filter(({ name }) => name !== config.name);
    const { record, view } = await joinCluster({
      request: { ...knownNodeRequest(config, directory.identity), view_digest: '' },
      addresses: [...new Set([...members, ...config.join, ...others.map(({ address }) => address)])],
      ask: async (address, request) => {
        const reply = await ask(address, request);
        // Its log goes for another Raft id only. One that leads no more may not know of the removal.
        if (cluster.raftId > 0 && reply.raft_id === cluster.raftId)
          throw new JarvisError('no_leader', `${address} takes this node for the member that it was`);
        return reply;
      },
      clock,
      signal: either,
      log,
    });
    await directory.takeRole(record, view === null ? null : view.members.map(peerFromWire));
    const what = view === null ? 'as a learner with a new Raft id' : 'without a copy of the state';
    log.warn({}, `this node is a member no more; it goes on ${what}, and its former log and state are gone`);
  } catch (error) {
    if (signal.aborted) throw error;
    // A service that is not started again after a removal (docs/operations.md) would be gone for good.
    if (patience.signal.aborted)
      throw new JarvisError(
        'no_leader',
        'this node is a member no more, and nobody who leads has said in time whether it may go on without a copy of the ' +
          'state: it asks again when it is started',
        { cause: error },
      );
    log.error({ error: messageOf(error) }, 'this node was removed, and is not let in in any other way');
    throw cause;
  } finally {
    cancel();
    pool.close();
    await directory.close();
  }
}
