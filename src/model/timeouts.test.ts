import { assert, integer, property } from 'fast-check';
import { describe, expect, it } from 'vitest';

import { TestCluster } from '../scheduler/core/testing/test-cluster.ts';
import type { ClusterRow } from './cluster.ts';
import { leaseMsOf, timeoutMsFor } from './lease.ts';
import type { NodeRow } from './node.ts';
import { clusterTimeoutMs, grantedMs, heartbeatFault, isRestarting, timeoutMsOf } from './timeouts.ts';

function rows(): { readonly cluster: ClusterRow; readonly node: NodeRow } {
  const testCluster = TestCluster.formed();
  testCluster.join('n1');
  const { cluster, nodes } = testCluster.state;
  const node = nodes.get('n1');
  if (cluster === null || node === undefined) throw new Error('both are there');
  return { cluster, node };
}

describe('the timeout for a lease', () => {
  it('is the least under which it is over in time', () => {
    assert(
      property(integer({ min: 1, max: 3_600_000 }), (leaseMs) => {
        const timeoutMs = timeoutMsFor(leaseMs);
        expect(leaseMsOf(timeoutMs)).toBeGreaterThanOrEqual(leaseMs);
        expect(leaseMsOf(timeoutMs - 1)).toBeLessThan(leaseMs);
      }),
    );
  });

  it('of two minutes is a little more than that', () => {
    expect(timeoutMsFor(120_000)).toBe(126_465);
  });
});

describe('what holds', () => {
  it('in rows of earlier versions is what the configuration says', () => {
    const { cluster, node } = rows();
    expect(clusterTimeoutMs(cluster)).toBe(30_000);
    expect(timeoutMsOf(cluster, node)).toBe(30_000);
    expect(grantedMs(cluster, node)).toBe(leaseMsOf(30_000));
    expect(isRestarting(node)).toBe(false);
  });

  it('is the longer timeout and the shorter lease while a shorter timeout settles [SHORTWAIT]', () => {
    const { cluster, node } = rows();
    const settling = { ...cluster, settling: { timeoutMs: 50_000, index: 7 } };
    expect(timeoutMsOf(settling, node)).toBe(50_000);
    expect(grantedMs(settling, node)).toBe(leaseMsOf(30_000));
  });

  it('is a longer lease in the session that is restarted only, and the longer timeout in any', () => {
    const { cluster, node } = rows();
    const now = { ...node, grace: { timeoutMs: 126_465, session: node.session } };
    expect([timeoutMsOf(cluster, now), grantedMs(cluster, now)]).toEqual([126_465, 120_000]);
    expect([isRestarting(now), isRestarting({ ...now, sessionOpen: false })]).toEqual([true, false]);
    const later = { ...now, session: node.session + 1 };
    expect([timeoutMsOf(cluster, later), grantedMs(cluster, later)]).toEqual([126_465, leaseMsOf(30_000)]);
    expect(isRestarting(later)).toBe(false);
  });

  it('is never less than what the cluster has', () => {
    const { cluster, node } = rows();
    const now = { ...node, grace: { timeoutMs: 20_000, session: node.session } };
    expect([timeoutMsOf(cluster, now), grantedMs(cluster, now)]).toEqual([30_000, leaseMsOf(30_000)]);
  });
});

describe('heartbeats', () => {
  const allowed = { intervalMs: 100, warningMs: 200, timeoutMs: 201 };

  it.each([
    { intervalMs: 99 },
    { warningMs: 199 },
    { timeoutMs: 200 },
    { timeoutMs: 24 * 3_600_000 + 1 },
    { intervalMs: Number.NaN },
  ])('cannot be %j', (change) => {
    expect(heartbeatFault(allowed)).toBeNull();
    expect(heartbeatFault({ ...allowed, ...change })).toContain('allowed: an interval of at least 100ms');
  });
});
