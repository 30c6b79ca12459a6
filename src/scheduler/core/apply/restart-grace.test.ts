import { describe, expect, it } from 'vitest';

import { limits } from '../../../lib/limits.ts';
import { timeoutMsFor } from '../../../model/lease.ts';
import { misfit, type NodeUse } from '../placement/fit.ts';
import { TestCluster } from '../testing/test-cluster.ts';
import { specOf } from '../testing/values.ts';

const TWO_MINUTES = 120_000;

function joined() {
  const cluster = TestCluster.formed();
  const session = cluster.join('n1');
  const ask = (leaseMs: number, of = session) =>
    ({ type: 'grantGrace', term: cluster.term, node: 'n1', session: of, leaseMs }) as const;
  const over = (of: number, graceSession: number) =>
    ({ type: 'graceOver', term: cluster.term, node: 'n1', session: of, graceSession }) as const;
  const row = () => {
    const node = cluster.state.nodes.get('n1');
    if (node === undefined) throw new Error('it is registered');
    return node;
  };
  return { cluster, session, ask, over, row };
}

const EMPTY: NodeUse = { allocated: { cpuMillis: 0, memoryBytes: 0 }, taskCount: 0, meeting: () => null };

describe('a node that is about to be restarted', () => {
  it('gets a longer timeout for the lease that it asks for, and no new work', () => {
    const { cluster, session, ask, row } = joined();
    cluster.done(ask(TWO_MINUTES));
    expect(row().grace).toEqual({ timeoutMs: timeoutMsFor(TWO_MINUTES), session });
    const taskId = cluster.submitOne(specOf());
    const found = misfit(cluster.task(taskId), row(), EMPTY);
    expect(found?.reason).toBe('node n1 is being restarted');
  });

  it('gets nothing of its own where its lease is as long anyway, and never more than the most', () => {
    const { cluster, ask, row } = joined();
    cluster.done(ask(20_000));
    expect(row().grace).toBeUndefined();
    cluster.done(ask(10 * limits.restartGraceMs));
    expect(row().grace?.timeoutMs).toBe(timeoutMsFor(limits.restartGraceMs));
  });

  it('asks in vain in a session that is over, or of a leader of another term [APPLYTERM]', () => {
    const { cluster, session, ask } = joined();
    expect(cluster.refusal(ask(TWO_MINUTES, session - 1)).code).toBe('stale_session');
    const asked = ask(TWO_MINUTES);
    cluster.term += 1;
    expect(cluster.refusal(asked).code).toBe('stale_decision');
  });

  it('has the longer timeout until it was counted in a later session [SHORTWAIT]', () => {
    const { cluster, session, ask, over, row } = joined();
    cluster.done(ask(TWO_MINUTES));
    expect(cluster.refusal(over(session, session)).code).toBe('conflict');
    const second = cluster.join('n1', { startId: 'n1-start-2' });
    const { grace } = row();
    expect(grace).toEqual({ timeoutMs: timeoutMsFor(TWO_MINUTES), session });
    expect(
      misfit(cluster.task(cluster.submitOne(specOf())), row(), { ...EMPTY, allocated: row().capacity })
        ?.reason,
    ).not.toContain('restarted');
    expect(cluster.refusal(over(session, session)).code).toBe('stale_session');
    expect(cluster.refusal(over(second, second)).code).toBe('conflict');
    cluster.done(over(second, session));
    expect(row()).not.toHaveProperty('grace');
    expect(cluster.refusal(over(second, session)).code).toBe('conflict');
  });

  it('that is restarted once more before that keeps the longer of both', () => {
    const { cluster, session, ask, over, row } = joined();
    cluster.done(ask(TWO_MINUTES));
    const second = cluster.join('n1', { startId: 'n1-start-2' });
    cluster.done(ask(60_000, second));
    expect(row().grace).toEqual({ timeoutMs: timeoutMsFor(TWO_MINUTES), session: second });
    const third = cluster.join('n1', { startId: 'n1-start-3' });
    expect(cluster.refusal(over(third, session)).code).toBe('conflict');
    cluster.done(over(third, second));
  });

  it('has none any more once it was silent for all of it', () => {
    const { cluster, ask, row } = joined();
    cluster.done(ask(TWO_MINUTES));
    cluster.offline('n1');
    expect(row()).toMatchObject({ status: 'OFFLINE' });
    expect(row()).not.toHaveProperty('grace');
    cluster.join('n1', { startId: 'n1-start-2' });
    expect(row()).not.toHaveProperty('grace');
  });

  it('is not removed before', () => {
    const { cluster, session, ask } = joined();
    cluster.done(ask(TWO_MINUTES));
    const removal = { type: 'removeNode', term: cluster.term, node: 'n1', session, dead: false } as const;
    const { message } = cluster.refusal({ ...removal, principal: 'p', idempotency: null });
    expect(message).toContain('silent for 127 s');
  });
});
