import { describe, expect, it } from 'vitest';

import { CLUSTER_VERSION } from '../../lib/cluster-version.ts';
import { JarvisError } from '../../lib/errors.ts';
import { limits } from '../../lib/limits.ts';
import { silentLog } from '../../lib/log.ts';
import { VirtualClock } from '../../lib/testing/virtual-clock.ts';
import { clusterVersionOf, type Laggard } from '../../model/command-versions.ts';
import { MemoryCluster } from '../../scheduler/testing/memory-cluster.ts';
import { commonVersion, laggardsAmong, VersionKeeper } from './version-keeper.ts';

function begun(others: Laggard[]) {
  const clock = new VirtualClock();
  const cluster = new MemoryCluster(() => clock.wallMs());
  const replica = cluster.replica('n1');
  cluster.lead({ name: 'n1', address: '' });
  const config = { heartbeat: { intervalMs: 2000, warningMs: 10_000, timeoutMs: 30_000 } };
  cluster.execute({ type: 'initCluster', clusterId: 'c', epoch: 1, config, term: cluster.term });
  const keeper = new VersionKeeper({ replica, others: () => others, clock, log: silentLog });
  keeper.start(cluster.term);
  return { clock, cluster, keeper, version: () => clusterVersionOf(cluster.state.cluster) };
}

describe('what all members know', () => {
  it.each([
    [[], CLUSTER_VERSION],
    [[{ name: 'a', version: 1 }], 1],
    [[{ name: 'a', version: CLUSTER_VERSION + 1 }], CLUSTER_VERSION],
    [
      [
        { name: 'a', version: 2 },
        { name: 'b', version: null },
      ],
      null,
    ],
  ] as const)('of %j is %s', (others, version) => {
    expect(commonVersion(others)).toBe(version);
  });

  it('is kept back by those that are older, or not heard of', () => {
    const others = [
      { name: 'a', version: 1 },
      { name: 'b', version: CLUSTER_VERSION },
      { name: 'c', version: null },
    ];
    expect(laggardsAmong(others).map(({ name }) => name)).toEqual(['a', 'c']);
  });
});

describe('the cluster version', () => {
  it('is raised once, when the last member knows a later one', async () => {
    const others: Laggard[] = [
      { name: 'n2', version: 1 },
      { name: 'n3', version: CLUSTER_VERSION },
    ];
    const { clock, cluster, version } = begun(others);
    await clock.advance(60_000);
    expect(version()).toBe(1);
    others[0] = { name: 'n2', version: null };
    await clock.advance(60_000);
    expect(version()).toBe(1);
    others[0] = { name: 'n2', version: CLUSTER_VERSION };
    await clock.advance(limits.versionLookMs);
    expect(version()).toBe(CLUSTER_VERSION);
    await clock.advance(60_000);
    expect(cluster.applied.filter(({ command }) => command.type === 'raiseVersion')).toHaveLength(1);
  });

  it('is proposed again where that came to nothing, and not by who leads no more', async () => {
    const others: Laggard[] = [{ name: 'n2', version: 1 }];
    const { clock, cluster, keeper, version } = begun(others);
    cluster.beforeApply = () => Promise.reject(new JarvisError('too_many', 'busy'));
    others.pop();
    await clock.advance(limits.versionLookMs * 3);
    expect(version()).toBe(1);
    keeper.stop();
    cluster.beforeApply = () => {};
    await clock.advance(60_000);
    expect(version()).toBe(1);
    keeper.start(cluster.term);
    await clock.advance(limits.versionLookMs);
    expect(version()).toBe(CLUSTER_VERSION);
  });
});
