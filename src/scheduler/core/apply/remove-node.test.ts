import { describe, expect, it } from 'vitest';

import type { OnNodeLoss } from '../../../model/task.ts';
import { TestCluster } from '../testing/test-cluster.ts';
import { registrationOf, reportOf, specOf } from '../testing/values.ts';

/** The nodes n1 and n2, and tasks that run on n1. */
function withTasks(...onNodeLoss: readonly OnNodeLoss[]) {
  const cluster = TestCluster.formed();
  cluster.join('n1');
  cluster.join('n2');
  const taskIds = onNodeLoss.map((each) => {
    const taskId = cluster.submitOne(specOf({ onNodeLoss: each }));
    cluster.assign(taskId, 'n1');
    cluster.report(taskId, 'RUNNING');
    return taskId;
  });
  return { cluster, taskIds, taskId: taskIds[0] ?? '' };
}

function removal(cluster: TestCluster, more: { dead?: boolean; key?: string; session?: number } = {}) {
  const { dead = false, key, session = cluster.state.nodes.get('n1')?.session ?? 0 } = more;
  const idempotency = key === undefined ? null : { key, requestDigest: String(dead) };
  const { term } = cluster;
  return { type: 'removeNode', term, node: 'n1', session, dead, principal: 'alice', idempotency } as const;
}

describe('removeNode', () => {
  it('is refused until the node is OFFLINE and its leases are over [REMOVE]', () => {
    const { cluster } = withTasks();
    expect(cluster.refusal(removal(cluster))).toMatchObject({
      code: 'conflict',
      message: expect.stringMatching(
        /^node n1 is not removed: it is AVAILABLE, .*silent for 30 s; .*--dead \(dead=true\)$/,
      ) as string,
    });
    const health = { type: 'nodeHealth', term: 1, node: 'n1' } as const;
    cluster.done({ ...health, session: cluster.state.nodes.get('n1')?.session ?? 0, healthy: false });
    expect(cluster.refusal(removal(cluster)).message).toContain('it is UNHEALTHY');
    cluster.offline('n1');
    expect(cluster.done(removal(cluster))).toEqual({ lostAttempts: 0 });
    expect([...cluster.state.nodes.keys()]).toEqual(['n2']);
  });

  it('is refused while something is open there, and names it', () => {
    const { cluster, taskIds } = withTasks('wait', 'wait', 'wait', 'wait');
    const [first] = taskIds.toSorted();
    expect(cluster.refusal(removal(cluster)).message).toMatch(/it is AVAILABLE.*; 4 tasks are on it/);
    cluster.offline('n1');
    const { message } = cluster.refusal(removal(cluster));
    expect(message).toContain(`4 tasks are on it (${first}, `);
    expect(message).toContain(', …)');
    expect(message).not.toContain('AVAILABLE');
  });

  it('takes the word of an operator for proof, also for a task that waits, and keeps who gave it', () => {
    const { cluster, taskIds } = withTasks('wait', 'reschedule', 'fail');
    const [waits, moves, fails] = taskIds.map(String);
    expect(cluster.done(removal(cluster, { dead: true }))).toEqual({ lostAttempts: 3 });
    for (const taskId of [waits, moves]) {
      expect(cluster.task(taskId ?? '')).toMatchObject({ status: 'PENDING', statusReason: 'rescheduling' });
    }
    expect(cluster.task(fails ?? '').status).toBe('PERMANENTLY_FAILED');
    expect(cluster.attempt(waits ?? '')).toMatchObject({
      status: 'LOST',
      error: {
        type: 'NodeLost',
        message: 'node n1 was removed as dead: alice vouched that nothing of it runs any more',
      },
    });
    expect(cluster.state.nodes.has('n1')).toBe(false);
    expect(cluster.state.allocated('n1')).toEqual({ cpuMillis: 0, memoryBytes: 0 });
    cluster.assign(waits ?? '', 'n2');
  });

  it('cancels what was to be stopped there', () => {
    const { cluster, taskId } = withTasks('wait');
    cluster.offline('n1');
    cluster.done({ type: 'cancelTask', taskId, idempotency: null });
    cluster.done(removal(cluster, { dead: true }));
    expect(cluster.task(taskId).status).toBe('CANCELLED');
  });

  it('is refused for a node that has registered since it was looked at, or that there is not', () => {
    const { cluster } = withTasks();
    const asked = removal(cluster, { dead: true });
    cluster.register('n1', { startId: 'n1-start-2' });
    expect(cluster.refusal(asked)).toMatchObject({
      code: 'conflict',
      message: 'node n1 has registered anew meanwhile',
    });
    expect(cluster.refusal({ ...asked, node: 'n9' }).code).toBe('not_found');
    expect(cluster.refusal({ ...asked, term: 7 }).code).toBe('stale_decision');
  });

  it('happens once per key', () => {
    const { cluster } = withTasks('reschedule');
    const asked = removal(cluster, { dead: true, key: 'k' });
    expect(cluster.done(asked)).toEqual({ lostAttempts: 1 });
    expect(cluster.done({ ...asked, session: 0 })).toEqual({ lostAttempts: 1 });
    cluster.join('n1');
    expect(cluster.done(asked)).toEqual({ lostAttempts: 1 });
    expect(cluster.state.nodes.has('n1')).toBe(true);
    expect(cluster.refusal(removal(cluster, { key: 'k' })).code).toBe('idempotency_conflict');
  });

  it('leaves the name to another incarnation, and to the same node, as one that nobody knows', () => {
    const { cluster, taskId } = withTasks('wait');
    const { assignment, session: before } = cluster.attempt(taskId);
    cluster.offline('n1');
    const other = registrationOf('n1', { incarnation: 'other', startId: 'other' });
    expect(cluster.refusal(other).code).toBe('conflict');
    cluster.done(removal(cluster, { dead: true }));
    const { session } = cluster.done(other);
    expect(session).toBeGreaterThan(before);
    // The word was false: what it says of its attempt counts as long as no newer one was assigned [NEWER].
    const report = reportOf({ taskId, assignment, atMs: cluster.atMs }, 'COMPLETED');
    cluster.assign(taskId, 'n2');
    cluster.done({ type: 'reportAttempts', node: 'n1', session: before, reports: [report] });
    expect(cluster.task(taskId)).toMatchObject({ status: 'ASSIGNED', attempt: 2 });
  });

  it('is not undone by a restart from what is stored', () => {
    const { cluster } = withTasks('wait');
    cluster.done(removal(cluster, { dead: true }));
    expect([...cluster.restored().nodes.keys()]).toEqual(['n2']);
  });
});
