import { describe, expect, it } from 'vitest';

import { TestCluster } from '../testing/test-cluster.ts';

describe('a state that goes on as that of another cluster', () => {
  it('has the new id and epoch, and keeps everything else', () => {
    const cluster = TestCluster.formed();
    const before = cluster.state.cluster;
    const epoch = (before?.epoch ?? 0) + 1;
    expect(cluster.done({ type: 'reformCluster', clusterId: 'another', epoch })).toBeNull();
    expect(cluster.state.cluster).toEqual({ ...before, clusterId: 'another', epoch });
  });

  it('is refused with the id that it has, or an epoch that does not follow', () => {
    const cluster = TestCluster.formed();
    const { clusterId = '', epoch = 0 } = cluster.state.cluster ?? {};
    for (const wrong of [
      { clusterId, epoch: epoch + 1 },
      { clusterId: 'another', epoch },
      { clusterId: 'another', epoch: epoch + 0.5 },
    ])
      expect(cluster.refusal({ type: 'reformCluster', ...wrong })).toMatchObject({
        type: 'refused',
        code: 'conflict',
      });
  });
});
