import { describe, expect, it } from 'vitest';

import { CLUSTER_VERSION } from '../lib/cluster-version.ts';
import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { silentLog } from '../lib/log.ts';
import { VirtualClock } from '../lib/testing/virtual-clock.ts';
import { MemoryCluster } from '../scheduler/testing/memory-cluster.ts';
import { type NamedMember, QuorumWatch, type QuorumWatchOptions, riskOf } from './quorum-watch.ts';

function member(
  name: string,
  isAlive: boolean,
  vote: Partial<NamedMember> = { incoming: true },
): NamedMember {
  return { name, isAlive, incoming: false, outgoing: false, ...vote };
}

describe('the quorum is at risk', () => {
  it('where every living voter is needed, and not all are alive', () => {
    const [a, b, c] = [member('a', true), member('b', true), member('c', false)];
    expect(riskOf([a, b, c])).toBe(
      '2 of 3 voters are alive, and the loss of one more stops the cluster; not heard of: c',
    );
    expect(riskOf([a, b, member('c', true)])).toBeNull();
    expect(riskOf([a, b, c, member('d', true), member('e', true)])).toBeNull();
    expect(riskOf([a, b, c, member('d', false), member('e', true)])).toContain('3 of 5');
  });

  it('not by learners, and not where there are too few voters to lose one', () => {
    const learner = member('l', false, { incoming: false });
    expect(riskOf([member('a', true), learner])).toBeNull();
    expect(riskOf([member('a', true), member('b', false)])).toBeNull();
  });

  it('by either half of a change of the members', () => {
    const both = { incoming: true, outgoing: true };
    const members = [
      member('a', true, both),
      member('b', true, both),
      member('c', false, { outgoing: true }),
    ];
    expect(riskOf([...members, member('d', true, { incoming: true })])).toContain('not heard of: c');
  });
});

function begun(version = CLUSTER_VERSION) {
  const clock = new VirtualClock();
  const cluster = new MemoryCluster(() => clock.wallMs());
  const replica = cluster.replica('n1');
  cluster.lead({ name: 'n1', address: '' });
  const config = { heartbeat: { intervalMs: 2000, warningMs: 10_000, timeoutMs: 30_000 } };
  cluster.execute({ type: 'initCluster', clusterId: 'c', epoch: 1, config, version, term: cluster.term });
  const alive = new Set([1, 2, 3]);
  const peers = [1, 2, 3].map((raftId) => ({ raftId, name: `n${raftId}` }));
  const raft = {
    status: () => ({ id: 1, confState: { voters: [1, 2, 3], votersOutgoing: [] } }),
    membership: { peers },
    isActive: (id: number) => alive.has(id),
  } as unknown as QuorumWatchOptions['raft'];
  const watch = new QuorumWatch({ raft, replica, clock, log: silentLog });
  watch.start(cluster.term);
  const said = () => cluster.applied.filter(({ command }) => command.type === 'quorumRisk').length;
  return {
    clock,
    cluster,
    watch,
    alive,
    said,
    isAtRisk: () => (cluster.state.cluster?.quorumRisk ?? null) !== null,
  };
}

/** At the next look after it. */
const SUSTAINED_MS = limits.quorumRiskMs + limits.quorumLookMs;

describe('the watch over the quorum', () => {
  it('says it once when it has lasted, and once when it is over', async () => {
    const { clock, alive, said, isAtRisk } = begun();
    await clock.advance(60_000);
    expect(said()).toBe(0);
    alive.delete(3);
    await clock.advance(limits.quorumRiskMs);
    expect(isAtRisk()).toBe(false);
    await clock.advance(limits.quorumLookMs);
    expect(isAtRisk()).toBe(true);
    await clock.advance(60_000);
    expect(said()).toBe(1);
    alive.add(3);
    await clock.advance(SUSTAINED_MS);
    expect([isAtRisk(), said()]).toEqual([false, 2]);
  });

  it('says nothing before all members know of it', async () => {
    const { clock, cluster, alive, said } = begun(1);
    alive.delete(3);
    await clock.advance(SUSTAINED_MS);
    expect(said()).toBe(0);
    cluster.execute({ type: 'raiseVersion', term: cluster.term, version: 2 });
    await clock.advance(SUSTAINED_MS);
    expect(said()).toBe(1);
  });

  it('says nothing of what comes and goes', async () => {
    const { clock, alive, said } = begun();
    for (let round = 0; round < 10; round += 1) {
      alive.delete(3);
      await clock.advance(limits.quorumRiskMs - limits.quorumLookMs);
      alive.add(3);
      await clock.advance(limits.quorumLookMs);
    }
    expect(said()).toBe(0);
  });

  it('says nothing that its predecessor has said', async () => {
    const { clock, cluster, watch, alive, said, isAtRisk } = begun();
    alive.delete(3);
    await clock.advance(SUSTAINED_MS);
    watch.stop();
    cluster.lead({ name: 'n1', address: '' });
    watch.start(cluster.term);
    await clock.advance(60_000);
    expect([isAtRisk(), said()]).toEqual([true, 1]);
    alive.add(3);
    await clock.advance(SUSTAINED_MS);
    expect([isAtRisk(), said()]).toEqual([false, 2]);
  });

  it('says it again where that came to nothing', async () => {
    const { clock, cluster, alive, isAtRisk } = begun();
    cluster.beforeApply = () => Promise.reject(new JarvisError('too_many', 'busy'));
    alive.delete(3);
    await clock.advance(SUSTAINED_MS);
    expect(isAtRisk()).toBe(false);
    cluster.beforeApply = () => {};
    await clock.advance(limits.quorumLookMs);
    expect(isAtRisk()).toBe(true);
  });

  it('takes nobody for dead because this process stood still', async () => {
    const { clock, alive, said } = begun();
    alive.delete(3);
    await clock.advance(limits.quorumRiskMs);
    clock.freeze(60_000);
    await clock.advance(0);
    alive.add(3);
    await clock.advance(60_000);
    expect(said()).toBe(0);
  });
});
