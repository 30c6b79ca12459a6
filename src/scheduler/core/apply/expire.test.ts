import { beforeEach, describe, expect, it } from 'vitest';

import { limits } from '../../../lib/limits.ts';
import { DEFAULT_RETENTION, type Retention } from '../../../model/cluster.ts';
import { entryKey, ITEMS_PER_ROW } from '../../../model/events.ts';
import type { OrderedTableName, Tables } from '../../../model/rows.ts';
import type { CommandInput } from '../../ports.ts';
import { expiryOf } from '../expiry.ts';
import { TestCluster } from '../testing/test-cluster.ts';
import { specOf } from '../testing/values.ts';

const DAY = 24 * 3_600_000;

let cluster: TestCluster;

beforeEach(() => {
  cluster = TestCluster.formed();
});

function keep(retention: Partial<Retention>): void {
  const before = cluster.stored.get('cluster/cluster')?.row as typeof cluster.state.cluster;
  if (before === null) throw new Error('there is a cluster');
  const config = { ...before.config, retention: { ...DEFAULT_RETENTION, ...retention } };
  cluster.stored.set('cluster/cluster', { table: 'cluster', key: 'cluster', row: { ...before, config } });
  cluster.state = cluster.restored();
}

/** Rows of the table, oldest first. */
function rows<T extends OrderedTableName>(table: T): readonly Tables[T][] {
  const found = [...cluster.stored.values()].filter((one) => one.table === table);
  return found.sort((a, b) => (a.key < b.key ? -1 : 1)).map(({ row }) => row as Tables[T]);
}

/** Names every row that there is. */
function everything(): CommandInput & { readonly type: 'expire' } {
  const all = { events: rows('event'), finished: rows('finished'), usedKeys: rows('usedKeys') };
  return { type: 'expire', term: cluster.term, ...expiryOf(all) };
}

function finish(count = 1): readonly string[] {
  const ids = cluster.submit(...Array.from({ length: count }, () => specOf()));
  for (const taskId of ids) cluster.done({ type: 'cancelTask', taskId, idempotency: null });
  return ids;
}

function isStored(taskId: string): readonly boolean[] {
  return [cluster.stored.has(`task/${taskId}`), cluster.stored.has(`spec/${taskId}`)];
}

