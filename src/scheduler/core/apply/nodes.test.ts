import { describe, expect, it } from 'vitest';

import { registrationOf, specOf } from '../testing/values.ts';
import { TestCluster } from '../testing/test-cluster.ts';

const EPOCH_SESSIONS = 3 * 2 ** 29;

/** A task that waits for n1, which is OFFLINE. */
function waiting() {
  const cluster = TestCluster.formed();
  cluster.join('n1');
  const taskId = cluster.submitOne(specOf({ onNodeLoss: 'wait' }));
  cluster.assign(taskId, 'n1');
  cluster.report(taskId, 'RUNNING');
  cluster.offline('n1');
  return { cluster, taskId };
}

describe('registerNode', () => {
  it('is refused where the name is no text, and changes nothing', () => {
    const cluster = TestCluster.formed();
    const name = [] as unknown as string;
    const { outcome, changes } = cluster.run({ ...registrationOf('n1'), name });
    expect(outcome).toMatchObject({
      type: 'refused',
      message: expect.stringContaining('named by a text') as string,
    });
    expect(changes).toEqual([]);
  });

  it('gives each start of a daemon a session, and the same start the same one', () => {
    const cluster = TestCluster.formed();
    expect(cluster.register('n1')).toBe(EPOCH_SESSIONS + 1);
    expect(cluster.register('n2')).toBe(EPOCH_SESSIONS + 2);
    expect(cluster.register('n1', { version: '0.2.0' })).toBe(EPOCH_SESSIONS + 1);
    expect(cluster.state.nodes.get('n1')?.version).toBe('0.2.0');
    expect(cluster.register('n1', { startId: 'n1-start-2' })).toBe(EPOCH_SESSIONS + 3);
  });

  it('keeps a repeated start reconciled, and takes a new one for unknown', () => {
    const cluster = TestCluster.formed();
    cluster.join('n1');
    cluster.register('n1');
    expect(cluster.state.nodes.get('n1')).toMatchObject({ status: 'AVAILABLE', reconciled: true });
    cluster.register('n1', { startId: 'n1-start-2' });
    expect(cluster.state.nodes.get('n1')).toMatchObject({ reconciled: false, sessionOpen: true });
  });

  it('leaves the tasks of a restarted node alone until its inventory', () => {
    const cluster = TestCluster.formed();
    cluster.join('n1');
    const taskId = cluster.submitOne(specOf());
    cluster.assign(taskId, 'n1');
    cluster.register('n1', { startId: 'n1-start-2' });
    expect(cluster.task(taskId).status).toBe('ASSIGNED');
  });

  it('begins another session for the same start once OFFLINE has ended the first [OFFENDS]', () => {
    const cluster = TestCluster.formed();
    const session = cluster.join('n1');
    cluster.offline('n1');
    expect(cluster.register('n1')).toBeGreaterThan(session);
    expect(cluster.state.nodes.get('n1')).toMatchObject({ status: 'OFFLINE', reconciled: false });
  });

  it.each([
    ['data directory', { incarnation: 'other', startId: 'other' }],
    ['machine', { machineId: 'other', startId: 'other' }],
  ] as const)('refuses another %s under a name until the first is known to be gone', (_what, changes) => {
    const cluster = TestCluster.formed();
    const session = cluster.join('n1');
    expect(cluster.refusal(registrationOf('n1', changes))).toMatchObject({ code: 'conflict' });
    cluster.offline('n1');
    expect(cluster.register('n1', changes)).toBeGreaterThan(session);
    expect(cluster.state.nodes.get('n1')).toMatchObject(changes);
  });
});

