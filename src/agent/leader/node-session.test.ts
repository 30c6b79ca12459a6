import { EventEmitter } from 'node:events';

import type { StatusObject } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';

import type { LeaderMessage, WorkerMessage } from '../../generated/worker.ts';
import { JarvisError } from '../../lib/errors.ts';
import { silentLog } from '../../lib/log.ts';
import { leaseMsOf } from '../../model/lease.ts';
import { MemoryCluster } from '../../scheduler/testing/memory-cluster.ts';
import { VirtualClock } from '../../lib/testing/virtual-clock.ts';
import { registration } from '../worker/testing/values.ts';
import { LEADER_LIMITS } from './limits.ts';
import { LeaderSessions } from './leader-sessions.ts';
import { NodeMonitor } from './node-monitor.ts';
import type { WorkerCall } from './node-session.ts';

/** The server's end of a stream whose other end reads only when it is told to. */
class FakeCall extends EventEmitter {
  readonly sent: LeaderMessage[] = [];
  takes = true;
  status: Partial<StatusObject> | null = null;

  constructor() {
    super();
    this.on('error', (status: Partial<StatusObject>) => {
      this.status = status;
    });
  }

  get writableLength(): number {
    return this.takes ? 0 : this.sent.length;
  }

  write(message: LeaderMessage): boolean {
    this.sent.push(message);
    return this.takes;
  }

  end(): void {}

  getPeer(): string {
    return 'test';
  }

  receive(kind: WorkerMessage['kind']): void {
    this.emit('data', { kind });
  }
}

async function open({ clusterId = 'c' } = {}) {
  const clock = new VirtualClock();
  const cluster = new MemoryCluster(() => clock.wallMs());
  const replica = cluster.replica('n1');
  cluster.lead({ name: 'n1', address: '' });
  const config = { heartbeat: { intervalMs: 2000, warningMs: 10_000, timeoutMs: 30_000 } };
  cluster.execute({ type: 'initCluster', clusterId: 'c', epoch: 1, config, term: cluster.term });
  const parts = { replica, clock, log: silentLog };
  const monitor = new NodeMonitor(parts);
  const sessions = new LeaderSessions({ ...parts, clusterId: 'c', monitor });
  monitor.start(cluster.term);
  sessions.start(cluster.term);
  const call = new FakeCall();
  sessions.accept(call as unknown as WorkerCall);
  call.receive({ $case: 'register', value: { ...registration('w', 's'), cluster_id: clusterId } });
  await clock.advance(0);
  const session = cluster.state.nodes.get('w')?.session ?? 0;
  const heartbeat = (number: number, restartMs = 0) =>
    call.receive({
      $case: 'heartbeat',
      value: { session, number, usage: undefined, restart_lease_ms: restartMs },
    });
  return { clock, cluster, call, sessions, session, heartbeat };
}

