import { describe, expect, it } from 'vitest';

import { JarvisError } from '../../lib/errors.ts';
import { silentLog } from '../../lib/log.ts';
import { VirtualClock } from '../../lib/testing/virtual-clock.ts';
import { MemoryCluster } from '../../scheduler/testing/memory-cluster.ts';
import { registration } from '../worker/testing/values.ts';
import { LeaseSettler } from './lease-settler.ts';
import { LEADER_LIMITS } from './limits.ts';
import { registrationFromWire } from './wire.ts';

const TIMEOUT_MS = 30_000;

function reformed() {
  const clock = new VirtualClock();
  const cluster = new MemoryCluster(() => clock.wallMs());
  const replica = cluster.replica('n1');
  cluster.lead({ name: 'n1', address: '' });
  const config = { heartbeat: { intervalMs: 2000, warningMs: 10_000, timeoutMs: TIMEOUT_MS } };
  cluster.execute({ type: 'initCluster', clusterId: 'c', epoch: 1, config, term: cluster.term });
  cluster.execute({ type: 'reformCluster', clusterId: 'd', epoch: 2 });
  const settler = new LeaseSettler({ replica, clock, log: silentLog });
  return { clock, cluster, settler, awaits: () => cluster.state.cluster?.awaitsLeases };
}

describe('a leader of a cluster that was made from another', () => {
  it('ends the waiting after it has led for a whole timeout', async () => {
    const { clock, cluster, settler, awaits } = reformed();
    settler.start(cluster.term);
    await clock.advance(TIMEOUT_MS - 1);
    expect(awaits()).toBe(true);
    await clock.advance(1);
    expect(awaits()).toBe(false);
  });

  it('waits for the longest that the other one may have granted: a longer timeout before, a restart', async () => {
    const { clock, cluster, settler, awaits } = reformed();
    cluster.execute({ type: 'setHeartbeat', heartbeat: { timeoutMs: 12_000 }, idempotency: null });
    settler.start(cluster.term);
    await clock.advance(TIMEOUT_MS - 1);
    expect(awaits()).toBe(true);
    cluster.execute(registrationFromWire(registration('w', 's')));
    const session = cluster.state.nodes.get('w')?.session ?? 0;
    cluster.execute({ type: 'grantGrace', term: cluster.term, node: 'w', session, leaseMs: 120_000 });
    settler.start(cluster.term);
    await clock.advance(126_464);
    expect(awaits()).toBe(true);
    await clock.advance(1);
    expect(awaits()).toBe(false);
  });

  it('counts anew with every leadership, and not beyond its own', async () => {
    const { clock, cluster, settler, awaits } = reformed();
    settler.start(cluster.term);
    await clock.advance(TIMEOUT_MS - 1);
    settler.start(cluster.term + 1);
    await clock.advance(TIMEOUT_MS - 1);
    expect(awaits()).toBe(true);
    settler.stop();
    await clock.advance(TIMEOUT_MS);
    expect(awaits()).toBe(true);
  });

  it('proposes it again where that came to nothing', async () => {
    const { clock, cluster, settler, awaits } = reformed();
    cluster.beforeApply = () => Promise.reject(new JarvisError('too_many', 'busy'));
    settler.start(cluster.term);
    await clock.advance(TIMEOUT_MS);
    expect(awaits()).toBe(true);
    cluster.beforeApply = () => {};
    await clock.advance(LEADER_LIMITS.decisionRetryMs);
    expect(awaits()).toBe(false);
  });

  it('does nothing in any other cluster', async () => {
    const { clock, cluster, settler } = reformed();
    cluster.execute({ type: 'leasesOver', term: cluster.term });
    const { index } = cluster;
    settler.start(cluster.term);
    await clock.advance(2 * TIMEOUT_MS);
    expect(cluster.index).toBe(index);
  });
});
