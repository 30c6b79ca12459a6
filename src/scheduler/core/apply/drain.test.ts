import { describe, expect, it } from 'vitest';

import { limits } from '../../../lib/limits.ts';
import { eventOf, entryKey } from '../../../model/events.ts';
import type { EventRow } from '../../../model/events.ts';
import type { NodeRow } from '../../../model/node.ts';
import { ON_NODE_LOSS } from '../../../model/task.ts';
import type { TaskSpec } from '../../../model/task.ts';
import { TestCluster } from '../testing/test-cluster.ts';
import { registrationOf, specOf } from '../testing/values.ts';

const HOUR_MS = 3_600_000;

function formed(): TestCluster {
  const cluster = TestCluster.formed();
  cluster.join('n1');
  cluster.join('n2');
  return cluster;
}

function nodeOf(cluster: TestCluster, name = 'n1'): NodeRow {
  const row = cluster.state.nodes.get(name);
  if (row === undefined) throw new Error(`there is a node ${name}`);
  return row;
}

function drain(
  cluster: TestCluster,
  { withinMs = HOUR_MS, graceMs = null as number | null, startId = null as string | null } = {},
): void {
  cluster.done({ type: 'drainNode', node: 'n1', withinMs, graceMs, startId, idempotency: null });
}

const undrain = { type: 'undrainNode', node: 'n1', idempotency: null } as const;

function overdue(cluster: TestCluster): readonly string[] {
  const index = nodeOf(cluster).drain?.index ?? 0;
  return cluster.done({ type: 'drainOverdue', term: cluster.term, node: 'n1', drain: index }).stopped;
}

function drained(cluster: TestCluster) {
  const index = nodeOf(cluster).drain?.index ?? 0;
  return { type: 'nodeDrained', term: cluster.term, node: 'n1', drain: index } as const;
}

function label(labels: readonly (readonly [string, string | null])[]) {
  return { type: 'labelNode', node: 'n1', labels, idempotency: null } as const;
}

function running(cluster: TestCluster, changes: Partial<TaskSpec> = {}): string {
  const taskId = cluster.submitOne(specOf(changes));
  cluster.assign(taskId, 'n1');
  cluster.report(taskId, 'RUNNING');
  return taskId;
}

/** Reasons of the newest entry's events, by name. */
function events(cluster: TestCluster): readonly string[] {
  const row = cluster.stored.get(`event/${entryKey(cluster.index)}`)?.row as EventRow | undefined;
  return (row?.items ?? [])
    .map(eventOf)
    .map(({ name, oldStatus, newStatus, reason }) => `${name} ${oldStatus} → ${newStatus} (${reason})`);
}

describe('cordonNode', () => {
  it('keeps new work away and lets what runs go on, until it is undrained', () => {
    const cluster = formed();
    const taskId = running(cluster);
    cluster.done({ type: 'cordonNode', node: 'n1', idempotency: null });
    expect(nodeOf(cluster)).toMatchObject({ status: 'AVAILABLE', schedulable: false });
    expect(events(cluster)).toEqual(['n1 AVAILABLE → AVAILABLE (cordoned)']);
    expect(cluster.task(taskId).status).toBe('RUNNING');
    cluster.done(undrain);
    expect(nodeOf(cluster)).toMatchObject({ status: 'AVAILABLE', schedulable: true });
  });

  it('outlives the session, and is refused of a node that is gone', () => {
    const cluster = formed();
    cluster.done({ type: 'cordonNode', node: 'n1', idempotency: null });
    cluster.offline('n1');
    cluster.join('n1', { startId: 'n1-start-2', startCounter: 2 });
    expect(nodeOf(cluster)).toMatchObject({ status: 'AVAILABLE', schedulable: false });
    expect(cluster.refusal({ type: 'cordonNode', node: 'n9', idempotency: null }).code).toBe('not_found');
  });
});

