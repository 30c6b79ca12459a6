import { beforeEach, describe, expect, it } from 'vitest';

import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { silentLog } from '../lib/log.ts';
import { VirtualClock } from '../lib/testing/virtual-clock.ts';
import { DEFAULT_RETENTION } from '../model/cluster.ts';
import type { CommandInput } from './ports.ts';
import { specOf } from './core/testing/values.ts';
import { Retention } from './retention.ts';
import { MemoryCluster, type MemoryReplica } from './testing/memory-cluster.ts';

const DAY = 24 * 3_600_000;

let clock: VirtualClock;
let cluster: MemoryCluster;
let replica: MemoryReplica;
let retention: Retention;
let proposed: CommandInput[];

beforeEach(() => {
  clock = new VirtualClock();
  cluster = new MemoryCluster(() => clock.wallMs());
  replica = cluster.replica('n1');
  cluster.lead({ name: 'n1', address: 'n1:7101' });
  form(DEFAULT_RETENTION);
  proposed = [];
  cluster.beforeApply = (command) => void proposed.push(command);
  retention = new Retention({ replica, clock, log: silentLog });
});

function form(kept: typeof DEFAULT_RETENTION): void {
  const heartbeat = { intervalMs: 2000, warningMs: 10_000, timeoutMs: 30_000 };
  const config = { heartbeat, retention: kept };
  cluster.execute({ type: 'initCluster', term: cluster.term, clusterId: 'c', epoch: 1, config });
}

function finish(count: number): void {
  for (let at = 0; at < count; at += 1) {
    const idempotency = { key: `${cluster.index}`, requestDigest: 'd' };
    const outcome = cluster.execute({ type: 'submitTasks', tasks: [specOf()], idempotency });
    if (outcome.type !== 'done') throw new Error(outcome.message);
    const [taskId = ''] = (outcome.result as { taskIds: readonly string[] }).taskIds;
    cluster.execute({ type: 'cancelTask', taskId, idempotency: null });
  }
}

/** So long nothing runs, and then what has become due. */
async function pass(durationMs: number): Promise<void> {
  clock.freeze(durationMs);
  await clock.advance(2 * limits.expiryIntervalMs);
}

function left(table: string): number {
  return [...cluster.rows.keys()].filter((name) => name.startsWith(`${table}/`)).length;
}

describe('retention', () => {
  it('proposes nothing for as long as there is nothing to delete', async () => {
    finish(3);
    retention.start(cluster.term);
    await clock.advance(2 * limits.expiryIntervalMs);
    await pass(DAY - 6 * limits.expiryIntervalMs);
    expect(proposed).toEqual([]);
    retention.stop();
  });

  it('deletes what is old, each kind in its time, in bounded pieces until nothing is left', async () => {
    const count = 2 * limits.expiredItems + 10;
    finish(count);
    retention.start(cluster.term);
    await pass(DAY);
    expect([left('event'), left('idempotency'), left('usedKeys'), left('task')]).toEqual([0, 0, 0, count]);
    await pass(6 * DAY);
    expect([left('task'), left('spec'), left('finished')]).toEqual([0, 0, 0]);
    for (const command of proposed) {
      if (command.type !== 'expire') throw new Error(`${command.type} is no expiry`);
      const { events, finished, usedKeys } = command;
      for (const rows of [events, finished, usedKeys])
        expect(rows.length).toBeLessThanOrEqual(limits.expiredRows);
    }
    expect(cluster.state.cluster?.retained).toMatchObject({
      eventCount: 0,
      finishedTaskCount: 0,
      idempotencyKeyCount: 0,
    });
    retention.stop();
  });

  it('keeps no more finished tasks than are allowed', async () => {
    const { cluster: before } = cluster.state;
    if (before === null) throw new Error('there is a cluster');
    const after = {
      ...before,
      config: { ...before.config, retention: { ...DEFAULT_RETENTION, maxTasks: 5 } },
    };
    cluster.state.commit([{ table: 'cluster', key: 'cluster', before, after }]);
    cluster.rows.set('cluster/cluster', after);
    retention.start(cluster.term);
    finish(20);
    await clock.advance(limits.expiryIntervalMs);
    expect(left('task')).toBe(5);
    retention.stop();
  });

  it('tries again where it could not be proposed, and ends with the term', async () => {
    finish(1);
    retention.start(cluster.term);
    cluster.beforeApply = () => {
      throw new JarvisError('too_many', 'full');
    };
    await pass(8 * DAY);
    expect(left('task')).toBe(1);
    cluster.beforeApply = () => {};
    await clock.advance(limits.expiryIntervalMs);
    expect(left('task')).toBe(0);
    retention.stop();
    finish(1);
    await pass(8 * DAY);
    expect(left('task')).toBe(1);
  });
});
