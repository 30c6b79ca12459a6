import { describe, expect, it } from 'vitest';

import { clusterVersionOf } from '../../../model/command-versions.ts';
import { TestCluster } from '../testing/test-cluster.ts';
import { MIB, specOf } from '../testing/values.ts';

const raise = (version: number, term = 1) => ({ type: 'raiseVersion', term, version }) as const;

describe('the version of a cluster', () => {
  it('is the first where nothing is said, or what it was formed with', () => {
    const cluster = TestCluster.formed();
    expect(cluster.state.cluster).not.toHaveProperty('version');
    expect(clusterVersionOf(cluster.state.cluster)).toBe(1);
    const later = new TestCluster();
    const config = { heartbeat: { intervalMs: 2000, warningMs: 10_000, timeoutMs: 30_000 } };
    later.done({ type: 'initCluster', term: 1, clusterId: 'c', epoch: 3, config, version: 2 });
    expect(later.state.cluster).toMatchObject({ version: 2 });
  });

  it('is raised, and never goes back', () => {
    const cluster = TestCluster.formed();
    expect(cluster.done(raise(2))).toBeNull();
    expect(cluster.state.cluster).toMatchObject({ version: 2 });
    for (const version of [2, 1, 2.5, Number.NaN])
      expect(cluster.refusal(raise(version))).toMatchObject({ code: 'conflict' });
    expect(cluster.refusal(raise(3, 9))).toMatchObject({ code: 'stale_decision' });
    expect(cluster.state.cluster).toMatchObject({ version: 2 });
  });
});

describe('what apply makes of a command that earlier builds know', () => {
  it('is in their words until the cluster is at a later version', () => {
    const cluster = TestCluster.formed();
    cluster.join('n1');
    const reason = (): string | null => {
      const [id] = cluster.submit(specOf({ resources: { cpuMillis: 1, memoryBytes: 5000 * MIB } }));
      return cluster.state.tasks.get(id ?? '')?.statusReason ?? null;
    };
    const words = 'no node is large enough; the nearest: node n1 lacks';
    expect(reason()).toBe(`${words} ${904 * MIB} bytes of memory`);
    cluster.done(raise(2));
    expect(reason()).toBe(`${words} 904Mi of memory`);
  });
});
