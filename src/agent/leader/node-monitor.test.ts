import { beforeEach, describe, expect, it } from 'vitest';

import { JarvisError } from '../../lib/errors.ts';
import { silentLog } from '../../lib/log.ts';
import { leaseMsOf } from '../../model/lease.ts';
import { MemoryCluster } from '../../scheduler/testing/memory-cluster.ts';
import { VirtualClock } from '../../lib/testing/virtual-clock.ts';
import { registration } from '../worker/testing/values.ts';
import { NodeMonitor } from './node-monitor.ts';
import { registrationFromWire } from './wire.ts';

const usage = {
  cpu_percent: 5,
  memory_bytes: 1,
  disk_bytes: 2,
  network_bytes_per_second: 3,
  network_receive_bytes_per_second: 2,
  network_transmit_bytes_per_second: 1,
  disk_size_bytes: 9,
  memory_size_bytes: 9,
  wall_ms: 0,
  pressure: [] as string[],
  cpu_scope: '',
};

describe('NodeMonitor', () => {
  let clock = new VirtualClock();
  let cluster = new MemoryCluster(() => clock.wallMs());
  let monitor = makeMonitor();

  function makeMonitor(): NodeMonitor {
    return new NodeMonitor({ replica: cluster.replica('n1'), clock, log: silentLog });
  }

  function register(startId: string): number {
    cluster.execute(registrationFromWire(registration('w', startId)));
    const session = node().session;
    cluster.execute({ type: 'reconcileNode', node: 'w', session, known: [] });
    return session;
  }

  function node() {
    const row = cluster.state.nodes.get('w');
    if (row === undefined) throw new Error('the node is registered');
    return row;
  }

  /** Heartbeats every two seconds. */
  async function beat(session: number, durationMs: number): Promise<void> {
    for (let passedMs = 0; passedMs < durationMs; passedMs += 2000) {
      expect(monitor.heard('w', session, usage)).toBe(true);
      await clock.advance(2000);
    }
  }

  function proposals(type: string): number {
    return cluster.applied.filter(({ command }) => command.type === type).length;
  }

  function restarting(): number {
    const session = register('a');
    monitor.start(cluster.term);
    const { term } = cluster;
    cluster.execute({ type: 'grantGrace', term, node: 'w', session, leaseMs: 120_000 });
    return session;
  }

  beforeEach(() => {
    clock = new VirtualClock();
    cluster = new MemoryCluster(() => clock.wallMs());
    cluster.replica('n1');
    cluster.lead({ name: 'n1', address: '' });
    const config = { heartbeat: { intervalMs: 2000, warningMs: 10_000, timeoutMs: 30_000 } };
    cluster.execute({ type: 'initCluster', clusterId: 'c', epoch: 1, config, term: cluster.term });
    monitor = makeMonitor();
  });

  it('leaves a node alone that is heard of, and remembers what it said', async () => {
    const session = register('a');
    monitor.start(cluster.term);
    await beat(session, 120_000);
    expect(node().status).toBe('AVAILABLE');
    expect(proposals('nodeHealth')).toBe(0);
    expect(monitor.lastHeartbeatMs('w')).toBe(clock.wallMs() - 2000);
    expect(monitor.usage('w')).toEqual(usage);
  });

  it('knows no usage of a node that does not know its own', async () => {
    const session = register('a');
    monitor.start(cluster.term);
    monitor.heard('w', session, { ...usage, pressure: ['disk'] });
    await clock.advance(2000);
    monitor.heard('w', session, null);
    await clock.advance(2000);
    expect(monitor.usage('w')).toBeNull();
    expect(monitor.clockOffsets()).toEqual([]);
    // Whether it still runs short is not known either.
    expect(node().pressure).toEqual(['disk']);
  });

  it('says for how long it has heard nothing, which is not before it led [NEWLEADER]', async () => {
    const session = register('a');
    expect(monitor.silentMs('w')).toBeNull();
    monitor.start(cluster.term);
    await clock.advance(1500);
    expect(monitor.silentMs('w')).toBe(1500);
    monitor.heard('w', session, null);
    await clock.advance(700);
    expect(monitor.silentMs('w')).toBe(700);
  });

  it('finds a silent node UNHEALTHY past the warning and OFFLINE past the timeout, to the millisecond', async () => {
    const session = register('a');
    monitor.start(cluster.term);
    await beat(session, 10_000);
    await clock.advance(7999);
    expect(node().status).toBe('AVAILABLE');
    await clock.advance(1);
    expect(node().status).toBe('UNHEALTHY');
    await clock.advance(19_999);
    expect(node().status).toBe('UNHEALTHY');
    await clock.advance(1);
    expect(node()).toMatchObject({ status: 'OFFLINE', sessionOpen: false });
    await clock.advance(60_000);
    expect(proposals('nodeOffline')).toBe(1);
    expect(monitor.heard('w', session, usage)).toBe(false);
  });

  it('takes note of what a node runs short of, as it says it last', async () => {
    const session = register('a');
    monitor.start(cluster.term);
    const say = async (...pressure: string[]): Promise<void> => {
      monitor.heard('w', session, { ...usage, pressure });
      await clock.advance(2000);
    };
    await say('memory', 'disk', 'something of a later version');
    expect(node().pressure).toEqual(['disk', 'memory']);
    await say('disk', 'memory');
    expect(proposals('nodePressure')).toBe(1);
    await say();
    expect(node().pressure).toBeUndefined();
    expect(proposals('nodePressure')).toBe(2);
  });

  it('does not take an earlier session for the present one in that', async () => {
    const session = register('a');
    monitor.start(cluster.term);
    monitor.heard('w', session, { ...usage, pressure: ['disk'] });
    await clock.advance(2000);
    const later = register('b');
    await clock.advance(2000);
    // Kept until the new session says something itself.
    expect([node().pressure, proposals('nodePressure')]).toEqual([['disk'], 1]);
    monitor.heard('w', later, usage);
    await clock.advance(2000);
    expect(node().pressure).toBeUndefined();
  });

  it('takes a node for healthy as soon as it is heard of again', async () => {
    const session = register('a');
    monitor.start(cluster.term);
    await clock.advance(15_000);
    expect(node().status).toBe('UNHEALTHY');
    monitor.heard('w', session, usage);
    await clock.advance(0);
    expect(node().status).toBe('AVAILABLE');
    await beat(session, 20_000);
    expect(proposals('nodeHealth')).toBe(2);
  });

  it('counts anew in a new term, and takes nobody for healthy unheard [NEWLEADER]', async () => {
    const session = register('a');
    monitor.start(cluster.term);
    await clock.advance(25_000);
    expect(node().status).toBe('UNHEALTHY');
    cluster.lead({ name: 'n1', address: '' });
    monitor.start(cluster.term);
    await clock.advance(29_999);
    expect(node()).toMatchObject({ status: 'UNHEALTHY', session });
    await clock.advance(1);
    expect(node().status).toBe('OFFLINE');
  });

  it('answers nothing once OFFLINE is proposed, and proposes it until it is decided [STOPGRANT]', async () => {
    const session = register('a');
    monitor.start(cluster.term);
    let dropped = 0;
    cluster.beforeApply = ({ type }) => {
      if (type !== 'nodeOffline' || dropped >= 3) return;
      dropped += 1;
      throw new JarvisError('too_many', 'dropped');
    };
    await clock.advance(30_000);
    expect(dropped).toBe(1);
    expect(node().status).toBe('UNHEALTHY');
    expect(monitor.heard('w', session, usage)).toBe(false);
    await clock.advance(2000);
    expect(dropped).toBe(3);
    expect(node().status).toBe('OFFLINE');
  });

  it('gives a new session a whole timeout, and ends none but the one it names [REGTIMER, OFFSESS]', async () => {
    register('a');
    monitor.start(cluster.term);
    const decided = Promise.withResolvers<void>();
    cluster.beforeApply = ({ type }) => (type === 'nodeOffline' ? decided.promise : undefined);
    await clock.advance(30_000);
    const second = register('b');
    decided.resolve();
    await clock.advance(1000);
    expect(node()).toMatchObject({ session: second, sessionOpen: true, status: 'AVAILABLE' });
    expect(monitor.heard('w', second, usage)).toBe(true);
    await clock.advance(29_999);
    expect(node().sessionOpen).toBe(true);
    await clock.advance(1);
    expect(node().status).toBe('OFFLINE');
  });

  it('takes a session up again that began after OFFLINE', async () => {
    register('a');
    monitor.start(cluster.term);
    await clock.advance(31_000);
    expect(node().status).toBe('OFFLINE');
    await clock.advance(100_000);
    const session = register('a');
    await clock.advance(2000);
    expect(node().status).toBe('AVAILABLE');
    await beat(session, 60_000);
    expect(node().status).toBe('AVAILABLE');
  });

  it('does not count time in which this process stood still', async () => {
    const session = register('a');
    monitor.start(cluster.term);
    await beat(session, 10_000);
    clock.freeze(40_000);
    await clock.advance(1);
    expect(node().status).toBe('AVAILABLE');
    await beat(session, 10_000);
    expect(proposals('nodeOffline')).toBe(0);
  });

  it('says nothing once it is stopped', async () => {
    const session = register('a');
    monitor.start(cluster.term);
    monitor.stop();
    await clock.advance(100_000);
    expect(node().status).toBe('AVAILABLE');
    expect(monitor.heard('w', session, usage)).toBe(false);
    expect(monitor.lastHeartbeatMs('w')).toBe(null);
  });

  it('follows a change of the timeout: a longer one at once, a shorter one once it has settled', async () => {
    const session = register('a');
    monitor.start(cluster.term);
    cluster.execute({ type: 'setHeartbeat', heartbeat: { timeoutMs: 60_000 }, idempotency: null });
    expect(monitor.leaseMs('w', session, cluster.term)).toBe(leaseMsOf(60_000));
    await clock.advance(59_999);
    expect(node().sessionOpen).toBe(true);
    monitor.heard('w', session, usage);
    cluster.execute({ type: 'setHeartbeat', heartbeat: { timeoutMs: 20_000 }, idempotency: null });
    expect(monitor.leaseMs('w', session, cluster.term)).toBe(leaseMsOf(20_000));
    await clock.advance(59_999);
    expect(node().sessionOpen).toBe(true);
    monitor.heard('w', session, usage);
    const index = cluster.state.cluster?.settling?.index ?? 0;
    cluster.execute({ type: 'timeoutSettled', term: cluster.term, index });
    await clock.advance(20_000);
    expect(node().status).toBe('OFFLINE');
  });

  describe('of a node that is to be restarted', () => {
    const GRACE_MS = 126_465;

    it('grants it the longer lease, warns as usual, and waits for all of the longer timeout', async () => {
      const session = restarting();
      expect(monitor.leaseMs('w', session, cluster.term)).toBe(120_000);
      monitor.heard('w', session, usage);
      await clock.advance(10_000);
      expect(node().status).toBe('UNHEALTHY');
      await clock.advance(GRACE_MS - 10_001);
      expect(node()).toMatchObject({ status: 'UNHEALTHY', sessionOpen: true });
      await clock.advance(1);
      expect(node().status).toBe('OFFLINE');
      expect(node()).not.toHaveProperty('grace');
    });

    it('grants it short leases again once it is back, and has the longer timeout until that was counted', async () => {
      restarting();
      await clock.advance(60_000);
      const second = register('b');
      expect(monitor.leaseMs('w', second, cluster.term)).toBe(leaseMsOf(30_000));
      await beat(second, GRACE_MS - 2000);
      expect(node().grace?.timeoutMs).toBe(GRACE_MS);
      await beat(second, 4000);
      expect(node()).not.toHaveProperty('grace');
      expect(proposals('graceOver')).toBe(1);
      await clock.advance(28_001);
      expect(node().status).toBe('OFFLINE');
    });

    it('that falls silent again before that was counted is waited for as long [SHORTWAIT]', async () => {
      restarting();
      await clock.advance(60_000);
      const second = register('b');
      monitor.heard('w', second, usage);
      await clock.advance(GRACE_MS - 1);
      expect(node().sessionOpen).toBe(true);
    });

    it('has it counted anew by a new leader [SHORTNEW]', async () => {
      restarting();
      const second = register('b');
      await beat(second, 120_000);
      cluster.lead({ name: 'n1', address: '' });
      monitor.start(cluster.term);
      await beat(second, GRACE_MS - 2000);
      expect(node().grace?.timeoutMs).toBe(GRACE_MS);
      await beat(second, 4000);
      expect(node()).not.toHaveProperty('grace');
    });
  });
});
