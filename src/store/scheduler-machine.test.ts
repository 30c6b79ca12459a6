import { describe, expect, it } from 'vitest';

import { CLUSTER_VERSION } from '../lib/cluster-version.ts';
import { SchedulerCore } from './scheduler-machine.ts';

describe('the state of a cluster that is raised above what this build knows', () => {
  it('is made no further: what follows might be passed over', () => {
    const core = new SchedulerCore();
    const config = { heartbeat: { intervalMs: 2000, warningMs: 10_000, timeoutMs: 30_000 } };
    const first = { type: 'initCluster', atMs: 1, term: 1, clusterId: 'c', epoch: 1, config } as const;
    core.apply(first, { term: 1, index: 1 }, new Map());
    const raise = { type: 'raiseVersion', atMs: 2, term: 1 } as const;
    const position = { term: 1, index: 2 };
    expect(() => core.apply({ ...raise, version: CLUSTER_VERSION + 1 }, position, new Map())).toThrow(
      `the cluster is at version ${CLUSTER_VERSION + 1}, and this build knows version ${CLUSTER_VERSION} only`,
    );
    expect(core.state.cluster).not.toHaveProperty('version');
    expect(core.apply({ ...raise, version: CLUSTER_VERSION }, position, new Map()).outcome).toMatchObject({
      type: 'done',
    });
  });
});
