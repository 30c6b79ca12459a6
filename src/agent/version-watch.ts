/** What a member does about the version of its cluster (docs/adr/0012): no member, and no build, takes part that does not know it. */
import { FIRST_CLUSTER_VERSION } from '../lib/cluster-version.ts';
import type { Log } from '../lib/log.ts';
import { clusterKnows, clusterVersionOf, type Laggard } from '../model/command-versions.ts';
import type { DataDirectory } from '../raft/data-directory.ts';
import type { RaftNode } from '../raft/node.ts';
import type { GrpcTransport } from '../raft/transport/grpc-transport.ts';
import type { Replica } from '../scheduler/ports.ts';
import { expectKnownVersion } from '../store/scheduler-machine.ts';

interface VersionWatchOptions {
  readonly replica: Pick<Replica, 'state' | 'onAdvanced'>;
  readonly transport: Pick<GrpcTransport, 'requireVersion'>;
  readonly directory: Pick<DataDirectory, 'raiseFormat'>;
  /** The data directory could not be marked, or the state is of a later version than this build knows. */
  readonly onFailure: (error: unknown) => void;
  readonly log: Log;
}

/** @returns what ends it. @throws JarvisError unavailable where the state is of a later version than this build knows */
export function watchVersion(options: VersionWatchOptions): () => void {
  const { replica, transport, directory, onFailure, log } = options;
  let known = FIRST_CLUSTER_VERSION;
  const follow = (): void => {
    const version = clusterVersionOf(replica.state.cluster);
    if (version <= known) return;
    expectKnownVersion(version);
    known = version;
    log.info({ version }, 'the cluster is at a later version');
    transport.requireVersion(version);
    directory.raiseFormat(version).catch(onFailure);
  };
  follow();
  return replica.onAdvanced(() => {
    try {
      follow();
    } catch (error) {
      onFailure(error);
    }
  });
}

/** What the other members know. */
export function versionsOf(
  raft: Pick<RaftNode, 'membership' | 'status'>,
  transport: Pick<GrpcTransport, 'versionOf'>,
): readonly Laggard[] {
  const { id } = raft.status();
  const others = raft.membership.peers.filter(({ raftId }) => raftId !== id);
  return others.map(({ raftId, name }) => ({ name, version: transport.versionOf(raftId) }));
}

/**
 * A member that is about to be removed. Also one that keeps the cluster from the version that knows of this can be removed:
 * it is not barred then.
 */
export async function barMember(
  replica: Pick<Replica, 'propose' | 'state'>,
  name: string,
  log: Log,
): Promise<void> {
  if (clusterKnows(replica.state.cluster, 'barMember')) await replica.propose({ type: 'barMember', name });
  else
    log.warn({ member: name }, 'a member that is removed is not barred: the cluster does not know of it yet');
}