describe('drainNode', () => {
  it('gives the node no more work, and leaves what runs alone', () => {
    const cluster = formed();
    const taskId = running(cluster);
    drain(cluster);
    expect(nodeOf(cluster)).toMatchObject({ status: 'DRAINING', schedulable: true });
    expect(events(cluster)).toEqual([
      'n1 AVAILABLE → DRAINING (draining: what still runs at 1970-01-01T01:16:40.000Z is stopped, and moved)',
    ]);
    expect(cluster.task(taskId)).toMatchObject({ status: 'RUNNING', statusReason: null });
    const other = cluster.submitOne(specOf());
    const session = nodeOf(cluster).session;
    const assignments = [{ taskId: other, node: 'n1', session }];
    expect(
      cluster.done({ type: 'assign', term: 1, planIndex: cluster.index, assignments }).refused,
    ).toMatchObject([{ reason: 'node n1 is DRAINING' }]);
    cluster.report(taskId, 'COMPLETED');
    cluster.done(drained(cluster));
    expect(nodeOf(cluster)).toMatchObject({ status: 'DRAINED', drain: { finishedAtMs: cluster.atMs } });
    expect(events(cluster)).toEqual(['n1 DRAINING → DRAINED (drained: nothing is left on it)']);
  });

  it('is refused of a node that is OFFLINE, with what is allowed, and of one that is not there', () => {
    const cluster = formed();
    const command = { withinMs: 1, graceMs: null, startId: null, idempotency: null };
    expect(cluster.refusal({ type: 'drainNode', node: '../n1', ...command }).code).toBe('not_found');
    cluster.offline('n1');
    expect(cluster.refusal({ type: 'drainNode', node: 'n1', ...command })).toMatchObject({
      code: 'conflict',
      message: expect.stringMatching(/n1 is OFFLINE.*allowed: cordon it.*or remove it/),
    });
  });

  it('said again moves the deadline and nothing else', () => {
    const cluster = formed();
    running(cluster);
    drain(cluster);
    const first = nodeOf(cluster).drain;
    cluster.atMs += 1000;
    drain(cluster, { withinMs: 5000, graceMs: 10 });
    const second = nodeOf(cluster).drain;
    expect(second).toMatchObject({
      startedAtMs: first?.startedAtMs,
      deadlineMs: cluster.atMs + 5000,
      graceMs: 10,
      isOverdue: false,
    });
    // What a leader has decided for the first deadline does not count any more.
    cluster.atMs += HOUR_MS;
    const stale = { type: 'drainOverdue', term: 1, node: 'n1', drain: first?.index ?? 0 } as const;
    expect(cluster.refusal(stale).code).toBe('conflict');
    overdue(cluster);
    drain(cluster, { withinMs: HOUR_MS });
    expect(nodeOf(cluster).drain?.isOverdue).toBe(false);
  });

  it('said again of what is DRAINED leaves it DRAINED', () => {
    const cluster = formed();
    drain(cluster);
    cluster.done(drained(cluster));
    drain(cluster);
    expect(nodeOf(cluster).status).toBe('DRAINED');
  });

  it('survives a restart of the node, and its absence', () => {
    const cluster = formed();
    const taskId = running(cluster);
    drain(cluster);
    const { drain: before } = nodeOf(cluster);
    const session = cluster.register('n1', { startId: 'n1-start-2', startCounter: 2 });
    cluster.reconcile('n1', session, [taskId]);
    expect(nodeOf(cluster)).toMatchObject({ status: 'DRAINING', drain: before });
    cluster.offline('n1');
    expect(nodeOf(cluster).status).toBe('OFFLINE');
    expect(cluster.refusal(drained(cluster)).code).toBe('conflict');
    cluster.join('n1', { startId: 'n1-start-3', startCounter: 3 });
    expect(nodeOf(cluster)).toMatchObject({ status: 'DRAINING', drain: before });
    cluster.done(drained(cluster));
    cluster.join('n1', { startId: 'n1-start-4', startCounter: 4 });
    expect(nodeOf(cluster).status).toBe('DRAINED');
  });

  it('answers a repeated request as the first time', () => {
    const cluster = formed();
    const idempotency = { key: 'k', requestDigest: 'd' };
    const command = { node: 'n1', withinMs: 1000, graceMs: null, startId: null, idempotency };
    cluster.done({ type: 'drainNode', ...command });
    cluster.done(undrain);
    cluster.done({ type: 'drainNode', ...command });
    expect(nodeOf(cluster).status).toBe('AVAILABLE');
  });
});