describe('a stream', () => {
  it('of a node of another cluster is refused: of that which this one was made from, it may still run', async () => {
    const { call, cluster } = await open({ clusterId: 'older' });
    expect(call.status).toMatchObject({ details: 'node w is of cluster older, and this is c' });
    expect(call.status?.metadata?.get('jarvis-code')).toEqual(['forbidden']);
    expect(cluster.state.nodes.has('w')).toBe(false);
  });

  it('of a node of an earlier version, which does not say its cluster, is taken', async () => {
    const { cluster } = await open({ clusterId: '' });
    expect(cluster.state.nodes.get('w')?.sessionOpen).toBe(true);
  });

  it('that is not read is ended after a while, for its worker to begin anew', async () => {
    const { clock, call, session } = await open();
    call.takes = false;
    call.receive({ $case: 'inventory', value: { session, items: [] } });
    await clock.advance(LEADER_LIMITS.stalledStreamMs - 1);
    expect(call.status).toBe(null);
    await clock.advance(1);
    expect(call.status?.metadata?.get('jarvis-code')).toEqual(['too_many']);
  });

  it('lives on when it is read in time', async () => {
    const { clock, call, session, heartbeat } = await open();
    call.takes = false;
    call.receive({ $case: 'inventory', value: { session, items: [] } });
    await clock.advance(LEADER_LIMITS.stalledStreamMs - 1);
    call.takes = true;
    call.emit('drain');
    heartbeat(1);
    await clock.advance(LEADER_LIMITS.stalledStreamMs - 1);
    expect(call.status).toBe(null);
    expect(call.sent.map(({ kind }) => kind?.$case)).toEqual(['registered', 'desired', 'heartbeat']);
  });

  it('is ended at once where too much waits to be sent', async () => {
    const { call, session, heartbeat, clock } = await open();
    call.takes = false;
    call.receive({ $case: 'inventory', value: { session, items: [] } });
    await clock.advance(0);
    for (let number = 1; number <= LEADER_LIMITS.unsentMessages && call.status === null; number += 1) {
      heartbeat(number);
      await clock.advance(0);
    }
    expect(call.status?.metadata?.get('jarvis-code')).toEqual(['too_many']);
  });

  it('answers a heartbeat with a lease once a quorum has confirmed the leader after it came', async () => {
    const { clock, cluster, call, session, heartbeat } = await open();
    const { promise, resolve } = Promise.withResolvers<void>();
    cluster.beforeConfirm = () => promise;
    heartbeat(7);
    await clock.advance(1000);
    expect(call.sent.map(({ kind }) => kind?.$case)).toEqual(['registered']);
    resolve();
    await clock.advance(0);
    const value = { session, number: 7, lease_ms: leaseMsOf(30_000), heartbeat_interval_ms: 2000 };
    expect(call.sent.at(-1)).toEqual({ kind: { $case: 'heartbeat', value } });
  });

  it('grants a lease for a restart once the longer timeout is applied, and not before [EXTCOMMIT]', async () => {
    const { clock, cluster, call, session, heartbeat } = await open();
    const { promise, resolve } = Promise.withResolvers<void>();
    cluster.beforeApply = () => promise;
    heartbeat(1, 120_000);
    await clock.advance(1000);
    expect(call.sent.map(({ kind }) => kind?.$case)).toEqual(['registered']);
    heartbeat(2);
    await clock.advance(0);
    const answer = (number: number, leaseMs: number): unknown => {
      const value = { session, number, lease_ms: leaseMs, heartbeat_interval_ms: 2000 };
      return { kind: { $case: 'heartbeat', value } };
    };
    expect(call.sent.at(-1)).toEqual(answer(2, leaseMsOf(30_000)));
    resolve();
    await clock.advance(0);
    expect(cluster.state.nodes.get('w')?.grace).toEqual({ timeoutMs: 126_465, session });
    expect(call.sent.at(-1)).toEqual(answer(1, 120_000));
  });

  it('answers nothing to who asks for one and does not get it', async () => {
    const { clock, cluster, call, session, heartbeat } = await open();
    cluster.beforeApply = ({ type }) => {
      if (type === 'grantGrace')
        cluster.execute({ type: 'nodeOffline', node: 'w', session, term: cluster.term });
    };
    heartbeat(1, 120_000);
    await clock.advance(0);
    expect(call.sent.map(({ kind }) => kind?.$case)).toEqual(['registered']);
  });

  it('tells its worker how often heartbeats are wanted now', async () => {
    const { clock, cluster, call, heartbeat } = await open();
    cluster.execute({ type: 'setHeartbeat', heartbeat: { intervalMs: 500 }, idempotency: null });
    heartbeat(1);
    await clock.advance(0);
    expect(call.sent.at(-1)?.kind?.value).toMatchObject({ heartbeat_interval_ms: 500 });
  });

  it('answers no heartbeat whose session ended, or was to be ended, while a quorum was asked', async () => {
    for (const ending of ['applied', 'proposed'] as const) {
      const { clock, cluster, call, session, heartbeat } = await open();
      const { promise, resolve } = Promise.withResolvers<void>();
      cluster.beforeConfirm = () => promise;
      heartbeat(1);
      if (ending === 'applied')
        cluster.execute({ type: 'nodeOffline', node: 'w', session, term: cluster.term });
      else {
        // Decided, and never applied.
        cluster.beforeApply = () => new Promise(() => undefined);
        await clock.advance(30_000);
      }
      resolve();
      await clock.advance(0);
      expect(call.sent.map(({ kind }) => kind?.$case)).toEqual(['registered']);
      expect(call.status?.metadata?.get('jarvis-code')).toEqual(['conflict']);
    }
  });

  it('answers nothing where no quorum confirms, or one did in another term', async () => {
    const { clock, cluster, call, heartbeat } = await open();
    cluster.beforeConfirm = () => Promise.reject(new JarvisError('no_leader', 'no quorum'));
    heartbeat(1);
    await clock.advance(0);
    expect(call.status).toBe(null);
    cluster.beforeConfirm = () => cluster.lead({ name: 'n1', address: '' });
    heartbeat(2);
    await clock.advance(0);
    expect(call.sent.map(({ kind }) => kind?.$case)).toEqual(['registered']);
    expect(call.status).not.toBe(null);
  });

  it('is ended where nothing is registered on it', async () => {
    const { clock, sessions } = await open();
    const idle = new FakeCall();
    sessions.accept(idle as unknown as WorkerCall);
    await clock.advance(LEADER_LIMITS.registerTimeoutMs);
    expect(idle.status?.metadata?.get('jarvis-code')).toEqual(['timeout']);
  });

  it('is ended when this node no longer leads', async () => {
    const { call, sessions } = await open();
    sessions.stop();
    expect(call.status?.metadata?.get('jarvis-code')).toEqual(['no_leader']);
    expect(sessions.accept(new FakeCall() as unknown as WorkerCall)).toBe(false);
  });

  it('gives way to a newer stream of its node', async () => {
    const { call, clock, session, sessions } = await open();
    const newer = new FakeCall();
    sessions.accept(newer as unknown as WorkerCall);
    newer.receive({ $case: 'register', value: registration('w', 's') });
    await clock.advance(0);
    expect(call.status?.metadata?.get('jarvis-code')).toEqual(['conflict']);
    expect(newer.sent).toEqual([
      { kind: { $case: 'registered', value: { session, heartbeat_interval_ms: 2000 } } },
    ]);
  });
});
