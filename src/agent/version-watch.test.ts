import { describe, expect, it } from 'vitest';

import { CLUSTER_VERSION } from '../lib/cluster-version.ts';
import { silentLog } from '../lib/log.ts';
import { VirtualClock } from '../lib/testing/virtual-clock.ts';
import { MemoryCluster } from '../scheduler/testing/memory-cluster.ts';
import { barMember, versionsOf, watchVersion } from './version-watch.ts';

function begun(version?: number) {
  const clock = new VirtualClock();
  const cluster = new MemoryCluster(() => clock.wallMs());
  const replica = cluster.replica('n1');
  cluster.lead({ name: 'n1', address: '' });
  const config = { heartbeat: { intervalMs: 2000, warningMs: 10_000, timeoutMs: 30_000 } };
  cluster.execute({
    type: 'initCluster',
    clusterId: 'c',
    epoch: 1,
    config,
    term: cluster.term,
    ...(version === undefined ? {} : { version }),
  });
  const told: string[] = [];
  const options = {
    replica,
    transport: { requireVersion: (required: number) => void told.push(`members ${required}`) },
    directory: { raiseFormat: async (format: number) => void told.push(`directory ${format}`) },
    onFailure: (error: unknown) => void told.push(String(error)),
    log: silentLog,
  };
  const raise = (to: number) => cluster.execute({ type: 'raiseVersion', term: cluster.term, version: to });
  return { cluster, replica, options, told, raise };
}

describe('a member', () => {
  it('demands of the others and of its directory what the cluster is raised to, once', () => {
    const { options, told, raise } = begun();
    const stop = watchVersion(options);
    expect(told).toEqual([]);
    raise(CLUSTER_VERSION);
    expect(told).toEqual([`members ${CLUSTER_VERSION}`, `directory ${CLUSTER_VERSION}`]);
    raise(CLUSTER_VERSION);
    stop();
    expect(told).toHaveLength(2);
  });

  it('demands it from its start on, where the cluster is there already', () => {
    const { options, told } = begun(CLUSTER_VERSION);
    watchVersion(options);
    expect(told).toEqual([`members ${CLUSTER_VERSION}`, `directory ${CLUSTER_VERSION}`]);
  });

  it('does not start into a cluster of a later version, nor goes on in one', () => {
    const later = CLUSTER_VERSION + 1;
    const words = `the cluster is at version ${later}, and this build knows version ${CLUSTER_VERSION} only: start a later one`;
    expect(() => watchVersion(begun(later).options)).toThrow(words);
    const { options, told, raise } = begun();
    watchVersion(options);
    raise(later);
    expect(told).toEqual([`JarvisError: ${words}`]);
  });

  it('says where its directory cannot be marked', async () => {
    const { options, told, raise } = begun();
    watchVersion({ ...options, directory: { raiseFormat: () => Promise.reject(new Error('disk')) } });
    raise(CLUSTER_VERSION);
    await Promise.resolve();
    expect(told).toEqual([`members ${CLUSTER_VERSION}`, 'Error: disk']);
  });
});

describe('what the others know', () => {
  it('is asked of all but oneself', () => {
    const peers = [1, 2, 3].map((raftId) => ({ raftId, name: `n${raftId}`, incarnation: '', address: '' }));
    const raft = { membership: { peers }, status: () => ({ id: 1 }) } as unknown as Parameters<
      typeof versionsOf
    >[0];
    expect(versionsOf(raft, { versionOf: (id) => (id === 2 ? 1 : null) })).toEqual([
      { name: 'n2', version: 1 },
      { name: 'n3', version: null },
    ]);
  });
});

describe('a member that is removed', () => {
  it('is barred where all members know of that, and can be removed where they do not', async () => {
    const { cluster, replica, raise } = begun();
    await barMember(replica, 'n2', silentLog);
    expect(cluster.state.formerMembers.size).toBe(0);
    raise(2);
    await barMember(replica, 'n2', silentLog);
    expect([...cluster.state.formerMembers.keys()]).toEqual(['n2']);
  });
});
