import { describe, expect, it } from 'vitest';

import { JarvisError } from '../../lib/errors.ts';
import { silentLog } from '../../lib/log.ts';
import { VirtualClock } from '../../lib/testing/virtual-clock.ts';
import type { AttemptReport } from '../../model/commands.ts';
import { registrationOf, reportOf, specOf } from '../../scheduler/core/testing/values.ts';
import { MemoryCluster } from '../../scheduler/testing/memory-cluster.ts';
import { DrainKeeper, type LogHandOver } from './drain-keeper.ts';
import { LEADER_LIMITS } from './limits.ts';

const HOUR_MS = 3_600_000;

/** A node `w`, on which one task runs. */
const NOTHING_KEPT: LogHandOver = { handOver: async () => {} };

function scene(handOver = NOTHING_KEPT) {
  const clock = new VirtualClock();
  const cluster = new MemoryCluster(() => clock.wallMs());
  const replica = cluster.replica('n1');
  cluster.lead({ name: 'n1', address: '' });
  const config = { heartbeat: { intervalMs: 2000, warningMs: 10_000, timeoutMs: 30_000 } };
  cluster.execute({ type: 'initCluster', clusterId: 'c', epoch: 1, config, term: cluster.term });
  cluster.execute(registrationOf('w'));
  // Another, that can take over what it kept.
  cluster.execute(registrationOf('v'));
  const row = () => cluster.state.nodes.get('w');
  const session = () => row()?.session ?? 0;
  cluster.execute({ type: 'reconcileNode', node: 'w', session: session(), known: [] });
  cluster.execute({ type: 'submitTasks', tasks: [specOf()], idempotency: null });
  const [taskId = ''] = cluster.state.tasks.keys();
  const assignments = [{ taskId, node: 'w', session: session() }];
  cluster.execute({ type: 'assign', term: cluster.term, planIndex: cluster.index, assignments });
  const report = (status: AttemptReport['status']): void => {
    const reports = [reportOf({ taskId, assignment: 1, atMs: clock.wallMs() }, status)];
    cluster.execute({ type: 'reportAttempts', node: 'w', session: session(), reports });
  };
  report('RUNNING');
  const parts = { replica, clock, log: silentLog };
  const make = () => new DrainKeeper({ ...parts, handOver });
  const keeper = make();
  const drain = (withinMs = HOUR_MS, startId: string | null = null): void => {
    cluster.execute({ type: 'drainNode', node: 'w', withinMs, graceMs: null, startId, idempotency: null });
  };
  const undrain = (): void => {
    cluster.execute({ type: 'undrainNode', node: 'w', idempotency: null });
  };
  return { clock, cluster, keeper, make, drain, undrain, report, row, taskId };
}

describe('DrainKeeper', () => {
  it('has what runs stopped when the deadline passes, and calls the node DRAINED once it is empty', async () => {
    const { clock, cluster, keeper, drain, report, row } = scene();
    keeper.start(cluster.term);
    drain();
    await clock.advance(HOUR_MS - 1);
    expect(row()?.drain?.isOverdue).toBe(false);
    await clock.advance(1);
    expect(row()).toMatchObject({ status: 'DRAINING', drain: { isOverdue: true } });
    const { index } = cluster;
    await clock.advance(HOUR_MS);
    expect(cluster.index).toBe(index);
    report('CANCELLED');
    await clock.advance(LEADER_LIMITS.decisionRetryMs);
    expect(row()?.status).toBe('DRAINED');
    keeper.stop();
  });

  it('goes on where the leader before it stopped, by the time of the cluster', async () => {
    const { clock, cluster, keeper, make, drain, row } = scene();
    keeper.start(cluster.term);
    drain();
    await clock.advance(HOUR_MS - 1);
    keeper.stop();
    cluster.lead({ name: 'n1', address: '' });
    await clock.advance(HOUR_MS);
    expect(row()?.drain?.isOverdue).toBe(false);
    make().start(cluster.term);
    await clock.advance(0);
    expect(row()?.drain?.isOverdue).toBe(true);
  });

  it('follows a deadline that is moved, and forgets one that was taken back', async () => {
    const { clock, cluster, keeper, drain, undrain, row } = scene();
    keeper.start(cluster.term);
    drain(1000);
    drain(5000);
    await clock.advance(4999);
    expect(row()?.drain?.isOverdue).toBe(false);
    await clock.advance(1);
    expect(row()?.drain?.isOverdue).toBe(true);
    undrain();
    const { index } = cluster;
    await clock.advance(HOUR_MS);
    expect(cluster.index).toBe(index);
  });

  it('proposes again what came to nothing', async () => {
    const { clock, cluster, keeper, drain, row } = scene();
    keeper.start(cluster.term);
    cluster.beforeApply = () => Promise.reject(new JarvisError('too_many', 'busy'));
    drain(0);
    await clock.advance(LEADER_LIMITS.decisionRetryMs - 1);
    expect(row()?.drain?.isOverdue).toBe(false);
    cluster.beforeApply = () => {};
    await clock.advance(1);
    expect(row()?.drain?.isOverdue).toBe(true);
  });

  it('waits for a node that is away, and goes on when it is back', async () => {
    const { clock, cluster, keeper, drain, row } = scene();
    keeper.start(cluster.term);
    drain();
    const session = row()?.session ?? 0;
    cluster.execute({ type: 'nodeOffline', term: cluster.term, node: 'w', session });
    await clock.advance(HOUR_MS);
    expect(row()?.status).toBe('OFFLINE');
    cluster.execute(registrationOf('w', { startId: 'again', startCounter: 2 }));
    cluster.execute({ type: 'reconcileNode', node: 'w', session: row()?.session ?? 0, known: [] });
    await clock.advance(LEADER_LIMITS.decisionRetryMs);
    expect(row()?.status).toBe('DRAINED');
  });
});