describe('expire', () => {
  it('deletes finished tasks with their specs once they are old, and nothing that is open or younger', () => {
    const [old = ''] = finish();
    const open = cluster.submitOne(specOf());
    cluster.atMs += 1000;
    const [young = ''] = finish();
    cluster.atMs += DEFAULT_RETENTION.tasksMs - 1000;
    const result = cluster.run(everything());
    expect(result.outcome).toMatchObject({ type: 'done', result: { tasks: 1 } });
    expect(isStored(old)).toEqual([false, false]);
    expect(isStored(open)).toEqual([true, true]);
    expect(isStored(young)).toEqual([true, true]);
    // That they go is no change of their state.
    expect(result.changes.some(({ table, after }) => table === 'event' && after !== null)).toBe(false);
    expect(cluster.state.cluster?.retained?.finishedTaskCount).toBe(1);
    expect(rows('finished')).toHaveLength(1);
  });

  it('deletes the oldest where there are too many, and no more of them', () => {
    keep({ maxTasks: 2 });
    const ids = [...finish(), ...finish(), ...finish(), ...finish()];
    expect(cluster.done(everything()).tasks).toBe(2);
    expect(ids.map((id) => isStored(id)[0])).toEqual([false, false, true, true]);
    expect(cluster.state.cluster?.retained?.finishedTaskCount).toBe(2);
  });

  it('keeps to the number within one entry, which goes on where it was', () => {
    keep({ maxTasks: 3 });
    cluster.join('n1');
    const ids = cluster.submit(
      ...Array.from({ length: 5 }, () =>
        specOf({ onNodeLoss: 'fail', resources: { cpuMillis: 1, memoryBytes: 1 } }),
      ),
    );
    for (const id of ids) cluster.assign(id, 'n1');
    cluster.offline('n1');
    const [row] = rows('finished');
    expect(row?.items).toHaveLength(5);
    expect(cluster.done(everything()).tasks).toBe(2);
    expect(rows('finished')[0]?.items).toEqual(row?.items.slice(2));
    expect(cluster.done(everything()).tasks).toBe(0);
    keep({ maxTasks: 0 });
    expect(cluster.done(everything()).tasks).toBe(3);
    expect(rows('finished')).toEqual([]);
  });

  it('leaves alone what a person has begun anew', () => {
    const [again = ''] = finish();
    cluster.done({ type: 'retryTask', taskId: again, specId: again, idempotency: null });
    cluster.atMs += DEFAULT_RETENTION.tasksMs;
    expect(cluster.done(everything()).tasks).toBe(0);
    expect(isStored(again)).toEqual([true, true]);
    expect(rows('finished')).toEqual([]);
    // Its second end is another entry's.
    cluster.done({ type: 'cancelTask', taskId: again, idempotency: null });
    cluster.atMs += DEFAULT_RETENTION.tasksMs;
    expect(cluster.done(everything()).tasks).toBe(1);
    expect(isStored(again)).toEqual([false, false]);
  });

  it('takes events by age and moves their beginning on, also over rows of the same entry that are left', () => {
    const count = 2 * ITEMS_PER_ROW + 1;
    const index = cluster.index + 1;
    cluster.submit(...Array.from({ length: count }, () => specOf()));
    const later = cluster.index + 1;
    cluster.atMs += 1;
    cluster.submitOne(specOf());
    cluster.atMs += DAY - 1;
    const all = everything();
    const first = { ...all, finished: [], usedKeys: [], events: [{ index, part: 0 }] };
    expect(cluster.done(first).events).toBe(ITEMS_PER_ROW);
    expect(cluster.state.cluster?.retained).toMatchObject({
      eventsFrom: index + 1,
      eventCount: count + 1 - ITEMS_PER_ROW,
    });
    expect(cluster.done(all).events).toBe(count - ITEMS_PER_ROW);
    expect(cluster.state.cluster?.retained).toMatchObject({ eventsFrom: index + 1, eventCount: 1 });
    expect(rows('event').map((row) => row.index)).toEqual([later]);
  });

  it('takes idempotency keys after a day: the same key is another request then', () => {
    const idempotency = { key: 'k', requestDigest: 'd' };
    const submit: CommandInput = { type: 'submitTasks', tasks: [specOf()], idempotency };
    const first = cluster.done(submit);
    cluster.atMs += limits.idempotencyKeptMs - 1;
    expect(cluster.done(everything()).idempotencyKeys).toBe(0);
    expect(cluster.done(submit)).toEqual(first);
    cluster.atMs += 1;
    expect(cluster.done(everything()).idempotencyKeys).toBe(1);
    expect(cluster.state.cluster?.retained?.idempotencyKeyCount).toBe(0);
    expect(rows('usedKeys')).toEqual([]);
    expect(cluster.done(submit)).not.toEqual(first);
  });

  it('is judged again where it is applied, and is a decision of its term', () => {
    const [taskId = ''] = finish();
    expect(cluster.done(everything())).toEqual({ events: 0, tasks: 0, idempotencyKeys: 0, joinTokens: 0 });
    expect(isStored(taskId)).toEqual([true, true]);
    expect(cluster.refusal({ ...everything(), term: cluster.term + 1 }).code).toBe('stale_decision');
  });

  it('passes over what is gone already', () => {
    finish();
    cluster.atMs += DEFAULT_RETENTION.tasksMs;
    const all = everything();
    expect(cluster.done(all)).toMatchObject({ tasks: 1 });
    expect(cluster.done(all)).toEqual({ events: 0, tasks: 0, idempotencyKeys: 0, joinTokens: 0 });
    expect(cluster.stored.has(`event/${entryKey(all.events[0]?.index ?? 0)}`)).toBe(false);
  });
});
