/** What keeps tasks out of the queue, at its head, or out of the cluster: times, keys, bounds, reservations. */
import { afterEach, describe, expect, it, vi } from 'vitest';

import { limits } from '../../../lib/limits.ts';
import type { TaskSpec } from '../../../model/task.ts';
import { headsOf } from '../placement/heads.ts';
import { inFlightOf } from '../placement/in-flight.ts';
import { plan } from '../placement/plan.ts';
import { Planner } from '../placement/planner.ts';
import { TestCluster } from '../testing/test-cluster.ts';
import { MIB, specOf } from '../testing/values.ts';

const SMALL = { cpuMillis: 1000, memoryBytes: MIB };

function clusterOf(...names: readonly string[]): TestCluster {
  const cluster = TestCluster.formed();
  for (const name of names) cluster.join(name);
  return cluster;
}

function small(changes: Partial<TaskSpec> = {}): TaskSpec {
  return specOf({ resources: SMALL, ...changes });
}

function big(cpuMillis: number, changes: Partial<TaskSpec> = {}): TaskSpec {
  return specOf({ resources: { cpuMillis, memoryBytes: MIB }, ...changes });
}

function keyed(max = 2): TaskSpec {
  return small({ concurrency: { key: 'db', max } });
}

/** Plans, and carries that out. @returns the ids that were placed */
function place(cluster: TestCluster): readonly string[] {
  const { assignments, overtakes } = plan(cluster.state, new Map(), 256);
  const { term, index: planIndex } = cluster;
  return cluster.done({ type: 'assign', term, planIndex, assignments, overtakes }).accepted;
}

function complete(cluster: TestCluster, taskId: string): void {
  cluster.report(taskId, 'COMPLETED');
}

/** Both nodes are half full, and a task that needs a whole one waits. */
function waiting(): { cluster: TestCluster; head: string; running: readonly string[] } {
  const cluster = clusterOf('n1', 'n2');
  const running = cluster.submit(big(2000), big(2500));
  place(cluster);
  const head = cluster.submitOne(big(4000));
  return { cluster, head, running };
}

/** A small one is placed, and has overtaken the task. */
function overtake(cluster: TestCluster, overtakes: string): void {
  const taskId = cluster.submitOne(specOf({ resources: { cpuMillis: 1, memoryBytes: 1 } }));
  const session = cluster.state.nodes.get('n1')?.session ?? 0;
  const assignments = [{ taskId, node: 'n1', session }];
  cluster.done({ type: 'assign', term: 1, planIndex: 0, assignments, overtakes });
}

/** As planned. */
function placeTiny(cluster: TestCluster): void {
  const taskId = cluster.submitOne(specOf({ resources: { cpuMillis: 1, memoryBytes: 1 } }));
  expect(place(cluster)).toEqual([taskId]);
}

function headIds(cluster: TestCluster): readonly string[] {
  return headsOf(cluster.state.cluster).map(({ taskId }) => taskId);
}

function reservationOf(cluster: TestCluster): ReturnType<Planner['reservation']> {
  return new Planner(cluster.state, inFlightOf(new Map())).reservation(cluster.atMs);
}

function reserve(cluster: TestCluster, taskId: string, nodes: readonly string[]): readonly string[] {
  return cluster.done({ type: 'reserveNodes', term: 1, taskId, nodes }).reserved;
}

describe('not_before', () => {
  it('keeps a task out of the queue until its time has come, by the clock of the state', () => {
    const cluster = clusterOf('n1');
    const id = cluster.submitOne(small({ notBeforeMs: cluster.atMs + 5000 }));
    const past = cluster.submitOne(small({ notBeforeMs: cluster.atMs - 5000 }));
    expect(cluster.task(id)).toMatchObject({ status: 'PENDING', waitsUntilMs: cluster.atMs + 5000 });
    expect(place(cluster)).toEqual([past]);
    expect(cluster.state.nextRetryAtMs()).toBe(cluster.atMs + 5000);
    const session = cluster.state.nodes.get('n1')?.session ?? 0;
    const assignments = [{ taskId: id, node: 'n1', session }];
    expect(cluster.done({ type: 'assign', term: 1, planIndex: 0, assignments }).refused).toEqual([
      { taskId: id, reason: 'not before 1970-01-01T00:16:45.000Z' },
    ]);
    cluster.atMs += 4999;
    expect(cluster.done({ type: 'retryDue', term: 1, taskIds: [id] }).queued).toEqual([]);
    cluster.atMs += 1;
    cluster.state = cluster.restored();
    expect([...cluster.state.retriesDue(cluster.atMs)].map((task) => task.id)).toEqual([id]);
    expect(cluster.done({ type: 'retryDue', term: 1, taskIds: [id] }).queued).toEqual([id]);
    expect(place(cluster)).toEqual([id]);
  });

  it('is no reason not to be cancelled', () => {
    const cluster = clusterOf('n1');
    const id = cluster.submitOne(small({ notBeforeMs: cluster.atMs + 5000 }));
    cluster.done({ type: 'cancelTask', taskId: id, idempotency: null });
    expect(cluster.state.nextRetryAtMs()).toBeNull();
    expect(cluster.task(id).status).toBe('CANCELLED');
  });
});