describe('the logs of a node that is drained', () => {
  it('are not waited for where no other node could take them', async () => {
    const called: string[] = [];
    const handOver: LogHandOver['handOver'] = async ({ name }) => void called.push(name);
    const { clock, cluster, keeper, drain, report, row } = scene({ handOver });
    cluster.execute({ type: 'cordonNode', node: 'v', idempotency: null });
    keeper.start(cluster.term);
    drain();
    report('COMPLETED');
    await clock.advance(1);
    expect([called, row()?.status]).toEqual([[], 'DRAINED']);
  });

  it('are handed over once it is empty, before it is DRAINED, and again where that failed', async () => {
    const calls: (() => void)[] = [];
    let failures = 1;
    const handOver: LogHandOver['handOver'] = async () => {
      await new Promise<void>((resolve) => calls.push(resolve));
      if (failures-- > 0) throw new Error('no node takes them');
    };
    const { clock, cluster, keeper, drain, report, row } = scene({ handOver });
    keeper.start(cluster.term);
    drain();
    await clock.advance(1);
    expect(calls).toHaveLength(0);
    report('COMPLETED');
    await clock.advance(1);
    expect([calls.length, row()?.status]).toEqual([1, 'DRAINING']);
    calls[0]?.();
    await clock.advance(LEADER_LIMITS.decisionRetryMs);
    expect([calls.length, row()?.status]).toEqual([2, 'DRAINING']);
    calls[1]?.();
    await clock.advance(1);
    expect(row()?.status).toBe('DRAINED');
  });

  it('are waited for no longer than is allowed, nor where the drain is ended', async () => {
    const signals: AbortSignal[] = [];
    const handOver: LogHandOver['handOver'] = (_node, signal) =>
      new Promise((_resolve, reject) => {
        signals.push(signal);
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      });
    const { clock, cluster, keeper, drain, undrain, report, row } = scene({ handOver });
    keeper.start(cluster.term);
    report('COMPLETED');
    drain();
    await clock.advance(1);
    undrain();
    await clock.advance(1);
    expect([signals[0]?.aborted, row()?.status]).toEqual([true, 'AVAILABLE']);
    drain();
    await clock.advance(LEADER_LIMITS.handOverMs + LEADER_LIMITS.decisionRetryMs + 1);
    expect([signals[1]?.aborted, row()?.status]).toEqual([true, 'DRAINED']);
  });

  it('stay with one that drains itself before it stops', async () => {
    const called: string[] = [];
    const handOver: LogHandOver['handOver'] = async ({ name }) => void called.push(name);
    const { clock, cluster, keeper, drain, report, row } = scene({ handOver });
    keeper.start(cluster.term);
    report('COMPLETED');
    drain(HOUR_MS, row()?.startId);
    await clock.advance(1);
    expect([called, row()?.status]).toEqual([[], 'DRAINED']);
  });
});