describe('another boot of the same machine', () => {
  const rebooted = { bootId: 'n1-boot-2', startId: 'n1-start-2', startCounter: 2 };

  it('leaves it to the inventory what became of the tasks, for that knows of ends not reported yet', () => {
    const { cluster, taskId } = waiting();
    const session = cluster.register('n1', rebooted);
    expect(cluster.task(taskId).status).toBe('RUNNING');
    cluster.reconcile('n1', session, [taskId]);
    cluster.report(taskId, 'COMPLETED');
    expect(cluster.task(taskId)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
  });

  it('is proof where no inventory comes, also for a task that waits', () => {
    const { cluster, taskId } = waiting();
    cluster.register('n1', rebooted);
    cluster.register('n1', { ...rebooted, startId: 'n1-start-3', startCounter: 3 });
    cluster.offline('n1');
    expect(cluster.task(taskId)).toMatchObject({ status: 'PENDING', statusReason: 'rescheduling' });
    expect(cluster.attempt(taskId).error?.message).toBe(
      'node n1 is offline, and its machine was restarted before',
    );
  });

  it('is no proof about what was adopted or begun since', () => {
    const { cluster, taskId } = waiting();
    const session = cluster.register('n1', rebooted);
    cluster.reconcile('n1', session, [taskId]);
    cluster.offline('n1');
    expect(cluster.task(taskId).status).toBe('RUNNING');
  });

  it.each([
    ['the same boot', { startId: 'n1-start-2', startCounter: 2 }],
    ['starts whose order is not known', { ...rebooted, startCounter: 0 }],
    ['the same start', { bootId: 'n1-boot-2' }],
  ])('is none: %s', (_what, changes) => {
    const { cluster, taskId } = waiting();
    cluster.register('n1', changes);
    cluster.offline('n1');
    expect(cluster.task(taskId).status).toBe('RUNNING');
  });

  it('is none where machines have no ids', () => {
    const cluster = TestCluster.formed();
    cluster.join('n1', { machineId: '' });
    const taskId = cluster.submitOne(specOf({ onNodeLoss: 'wait' }));
    cluster.assign(taskId, 'n1');
    cluster.register('n1', { ...rebooted, machineId: '' });
    cluster.offline('n1');
    expect(cluster.task(taskId).status).toBe('ASSIGNED');
  });

  it('is not taken for later than it is: a registration that was on its way for long is refused', () => {
    const { cluster, taskId } = waiting();
    const session = cluster.register('n1', rebooted);
    cluster.reconcile('n1', session, [taskId]);
    expect(cluster.refusal(registrationOf('n1'))).toMatchObject({
      code: 'conflict',
      message: 'start 2 of node n1 is known: start 1 is over',
    });
    expect(cluster.state.nodes.get('n1')).toMatchObject({ session, sessionOpen: true, reconciled: true });
  });
});

describe('reconcileNode', () => {
  it('makes the node available', () => {
    const cluster = TestCluster.formed();
    const session = cluster.register('n1');
    expect(cluster.reconcile('n1', session, [])).toEqual({ lost: [], adopted: [] });
    expect(cluster.state.nodes.get('n1')).toMatchObject({ status: 'AVAILABLE', reconciled: true });
  });

  it('takes over what the node knows, and reschedules what it does not', () => {
    const cluster = TestCluster.formed();
    cluster.join('n1');
    const [kept, lost, cancelled] = cluster.submit(specOf(), specOf(), specOf()).map(String);
    for (const taskId of [kept, lost, cancelled]) cluster.assign(taskId ?? '', 'n1');
    cluster.report(kept ?? '', 'RUNNING');
    cluster.done({ type: 'cancelTask', taskId: cancelled ?? '', idempotency: null });
    const session = cluster.register('n1', { startId: 'n1-start-2' });
    const result = cluster.reconcile('n1', session, [kept ?? '']);
    expect(result.adopted).toEqual([kept]);
    expect(result.lost).toHaveLength(2);
    expect(cluster.task(kept ?? '').status).toBe('RUNNING');
    expect(cluster.attempt(kept ?? '')).toMatchObject({ status: 'RUNNING', session });
    expect(cluster.task(lost ?? '')).toMatchObject({ status: 'PENDING', statusReason: 'rescheduling' });
    expect(cluster.attempt(lost ?? '')).toMatchObject({ status: 'LOST', error: { type: 'NodeLost' } });
    expect(cluster.task(cancelled ?? '').status).toBe('CANCELLED');
  });

  it('judges only assignments of earlier sessions [INVBEFORE]', () => {
    const cluster = TestCluster.formed();
    const session = cluster.join('n1');
    const taskId = cluster.submitOne(specOf());
    cluster.assign(taskId, 'n1');
    expect(cluster.reconcile('n1', session, [])).toEqual({ lost: [], adopted: [] });
    expect(cluster.task(taskId).status).toBe('ASSIGNED');
  });

  it('is refused for a session that is over, or a node that there is not', () => {
    const cluster = TestCluster.formed();
    const session = cluster.register('n1');
    const reconcile = { type: 'reconcileNode', node: 'n1', session, known: [] } as const;
    cluster.register('n1', { startId: 'n1-start-2' });
    expect(cluster.refusal(reconcile).code).toBe('stale_session');
    expect(cluster.refusal({ ...reconcile, node: 'n9' }).code).toBe('not_found');
  });
});

describe('nodeHealth', () => {
  it('goes to UNHEALTHY and back', () => {
    const cluster = TestCluster.formed();
    const session = cluster.join('n1');
    const health = { type: 'nodeHealth', term: 1, node: 'n1', session } as const;
    cluster.done({ ...health, healthy: false });
    expect(cluster.state.nodes.get('n1')?.status).toBe('UNHEALTHY');
    const taskId = cluster.submitOne(specOf());
    expect(() => cluster.assign(taskId, 'n1')).toThrow(/node n1 is UNHEALTHY/);
    cluster.done({ ...health, healthy: true });
    expect(cluster.state.nodes.get('n1')?.status).toBe('AVAILABLE');
    cluster.offline('n1');
    expect(cluster.refusal({ ...health, healthy: true }).code).toBe('stale_session');
    expect(cluster.state.nodes.get('n1')?.status).toBe('OFFLINE');
  });
});

describe('nodeOffline', () => {
  it('ends the session that it names, and no other [OFFSESS]', () => {
    const cluster = TestCluster.formed();
    const session = cluster.join('n1');
    cluster.register('n1', { startId: 'n1-start-2' });
    const offline = { type: 'nodeOffline', term: 1, node: 'n1', session } as const;
    expect(cluster.refusal(offline).code).toBe('stale_session');
    expect(cluster.state.nodes.get('n1')?.sessionOpen).toBe(true);
  });

  it('sends its tasks back to the queue, at their old place', () => {
    const cluster = TestCluster.formed();
    cluster.join('n1');
    const [first, second] = cluster.submit(specOf(), specOf()).map(String);
    cluster.assign(first ?? '', 'n1');
    cluster.report(first ?? '', 'RUNNING');
    cluster.offline('n1');
    expect(cluster.state.nodes.get('n1')).toMatchObject({ status: 'OFFLINE', sessionOpen: false });
    expect(cluster.task(first ?? '')).toMatchObject({
      status: 'PENDING',
      statusReason: 'rescheduling',
      retryCount: 0,
      startedAtMs: null,
    });
    expect([...cluster.state.pending()].map(({ id }) => id)).toEqual([first, second]);
    expect(cluster.state.tasksOn('n1').size).toBe(0);
  });
});