describe('a concurrency key', () => {
  it('lets no more than its maximum run, and the next as soon as one has ended', () => {
    const cluster = clusterOf('n1', 'n2');
    const ids = cluster.submit(keyed(), keyed(), keyed(), keyed());
    const other = cluster.submitOne(small({ concurrency: { key: 'other', max: 1 } }));
    expect(place(cluster)).toEqual([...ids.slice(0, 2), other]);
    expect(place(cluster)).toEqual([]);
    complete(cluster, ids[1] ?? '');
    cluster.state = cluster.restored((rows) => rows.toReversed());
    expect(place(cluster)).toEqual([ids[2]]);
  });

  it('is checked again where it is applied, also within one command', () => {
    const cluster = clusterOf('n1');
    const ids = cluster.submit(keyed(), keyed(), keyed());
    const session = cluster.state.nodes.get('n1')?.session ?? 0;
    const assignments = ids.map((taskId) => ({ taskId, node: 'n1', session }));
    const result = cluster.done({ type: 'assign', term: 1, planIndex: 0, assignments });
    expect(result.refused).toEqual([{ taskId: ids[2], reason: 'waits for concurrency key db (2 of 2)' }]);
  });

  it('has one maximum in all open tasks, and may have another afterwards', () => {
    const cluster = clusterOf('n1');
    const id = cluster.submitOne(keyed(2));
    const other = { type: 'submitTasks', tasks: [keyed(3)], idempotency: null } as const;
    const refusal = cluster.refusal(other);
    expect(refusal).toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('db has the maximum 2'),
    });
    const submissions = [2, 3, 2].map((max) => ({
      tasks: [small({ concurrency: { key: 'new', max } })],
      idempotency: null,
    }));
    const { outcomes } = cluster.done({ type: 'submitMany', submissions });
    expect(outcomes.map(({ type }) => type)).toEqual(['done', 'refused', 'done']);
    cluster.done({ type: 'cancelTask', taskId: id, idempotency: null });
    cluster.done(other);
  });
});

describe('the bound on queued tasks', () => {
  afterEach(() => vi.restoreAllMocks());

  it('refuses what would go beyond it, and counts what is on nodes not', () => {
    const cluster = clusterOf('n1');
    vi.spyOn(cluster.state, 'queuedCount', 'get').mockReturnValue(limits.queuedTasks - 2);
    const tasks = [small(), small(), small()];
    expect(cluster.refusal({ type: 'submitTasks', tasks, idempotency: null })).toEqual({
      type: 'refused',
      code: 'too_many',
      message: '999998 tasks wait already, and at most 1000000 may: submit again when some of them run',
    });
    cluster.submit(...tasks.slice(1));
    vi.restoreAllMocks();
    cluster.assign(cluster.submitOne(small()), 'n1');
    expect(cluster.state.queuedCount).toBe(2);
  });
});