describe('the deadline of a drain', () => {
  it('is the cluster’s: before it nothing is stopped', () => {
    const cluster = formed();
    running(cluster);
    drain(cluster);
    cluster.atMs += HOUR_MS - 1;
    const index = nodeOf(cluster).drain?.index ?? 0;
    const early = { type: 'drainOverdue', term: 1, node: 'n1', drain: index } as const;
    expect(cluster.refusal(early).code).toBe('conflict');
  });

  it('has what runs stopped, and moves it only once its node says that it is over', () => {
    const cluster = formed();
    const taskId = running(cluster);
    drain(cluster);
    cluster.atMs += HOUR_MS;
    expect(overdue(cluster)).toEqual([taskId]);
    expect(events(cluster)).toEqual([
      'task RUNNING → RUNNING (stopping: node n1 is drained)',
      'n1 DRAINING → DRAINING (the deadline of its drain has passed: what still runs is stopped, and moved)',
    ]);
    expect(cluster.task(taskId)).toMatchObject({
      status: 'RUNNING',
      statusReason: 'stopping: node n1 is drained',
    });
    expect(cluster.refusal(drained(cluster)).message).toContain('1 tasks are on it');
    // Said once more it changes nothing.
    expect(cluster.report(taskId, 'RUNNING')).toBe(false);
    cluster.report(taskId, 'CANCELLED', { signal: 'SIGKILL' });
    expect(cluster.task(taskId)).toMatchObject({
      status: 'PENDING',
      statusReason: 'rescheduling',
      retryCount: 0,
      consecutiveLosses: 0,
    });
    expect(cluster.attempt(taskId)).toMatchObject({
      status: 'LOST',
      signal: 'SIGKILL',
      error: { type: 'NodeDrained', message: 'node n1 is drained: the task goes on elsewhere' },
    });
    cluster.done(drained(cluster));
    cluster.assign(taskId, 'n2');
    expect(cluster.attempt(taskId)).toMatchObject({ node: 'n2', status: 'ASSIGNED' });
    expect(cluster.attempt(taskId).stopFor).toBeUndefined();
  });

  it.each(ON_NODE_LOSS)(
    'moves tasks of on_node_loss: %s the same way, for a drain is no loss',
    (onNodeLoss) => {
      const cluster = formed();
      const taskId = running(cluster, { onNodeLoss });
      drain(cluster, { withinMs: 0 });
      overdue(cluster);
      cluster.report(taskId, 'CANCELLED');
      expect(cluster.task(taskId)).toMatchObject({ status: 'PENDING', statusReason: 'rescheduling' });
    },
  );

  it('moves a task as often as need be: that never counts as a failed attempt', () => {
    const cluster = formed();
    const taskId = cluster.submitOne(specOf({ retry: { maxAttempts: 1 } }));
    for (let round = 0; round < 8; round += 1) {
      cluster.assign(taskId, 'n1');
      cluster.report(taskId, 'RUNNING');
      drain(cluster, { withinMs: 0 });
      overdue(cluster);
      cluster.report(taskId, 'CANCELLED');
      cluster.done(undrain);
    }
    expect(cluster.task(taskId)).toMatchObject({ status: 'PENDING', retryCount: 0, attempt: 8 });
  });

  it('leaves alone what ends by itself, fails by itself or is cancelled meanwhile', () => {
    const cluster = formed();
    const [completes, fails, cancelled] = [running(cluster), running(cluster), running(cluster)];
    drain(cluster, { withinMs: 0 });
    cluster.done({ type: 'cancelTask', taskId: cancelled, idempotency: null });
    overdue(cluster);
    expect(cluster.task(cancelled).statusReason).toBe('stopping');
    cluster.report(completes, 'COMPLETED');
    cluster.report(fails, 'FAILED');
    cluster.report(cancelled, 'CANCELLED');
    expect([completes, fails, cancelled].map((taskId) => cluster.task(taskId).status)).toEqual([
      'COMPLETED',
      'FAILED',
      'CANCELLED',
    ]);
  });

  it('counts for what is being stopped also where the drain is ended meanwhile', () => {
    const cluster = formed();
    const taskId = running(cluster);
    drain(cluster, { withinMs: 0 });
    overdue(cluster);
    cluster.done(undrain);
    cluster.report(taskId, 'CANCELLED');
    expect(cluster.task(taskId)).toMatchObject({ status: 'PENDING', consecutiveLosses: 0 });
  });

  it('comes again where a node restarts meanwhile: the attempt is stopped in its new session, too', () => {
    const cluster = formed();
    const taskId = running(cluster);
    drain(cluster, { withinMs: 0 });
    overdue(cluster);
    const session = cluster.register('n1', { startId: 'n1-start-2', startCounter: 2 });
    cluster.reconcile('n1', session, [taskId]);
    expect(cluster.attempt(taskId)).toMatchObject({ session, stopFor: 'drain' });
  });
});

