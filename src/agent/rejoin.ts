/**
 * A member whose log cannot be trusted has forgotten votes or acknowledgements: it never takes part as who it was
 * (docs/storage.md, "Who is who"). While the others can decide, it comes back by itself: as a learner under another id,
 * with the old id leaving in the same change. Nothing is moved aside before they have let it in, so that a cluster
 * that lost its majority to bad disks keeps all that is left of it.
 */
import { resolve, join as joinPath } from 'node:path';

import type { Clock } from '../lib/clock.ts';
import { CLUSTER_VERSION } from '../lib/cluster-version.ts';
import { JarvisError, messageOf } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { Log } from '../lib/log.ts';
import { openDataDirectory, type ClusterRecord } from '../raft/data-directory.ts';
import { joinCluster } from '../raft/join-cluster.ts';
import { StorageError } from '../raft/storage-error.ts';
import { ChannelPool } from '../rpc/channel.ts';
import type { ChannelSecurity } from '../rpc/channel-security.ts';
import { askToJoin } from './ask-to-join.ts';
import type { NodeConfig } from './config.ts';

type Settings = Pick<NodeConfig, 'name' | 'dataDir' | 'peers' | 'join' | 'advertise'>;

/** The log is damaged or gone, and who the node is is still known. */
export function hasLostLog(error: unknown, { dataDir }: Pick<Settings, 'dataDir'>): error is StorageError {
  if (!(error instanceof StorageError)) return false;
  if (error.kind === 'store_lost') return error.path === joinPath(resolve(dataDir), 'log');
  return error.kind === 'log_corrupt' || error.kind === 'log_missing';
}

/**
 * Resolves once the data directory is that of a new member, which has no log yet. Nothing may have it open.
 * @throws JarvisError that says what was lost, why the node is not let in, and what a person can do
 */
export async function rejoinAnew(options: {
  readonly config: Settings;
  /** Default: none. */
  readonly security?: ChannelSecurity;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** What the log was found to be. */
  readonly cause: StorageError;
}): Promise<void> {
  const { config, log, signal, cause } = options;
  log.error({ error: cause.message }, 'the log cannot be trusted: this node asks to be let in anew');
  const directory = await openDataDirectory(config.dataDir, { name: config.name });
  try {
    const { cluster, incarnation } = directory.identity;
    if (cluster === null) throw cause;
    const record = await ask(options, { cluster, incarnation, successor: await directory.successor() });
    await directory.beginAnew(record, cause.message);
    const aside = joinPath(directory.paths.root, `former-${incarnation}`);
    log.warn(
      { raftId: record.raftId, aside },
      'this node was let in anew; its former log and state are aside',
    );
  } catch (error) {
    if (error === cause || signal.aborted) throw error;
    const remedy =
      'it comes back when it is started while the others have a leader; or move its data directory away and start it ' +
      'with --join and the address of a member';
    throw new JarvisError(
      cause.code,
      `${cause.message}; the node was not let in anew (${messageOf(error)}): ${remedy}`,
      { cause },
    );
  } finally {
    await directory.close();
  }
}

async function ask(
  { config, security, clock, log, signal }: Parameters<typeof rejoinAnew>[0],
  former: { cluster: ClusterRecord; incarnation: string; successor: string },
): Promise<ClusterRecord> {
  const { cluster, incarnation, successor } = former;
  const others = [...config.peers, ...cluster.founders].filter(({ name }) => name !== config.name);
  const addresses = [...new Set([...config.join, ...others.map(({ address }) => address)])];
  if (addresses.length === 0) throw new JarvisError('no_leader', 'there is nobody else');
  const patience = new AbortController();
  const cancel = clock.after(limits.rejoinMs, () =>
    patience.abort(new JarvisError('no_leader', `nobody who leads has answered: ${addresses.join(', ')}`)),
  );
  const either = AbortSignal.any([signal, patience.signal]);
  const pool = new ChannelPool(security);
  try {
    const { record } = await joinCluster({
      request: {
        name: config.name,
        incarnation: successor,
        address: config.advertise,
        cluster_id: cluster.clusterId,
        former_incarnation: incarnation,
        join_token: '',
        known_version: CLUSTER_VERSION,
        works_without_copy: false,
        view_digest: '',
      },
      addresses,
      ask: askToJoin(pool, either),
      clock,
      signal: either,
      log,
    });
    return record;
  } finally {
    cancel();
    pool.close();
  }
}
