import { describe, expect, it } from 'vitest';

import { JarvisError } from '../../lib/errors.ts';
import { silentLog } from '../../lib/log.ts';
import { VirtualClock } from '../../lib/testing/virtual-clock.ts';
import { clusterTimeoutMs } from '../../model/timeouts.ts';
import { MemoryCluster } from '../../scheduler/testing/memory-cluster.ts';
import { LEADER_LIMITS } from './limits.ts';
import { TimeoutSettler } from './timeout-settler.ts';

const OLD_MS = 30_000;
const NEW_MS = 12_000;

function formed() {
  const clock = new VirtualClock();
  const cluster = new MemoryCluster(() => clock.wallMs());
  const replica = cluster.replica('n1');
  cluster.lead({ name: 'n1', address: '' });
  const config = { heartbeat: { intervalMs: 2000, warningMs: 10_000, timeoutMs: OLD_MS } };
  cluster.execute({ type: 'initCluster', clusterId: 'c', epoch: 1, config, term: cluster.term });
  const settler = new TimeoutSettler({ replica, clock, log: silentLog });
  const set = (timeoutMs: number) =>
    cluster.execute({ type: 'setHeartbeat', heartbeat: { timeoutMs }, idempotency: null });
  const inForceMs = () => (cluster.state.cluster === null ? 0 : clusterTimeoutMs(cluster.state.cluster));
  return { clock, cluster, settler, set, inForceMs };
}

describe('a shorter timeout', () => {
  it('counts once its leader has counted the old one since it applied it [SHORTWAIT]', async () => {
    const { clock, cluster, settler, set, inForceMs } = formed();
    settler.start(cluster.term);
    await clock.advance(3 * OLD_MS);
    set(NEW_MS);
    await clock.advance(OLD_MS - 1);
    expect(inForceMs()).toBe(OLD_MS);
    await clock.advance(1);
    expect(inForceMs()).toBe(NEW_MS);
    const { index } = cluster;
    await clock.advance(3 * OLD_MS);
    expect(cluster.index).toBe(index);
  });

  it('is counted anew by a new leader [SHORTNEW], and by none that has stopped leading', async () => {
    const { clock, cluster, settler, set, inForceMs } = formed();
    settler.start(cluster.term);
    set(NEW_MS);
    await clock.advance(OLD_MS - 1);
    cluster.lead({ name: 'n1', address: '' });
    settler.start(cluster.term);
    await clock.advance(OLD_MS - 1);
    expect(inForceMs()).toBe(OLD_MS);
    settler.stop();
    await clock.advance(OLD_MS);
    expect(inForceMs()).toBe(OLD_MS);
    settler.start(cluster.term);
    await clock.advance(OLD_MS);
    expect(inForceMs()).toBe(NEW_MS);
  });

  it('is counted anew after each change', async () => {
    const { clock, cluster, settler, set, inForceMs } = formed();
    settler.start(cluster.term);
    set(NEW_MS);
    await clock.advance(OLD_MS - 1);
    set(20_000);
    await clock.advance(OLD_MS - 1);
    expect(inForceMs()).toBe(OLD_MS);
    await clock.advance(1);
    expect(inForceMs()).toBe(20_000);
  });

  it('is not waited for where it was taken back', async () => {
    const { clock, cluster, settler, set, inForceMs } = formed();
    settler.start(cluster.term);
    set(NEW_MS);
    set(OLD_MS);
    const { index } = cluster;
    await clock.advance(2 * OLD_MS);
    expect([inForceMs(), cluster.index]).toEqual([OLD_MS, index]);
  });

  it('is proposed again where that came to nothing', async () => {
    const { clock, cluster, settler, set, inForceMs } = formed();
    settler.start(cluster.term);
    set(NEW_MS);
    cluster.beforeApply = () => Promise.reject(new JarvisError('too_many', 'busy'));
    await clock.advance(OLD_MS);
    expect(inForceMs()).toBe(OLD_MS);
    cluster.beforeApply = () => {};
    await clock.advance(LEADER_LIMITS.decisionRetryMs);
    expect(inForceMs()).toBe(NEW_MS);
  });

  it('that is changed while its end is under way is counted anew', async () => {
    const { clock, cluster, settler, set, inForceMs } = formed();
    settler.start(cluster.term);
    set(NEW_MS);
    const { promise, resolve } = Promise.withResolvers<void>();
    cluster.beforeApply = () => promise;
    await clock.advance(OLD_MS);
    set(20_000);
    set(NEW_MS);
    resolve();
    await clock.advance(OLD_MS - 1);
    expect(inForceMs()).toBe(OLD_MS);
    await clock.advance(1);
    expect(inForceMs()).toBe(NEW_MS);
  });
});
