import { describe, expect, it } from 'vitest';

import { VirtualClock } from '../lib/testing/virtual-clock.ts';
import { TestCluster } from '../operations/test-cluster.test-kit.ts';
import { ClusterViews } from './cluster-views.ts';
import { COPYLESS_LIMITS } from './copyless/limits.ts';

const confState = { voters: [1], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
const peersOf = (...names: string[]) =>
  names.map((name, at) => ({ raftId: at + 1, name, incarnation: `i-${name}`, address: `${name}:1` }));

function begin(count: number) {
  const clock = new VirtualClock();
  const raft = { membership: { peers: peersOf('n1'), confState, index: 1 } };
  const names = { all: Array.from({ length: count }, (_, at) => `worker-${at}`) };
  const replica = new TestCluster(['n1']).replica('n1');
  return { clock, raft, names, views: new ClusterViews({ raft, replica, names, clock }) };
}

describe('what nodes without a copy are told', () => {
  it('is made anew with each of a few that comes, and is the same object until then', () => {
    const { names, views } = begin(10);
    const first = views.current();
    expect(views.current()).toBe(first);
    names.all = [...names.all, 'another'];
    expect(views.current().nodes_without_copy).toContain('another');
    expect(views.current().digest).not.toBe(first.digest);
  });

  it('costs all of them together no more than so much, however many come', async () => {
    const { clock, names, views } = begin(5000);
    let bytes = 0;
    let seen = views.current();
    const seconds = 120;
    for (let at = 0; at < seconds * 10; at += 1) {
      names.all = [...names.all, `another-${at}`];
      await clock.advance(100);
      const view = views.current();
      if (view !== seen) bytes += JSON.stringify(view).length * names.all.length;
      seen = view;
    }
    expect(bytes).toBeGreaterThan(0);
    expect(bytes).toBeLessThan(1.2 * COPYLESS_LIMITS.viewBytesPerMs * seconds * 1000);
    await clock.advance(60_000);
    expect(views.current().nodes_without_copy).toHaveLength(5000 + seconds * 10);
  });

  it('names another member at once', () => {
    const { raft, names, views } = begin(5000);
    views.current();
    raft.membership = { peers: peersOf('n1', 'n2'), confState, index: 2 };
    names.all = [...names.all, 'another'];
    const { members, nodes_without_copy } = views.current();
    expect([members.length, nodes_without_copy.length]).toEqual([2, 5001]);
  });
});