it('moves what was assigned and is not begun as soon as the node says so, with no failure counted', () => {
  const cluster = formed();
  const taskId = cluster.submitOne(specOf({ onNodeLoss: 'fail' }));
  cluster.assign(taskId, 'n1');
  drain(cluster);
  expect(cluster.task(taskId).status).toBe('ASSIGNED');
  cluster.report(taskId, 'CANCELLED');
  expect(cluster.task(taskId)).toMatchObject({ status: 'PENDING', retryCount: 0, consecutiveLosses: 0 });
});

it('moves what it was told not to begin also where the drain is ended before it says so, however often', () => {
  const cluster = formed();
  const taskId = cluster.submitOne(specOf({ retry: { maxAttempts: 1 } }));
  for (let round = 0; round < 6; round += 1) {
    cluster.assign(taskId, 'n1');
    drain(cluster);
    cluster.done(undrain);
    cluster.report(taskId, 'CANCELLED');
    expect(cluster.task(taskId)).toMatchObject({ status: 'PENDING', retryCount: 0, consecutiveLosses: 0 });
    expect(cluster.attempt(taskId)).toMatchObject({ status: 'LOST', error: { type: 'NodeDrained' } });
  }
});

describe('a node that drains itself before it stops', () => {
  it('takes work again in its next start, but not in the same one', () => {
    const cluster = formed();
    drain(cluster, { startId: 'n1-start-1' });
    cluster.join('n1');
    expect(nodeOf(cluster).status).toBe('DRAINING');
    cluster.done(drained(cluster));
    cluster.offline('n1');
    cluster.join('n1', { startId: 'n1-start-2', startCounter: 2 });
    expect(nodeOf(cluster)).toMatchObject({ status: 'AVAILABLE', schedulable: true });
    expect(nodeOf(cluster).drain).toBeUndefined();
  });

  it('stays cordoned where it was', () => {
    const cluster = formed();
    cluster.done({ type: 'cordonNode', node: 'n1', idempotency: null });
    drain(cluster, { startId: 'n1-start-1' });
    cluster.join('n1', { startId: 'n1-start-2', startCounter: 2 });
    expect(nodeOf(cluster)).toMatchObject({ status: 'AVAILABLE', schedulable: false });
  });

  it('leaves an operator’s drain in force, but for a deadline that is nearer', () => {
    const cluster = formed();
    drain(cluster);
    drain(cluster, { withinMs: 1000, startId: 'n1-start-1' });
    expect(nodeOf(cluster).drain).toMatchObject({ startId: null, deadlineMs: cluster.atMs + 1000 });
    drain(cluster, { withinMs: 2 * HOUR_MS, startId: 'n1-start-1' });
    expect(nodeOf(cluster).drain?.deadlineMs).toBe(cluster.atMs + 1000);
    cluster.join('n1', { startId: 'n1-start-2', startCounter: 2 });
    expect(nodeOf(cluster).status).toBe('DRAINING');
  });

  it('hands its drain to an operator who asks, too, and is refused once another start is there', () => {
    const cluster = formed();
    drain(cluster, { startId: 'n1-start-1' });
    drain(cluster);
    expect(nodeOf(cluster).drain?.startId).toBeNull();
    const late = { withinMs: 1, graceMs: null, startId: 'n1-start-0', idempotency: null };
    expect(cluster.refusal({ type: 'drainNode', node: 'n1', ...late }).code).toBe('conflict');
  });
});

