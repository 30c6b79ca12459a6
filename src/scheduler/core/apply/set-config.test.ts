import { describe, expect, it } from 'vitest';

import { clusterTimeoutMs } from '../../../model/timeouts.ts';
import { TestCluster } from '../testing/test-cluster.ts';

const OLD = { intervalMs: 2000, warningMs: 10_000, timeoutMs: 30_000 };

function formed() {
  const cluster = TestCluster.formed();
  const set = (heartbeat: Partial<typeof OLD>) =>
    cluster.done({ type: 'setHeartbeat', heartbeat, idempotency: null });
  const row = () => {
    if (cluster.state.cluster === null) throw new Error('it is formed');
    return cluster.state.cluster;
  };
  const settled = (index: number) => ({ type: 'timeoutSettled', term: cluster.term, index }) as const;
  return { cluster, set, row, settled };
}

describe('setHeartbeat', () => {
  it('lengthens both with one entry [EXTCOMMIT]', () => {
    const { set, row } = formed();
    set({ timeoutMs: 60_000 });
    expect(row().config.heartbeat).toEqual({ ...OLD, timeoutMs: 60_000 });
    expect(clusterTimeoutMs(row())).toBe(60_000);
    expect(row().settling).toBeNull();
  });

  it('shortens the lease at once, and the timeout only with a second entry [SHORTWAIT]', () => {
    const { cluster, set, row, settled } = formed();
    set({ timeoutMs: 12_000 });
    expect(row()).toMatchObject({
      config: { heartbeat: { timeoutMs: 12_000 } },
      settling: { timeoutMs: 30_000, index: cluster.index },
    });
    expect(clusterTimeoutMs(row())).toBe(30_000);
    cluster.done(settled(cluster.index));
    expect(clusterTimeoutMs(row())).toBe(12_000);
  });

  it('keeps the longest one while changes follow each other, and has each waited for', () => {
    const { cluster, set, row, settled } = formed();
    set({ timeoutMs: 12_000 });
    const first = cluster.index;
    set({ timeoutMs: 20_000 });
    set({ timeoutMs: 12_000 });
    expect(clusterTimeoutMs(row())).toBe(30_000);
    expect(cluster.refusal(settled(first)).code).toBe('conflict');
    cluster.done(settled(first + 2));
    expect(clusterTimeoutMs(row())).toBe(12_000);
    expect(cluster.refusal(settled(first + 2)).code).toBe('conflict');
  });

  it('has nothing to wait for where it is lengthened again to what still counts', () => {
    const { cluster, set, row } = formed();
    set({ timeoutMs: 12_000 });
    const { index } = cluster;
    set({ timeoutMs: 30_000 });
    expect(clusterTimeoutMs(row())).toBe(30_000);
    expect(row().settling).toBeNull();
    expect(cluster.refusal({ type: 'timeoutSettled', term: cluster.term, index }).code).toBe('conflict');
  });

  it('changes the others alone, and what settles goes on', () => {
    const { set, row } = formed();
    set({ intervalMs: 1000 });
    expect(row().config.heartbeat).toEqual({ ...OLD, intervalMs: 1000 });
    expect(row().settling).toBeUndefined();
    set({ timeoutMs: 12_000 });
    const { settling } = row();
    set({ warningMs: 5000, timeoutMs: 12_000 });
    expect(row().settling).toEqual(settling);
    expect(row().config.heartbeat).toEqual({ intervalMs: 1000, warningMs: 5000, timeoutMs: 12_000 });
  });

  it('refuses what does not go together', () => {
    const { cluster, row } = formed();
    const wrong = { type: 'setHeartbeat', heartbeat: { timeoutMs: 10_000 }, idempotency: null } as const;
    expect(cluster.refusal(wrong)).toMatchObject({ code: 'invalid' });
    expect(row().config.heartbeat).toEqual(OLD);
  });

  it('happens once for a key', () => {
    const { cluster, row } = formed();
    const idempotency = { key: 'k', requestDigest: 'd' };
    const change = { type: 'setHeartbeat', heartbeat: { timeoutMs: 60_000 }, idempotency } as const;
    cluster.done(change);
    cluster.done({ type: 'setHeartbeat', heartbeat: { timeoutMs: 40_000 }, idempotency: null });
    cluster.done(change);
    expect(row().config.heartbeat.timeoutMs).toBe(40_000);
  });

  it('is settled by nobody who decided it in another term [APPLYTERM]', () => {
    const { cluster, set, settled } = formed();
    set({ timeoutMs: 12_000 });
    const decided = settled(cluster.index);
    cluster.term += 1;
    expect(cluster.refusal(decided).code).toBe('stale_decision');
  });
});