describe('the head of the queue', () => {
  it('is noted when it is overtaken first, and not while nothing overtakes it', () => {
    const { cluster, head } = waiting();
    place(cluster);
    expect(cluster.state.cluster?.heads).toBeUndefined();
    const first = cluster.atMs;
    cluster.submitOne(small());
    expect(place(cluster)).toHaveLength(1);
    cluster.atMs += 1000;
    cluster.submitOne(small());
    expect(place(cluster)).toHaveLength(1);
    expect(cluster.state.cluster?.heads).toEqual([{ taskId: head, sinceMs: first, nodes: [] }]);
  });

  it('gets a node to itself after the bound, and no sooner, until it is placed there', () => {
    const { cluster, head, running } = waiting();
    cluster.submitOne(small({ priority: 'low' }));
    place(cluster);
    cluster.atMs += limits.overtakingMs - 1;
    expect(reserve(cluster, head, ['n1'])).toEqual([]);
    cluster.atMs += 1;
    expect(reserve(cluster, head, ['n1', 'n2'])).toEqual(['n1']);
    cluster.state = cluster.restored();
    const behind = cluster.submit(small(), small(), small());
    const urgent = cluster.submitOne(small({ priority: 'critical' }));
    const session = cluster.state.nodes.get('n1')?.session ?? 0;
    const assignments = [{ taskId: behind[0] ?? '', node: 'n1', session }];
    expect(cluster.done({ type: 'assign', term: 1, planIndex: 0, assignments }).refused).toEqual([
      { taskId: behind[0], reason: `node n1 is reserved for ${head}, which has waited longer` },
    ]);
    expect(place(cluster)).toContain(urgent);
    for (const id of [...running, urgent]) if (cluster.attempt(id).node === 'n1') complete(cluster, id);
    for (const task of cluster.state.tasks.values())
      if (task.attempts.at(-1)?.node === 'n1') complete(cluster, task.id);
    place(cluster);
    expect(cluster.attempt(head).node).toBe('n1');
    expect(cluster.state.cluster?.heads).toEqual([]);
  });

  it('is nobody any more that is cancelled: its nodes are for all again', () => {
    const { cluster, head } = waiting();
    cluster.submitOne(small());
    place(cluster);
    cluster.atMs += limits.overtakingMs;
    reserve(cluster, head, ['n1']);
    cluster.done({ type: 'cancelTask', taskId: head, idempotency: null });
    expect(cluster.state.cluster?.heads).toEqual([]);
    expect(reserve(cluster, head, ['n1'])).toEqual([]);
  });

  it('goes on with its wait when one before it in the order has been the first for a time', () => {
    const cluster = clusterOf('n1');
    const [running, retried] = cluster.submit(small(), big(2000), small());
    const head = cluster.submitOne(big(4000));
    place(cluster);
    cluster.report(retried ?? '', 'FAILED');
    const sinceMs = cluster.atMs;
    placeTiny(cluster);
    cluster.atMs += 29_000;
    cluster.done({ type: 'retryDue', term: 1, taskIds: [retried ?? ''] });
    placeTiny(cluster);
    expect(cluster.state.cluster?.heads).toEqual([
      { taskId: retried, sinceMs: cluster.atMs, nodes: [] },
      { taskId: head, sinceMs, nodes: [] },
    ]);
    cluster.atMs += 1000;
    // Also while the other is there still: that one may use the node all the same.
    expect(reservationOf(cluster)).toEqual({ taskId: head, nodes: ['n1'] });
    expect(reserve(cluster, head, ['n1'])).toEqual(['n1']);
    cluster.state = cluster.restored();
    complete(cluster, running ?? '');
    expect(place(cluster)).toEqual([retried]);
    expect(cluster.state.cluster?.heads).toEqual([{ taskId: head, sinceMs, nodes: ['n1'] }]);
  });

  it('gets the node of one behind it where there is no other, and that one keeps it as well', () => {
    const { cluster, head } = waiting();
    placeTiny(cluster);
    cluster.atMs += 2 * limits.overtakingMs;
    reserve(cluster, head, ['n1', 'n2']);
    const urgent = cluster.submitOne(big(3900, { priority: 'critical' }));
    cluster.submitOne(small({ priority: 'high' }));
    expect(place(cluster)).toHaveLength(1);
    cluster.atMs += limits.overtakingMs;
    const wanted = reservationOf(cluster);
    expect(wanted?.taskId).toBe(urgent);
    expect(wanted?.nodes).toHaveLength(1);
    reserve(cluster, urgent, wanted?.nodes ?? []);
    expect(reservationOf(cluster)).toBeNull();
    expect(cluster.state.cluster?.heads?.map(({ nodes }) => nodes)).toEqual([wanted?.nodes, ['n1', 'n2']]);
  });

  it('is one of a few of its priority: of too many those stay that wait for room, and longest', () => {
    const { cluster, head } = waiting();
    const rest = [cluster.submitOne(big(4000))];
    for (let count = 0; count < limits.headsPerPriority; count += 1) rest.push(cluster.submitOne(big(4000)));
    const all = [head, ...rest];
    const other = cluster.submitOne(big(4000, { priority: 'low' }));
    const note = (taskId: string): void => {
      overtake(cluster, taskId);
      cluster.atMs += 1000;
    };
    note(other);
    // The last of them first, so that each comes before those that wait already.
    for (const taskId of all.toReversed().slice(0, -1)) note(taskId);
    expect(headIds(cluster)).toEqual([all[1], ...all.slice(3), other]);
    note(head);
    expect(headIds(cluster)).toEqual([all[0], ...all.slice(3), other]);
    // What comes before it in the order and is not placed does not wait for room.
    note(all[2] ?? '');
    expect(headIds(cluster)).toEqual([...all.slice(2), other]);
    cluster.done({
      type: 'updateTask',
      taskId: other,
      specId: other,
      changes: { priority: 'normal' },
      idempotency: null,
    });
    expect(headIds(cluster)).toEqual([...all.slice(3), other]);
  });

  it('is there for each priority, in the order of the queue', () => {
    const { cluster, head } = waiting();
    cluster.submitOne(small());
    place(cluster);
    const urgent = cluster.submitOne(big(3900, { priority: 'critical' }));
    cluster.submitOne(small());
    place(cluster);
    expect(cluster.state.cluster?.heads?.map(({ taskId }) => taskId)).toEqual([urgent, head]);
  });

  it('is no task that no node could ever hold, or that keeps apart from what is everywhere', () => {
    const cluster = clusterOf('n1');
    const labels: TaskSpec['labels'] = [['team', 'x']];
    cluster.submit(small({ labels }));
    place(cluster);
    cluster.submitOne(big(5000));
    cluster.submitOne(small({ affinity: { required: [], preferred: [], anti: [{ batch: null, labels }] } }));
    cluster.submitOne(
      small({
        affinity: { required: [{ key: 'a', operator: 'exists', values: [] }], preferred: [], anti: [] },
      }),
    );
    cluster.submitOne(small());
    expect(place(cluster)).toHaveLength(1);
    expect(cluster.state.cluster?.heads).toBeUndefined();
  });
});