describe('undrainNode', () => {
  it('ends a drain at any time, and changes nothing where there is none', () => {
    const cluster = formed();
    drain(cluster);
    cluster.done(undrain);
    expect(nodeOf(cluster)).toMatchObject({ status: 'AVAILABLE', schedulable: true });
    expect(nodeOf(cluster).drain).toBeUndefined();
    expect(events(cluster)).toEqual(['n1 DRAINING → AVAILABLE (no longer drained)']);
    expect(cluster.run(undrain).changes.filter(({ table }) => table === 'node')).toEqual([]);
    expect(cluster.refusal({ ...undrain, node: 'n9' }).code).toBe('not_found');
  });

  it('of a node that is OFFLINE has it take work when it is back', () => {
    const cluster = formed();
    drain(cluster);
    cluster.offline('n1');
    cluster.done(undrain);
    expect(nodeOf(cluster).status).toBe('OFFLINE');
    cluster.join('n1', { startId: 'n1-start-2', startCounter: 2 });
    expect(nodeOf(cluster).status).toBe('AVAILABLE');
  });
});

describe('labelNode', () => {
  it('has the operator’s word count key by key, also when the node registers anew', () => {
    const cluster = TestCluster.formed();
    const labels = [
      ['rack', 'r1'],
      ['ssd', ''],
      ['zone', 'a'],
    ] as const;
    cluster.join('n1', { labels });
    cluster.done(
      label([
        ['gpu', 'yes'],
        ['ssd', null],
        ['zone', 'b'],
      ]),
    );
    const told = [
      ['gpu', 'yes'],
      ['rack', 'r1'],
      ['zone', 'b'],
    ];
    expect(nodeOf(cluster).labels).toEqual(told);
    cluster.join('n1', { labels, startId: 'n1-start-2', startCounter: 2 });
    expect(nodeOf(cluster).labels).toEqual(told);
    cluster.done(label([['zone', 'c']]));
    cluster.join('n1', { labels: [], startId: 'n1-start-3', startCounter: 3 });
    expect(nodeOf(cluster).labels).toEqual([
      ['gpu', 'yes'],
      ['zone', 'c'],
    ]);
  });

  it('is bounded, and refused of a node that is not there', () => {
    const cluster = formed();
    const many = Array.from({ length: limits.labels }, (_, n) => [`l${n}`, null] as const);
    cluster.done(label(many));
    expect(cluster.refusal(label([['more', 'x']])).code).toBe('conflict');
    expect(cluster.refusal({ ...label([]), node: 'n9' }).code).toBe('not_found');
  });
});

it('reads rows from before there were drains', () => {
  const cluster = formed();
  expect(Object.keys(nodeOf(cluster))).not.toContain('drain');
  expect(Object.keys(nodeOf(cluster))).not.toContain('operatorLabels');
  cluster.done(registrationOf('n1', { startId: 'n1-start-2' }));
  expect(nodeOf(cluster).status).toBe('AVAILABLE');
});

it('lets a node that is DRAINED be removed, and none that is DRAINING', () => {
  const cluster = formed();
  drain(cluster);
  const { session } = nodeOf(cluster);
  const removal = { term: 1, node: 'n1', session, dead: false, principal: 'alice', idempotency: null };
  expect(cluster.refusal({ type: 'removeNode', ...removal }).message).toContain('it is DRAINING');
  cluster.done(drained(cluster));
  expect(cluster.done({ type: 'removeNode', ...removal })).toEqual({ lostAttempts: 0 });
});
