import { describe, expect, it } from 'vitest';

import { specOf } from '../testing/values.ts';
import { TestCluster } from '../testing/test-cluster.ts';

describe('a state that goes on as that of another cluster', () => {
  it('has the new id and epoch, and keeps everything else', () => {
    const cluster = TestCluster.formed();
    const before = cluster.state.cluster;
    const epoch = (before?.epoch ?? 0) + 1;
    expect(cluster.done({ type: 'reformCluster', clusterId: 'another', epoch })).toBeNull();
    expect(cluster.state.cluster).toEqual({
      ...before,
      clusterId: 'another',
      epoch,
      awaitsLeases: true,
    });
  });

  it('assigns nothing before the leases of the one before are over', () => {
    const cluster = TestCluster.formed();
    cluster.join('n1');
    const taskId = cluster.submitOne(specOf());
    cluster.done({ type: 'reformCluster', clusterId: 'another', epoch: 9 });
    const session = cluster.state.nodes.get('n1')?.session ?? 0;
    const assign = (): unknown =>
      cluster.done({
        type: 'assign',
        term: cluster.term,
        planIndex: cluster.index,
        assignments: [{ taskId, node: 'n1', session }],
      });
    expect(assign()).toMatchObject({ accepted: [], refused: [{ taskId }] });
    cluster.done({ type: 'leasesOver', term: cluster.term });
    expect(cluster.state.cluster?.awaitsLeases).toBe(false);
    expect(assign()).toMatchObject({ accepted: [taskId], refused: [] });
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
