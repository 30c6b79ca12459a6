import { describe, expect, it } from 'vitest';

import { limits } from '../../../lib/limits.ts';
import type { AlertRow } from '../../../model/alert-outbox.ts';
import type { Webhook } from '../../../model/alerts.ts';
import { ALERT_EVENTS } from '../../../model/alerts.ts';
import { entryKey, eventOf } from '../../../model/events.ts';
import type { EventRow } from '../../../model/events.ts';
import { TestCluster } from '../testing/test-cluster.ts';
import { specOf } from '../testing/values.ts';
import { retryDelayMs } from './outbox.ts';

const ONCE = { retry: { maxAttempts: 1 } } as const;
const A = 'https://a.example/hook';
const B = 'https://b.example/hook';

function hook(url: string, events: Webhook['events'] = ALERT_EVENTS): Webhook {
  return { url, events, secret: null };
}

function ask(cluster: TestCluster, ...webhooks: readonly Webhook[]): void {
  const { term } = cluster;
  cluster.done({
    type: 'setConfig',
    term,
    heartbeat: {},
    blocks: { alerts: { webhooks } },
    idempotency: null,
  });
}

function formed(...webhooks: readonly Webhook[]): TestCluster {
  const cluster = TestCluster.formed();
  cluster.join('n1');
  ask(cluster, ...webhooks);
  return cluster;
}

/** One task that is tried once, and fails. @returns its id */
function failTask(cluster: TestCluster, name = 'task'): string {
  const taskId = cluster.submitOne(specOf({ ...ONCE, name }));
  cluster.assign(taskId, 'n1');
  cluster.report(taskId, 'FAILED');
  return taskId;
}

function alerts(cluster: TestCluster): readonly AlertRow[] {
  return [...cluster.state.alerts.values()];
}

function only(cluster: TestCluster): AlertRow {
  const [row, another] = alerts(cluster);
  if (row === undefined || another !== undefined) throw new Error(`one alert, not ${alerts(cluster).length}`);
  return row;
}

function tried(
  cluster: TestCluster,
  row: AlertRow,
  failure: string | null,
  retryAfterMs: number | null = null,
) {
  const attempts = [{ id: row.id, attempt: row.attempts + 1, failure, retryAfterMs }];
  cluster.done({ type: 'advanceAlerts', term: cluster.term, attempts, close: [] });
  return cluster.state.alerts.get(row.id);
}

function close(cluster: TestCluster, ...ids: readonly string[]): void {
  cluster.done({ type: 'advanceAlerts', term: cluster.term, attempts: [], close: ids });
}

function newestEvents(cluster: TestCluster) {
  const row = cluster.stored.get(`event/${entryKey(cluster.index)}`)?.row as EventRow | undefined;
  return (row?.items ?? []).map(eventOf).filter(({ kind }) => kind === 'alert');
}

describe('the outbox', () => {
  it('stays empty where no webhook asks for the event', () => {
    const cluster = formed(hook(A, ['node.offline']));
    failTask(cluster);
    expect(alerts(cluster)).toEqual([]);
    expect(cluster.state.alertChannels.size).toBe(0);
  });

  it('has a message for each webhook that asks, at once and ready to be sent', () => {
    const cluster = formed(hook(A), hook(B, ['task.permanently_failed']));
    const taskId = failTask(cluster, 'convert');
    expect(alerts(cluster).map(({ url }) => url)).toEqual([A, B]);
    expect(new Set(alerts(cluster).map(({ id }) => id)).size).toBe(2);
    expect(alerts(cluster)[0]).toMatchObject({
      event: 'task.permanently_failed',
      status: 'PENDING',
      count: 1,
      attempts: 0,
      createdAtMs: cluster.atMs,
      occurrences: [
        {
          id: taskId,
          name: 'convert',
          oldStatus: 'ASSIGNED',
          newStatus: 'PERMANENTLY_FAILED',
          reason: 'its one attempt failed',
          atMs: cluster.atMs,
        },
      ],
    });
    expect(alerts(cluster)[0]?.id).toMatch(/^alert-[0-9a-z]{18}$/);
  });

  it('tells of nodes, of the quorum, and of the autoscaler', () => {
    const cluster = formed(hook(A));
    const { term } = cluster;
    const session = cluster.state.nodes.get('n1')?.session ?? 0;
    cluster.done({ type: 'nodeHealth', term, node: 'n1', session, healthy: false });
    cluster.done({ type: 'nodeOffline', term, node: 'n1', session });
    cluster.done({ type: 'quorumRisk', term, atRisk: true, reason: '2 of 3' });
    cluster.done({ type: 'autoscalerFailed', term, provider: 'aws', reason: 'no capacity' });
    expect(newestEvents(cluster)).toMatchObject([
      { id: 'aws', name: 'autoscaler.failed', newStatus: 'FAILED', reason: 'no capacity' },
    ]);
    const told = alerts(cluster).map(({ event, occurrences }) => [event, occurrences[0]?.newStatus]);
    expect(told).toEqual([
      ['node.unhealthy', 'UNHEALTHY'],
      ['node.offline', 'OFFLINE'],
      ['quorum.at_risk', 'AT_RISK'],
      ['autoscaler.failed', 'FAILED'],
    ]);
  });

  it('tells once that the quorum is at risk, and once that it is not any more', () => {
    const cluster = formed(hook(A));
    const { term } = cluster;
    const say = (atRisk: boolean) => cluster.done({ type: 'quorumRisk', term, atRisk, reason: '2 of 3' });
    say(false);
    expect(newestEvents(cluster)).toEqual([]);
    say(true);
    expect(newestEvents(cluster)).toMatchObject([
      { oldStatus: 'SAFE', newStatus: 'AT_RISK', reason: '2 of 3' },
    ]);
    say(true);
    expect(newestEvents(cluster)).toEqual([]);
    say(false);
    expect(newestEvents(cluster)).toMatchObject([{ oldStatus: 'AT_RISK', newStatus: 'SAFE' }]);
    expect(alerts(cluster).map(({ status, count }) => [status, count])).toEqual([
      ['PENDING', 1],
      ['GATHERING', 1],
    ]);
  });

  it('gathers a flood in one message behind the first, with its number and its first examples', () => {
    const cluster = formed(hook(A));
    failTask(cluster, 'first');
    for (let at = 0; at < 40; at += 1) failTask(cluster, `more-${at}`);
    const [first, more] = alerts(cluster);
    expect(alerts(cluster)).toHaveLength(2);
    expect(first).toMatchObject({ status: 'PENDING', count: 1 });
    expect(more).toMatchObject({ status: 'GATHERING', count: 40 });
    expect(more?.occurrences.map(({ name }) => name)).toEqual(
      Array.from({ length: limits.alertOccurrences }, (_, at) => `more-${at}`),
    );
  });

  it('closes what gathers when its window is over and the one before has ended, whichever is later', () => {
    const cluster = formed(hook(A));
    failTask(cluster);
    failTask(cluster);
    const [first, second] = alerts(cluster);
    if (first === undefined || second === undefined) throw new Error('two');
    cluster.atMs += limits.alertWindowMs - 1;
    tried(cluster, first, null);
    close(cluster, second.id);
    expect(cluster.state.alerts.get(second.id)?.status).toBe('GATHERING');
    cluster.atMs += 1;
    close(cluster, second.id);
    expect(cluster.state.alerts.get(second.id)).toMatchObject({
      status: 'PENDING',
      closedAtMs: cluster.atMs,
    });
    // The other way round: the end of the one before closes it.
    failTask(cluster);
    const third = alerts(cluster).find(({ status }) => status === 'GATHERING');
    cluster.atMs += limits.alertWindowMs;
    close(cluster, third?.id ?? '');
    expect(cluster.state.alerts.get(third?.id ?? '')?.status).toBe('GATHERING');
    tried(cluster, second, null);
    expect(cluster.state.alerts.get(third?.id ?? '')?.status).toBe('PENDING');
  });

  it('never changes what a message says once it may have been sent', () => {
    const cluster = formed(hook(A));
    failTask(cluster);
    const before = only(cluster);
    cluster.atMs += 2 * limits.alertWindowMs;
    failTask(cluster);
    expect(cluster.state.alerts.get(before.id)).toBe(before);
  });

  it('tells the next one at once where the window is over and all was delivered', () => {
    const cluster = formed(hook(A));
    failTask(cluster);
    tried(cluster, only(cluster), null);
    cluster.atMs += limits.alertWindowMs;
    failTask(cluster);
    expect(alerts(cluster).map(({ status }) => status)).toEqual(['DELIVERED', 'PENDING']);
  });
});

describe('a message', () => {
  it('is tried again, later and later, or when the receiver asks for it', () => {
    const cluster = formed(hook(A));
    failTask(cluster);
    const delays: number[] = [];
    for (let made = 1; made <= 9; made += 1) {
      const row = tried(cluster, only(cluster), 'answered 500');
      expect(row).toMatchObject({ status: 'PENDING', attempts: made, failure: 'answered 500' });
      delays.push((row?.notBeforeMs ?? 0) - cluster.atMs);
    }
    expect(delays).toEqual([5, 10, 20, 40, 80, 160, 320, 600, 600].map((seconds) => seconds * 1000));
    expect(delays).toEqual(delays.map((_, at) => retryDelayMs(at + 1)));
    const asked = tried(cluster, only(cluster), 'answered 429', 3_600_000);
    expect((asked?.notBeforeMs ?? 0) - cluster.atMs).toBe(limits.alertRetryMostMs);
  });

  it('is given up after a day, which is an event of its own, and makes way', () => {
    const cluster = formed(hook(A));
    failTask(cluster);
    const first = only(cluster);
    failTask(cluster);
    cluster.atMs += limits.alertGiveUpMs - 1;
    expect(tried(cluster, first, 'answered 500')?.status).toBe('PENDING');
    cluster.atMs += 1;
    const row = tried(cluster, { ...first, attempts: 1 }, 'answered 500');
    expect(row).toMatchObject({ status: 'GIVEN_UP', endedAtMs: cluster.atMs });
    expect(newestEvents(cluster)).toMatchObject([
      {
        id: first.id,
        name: 'alert.given_up',
        oldStatus: 'PENDING',
        newStatus: 'GIVEN_UP',
        reason: 'task.permanently_failed, once: answered 500',
      },
    ]);
    expect(alerts(cluster).map(({ status }) => status)).toEqual(['GIVEN_UP', 'PENDING']);
    expect([...cluster.state.alertChannels.values()]).toMatchObject([{ delivered: 0, givenUp: 1 }]);
  });

  it('ends once: what another leader has recorded is no news', () => {
    const cluster = formed(hook(A));
    failTask(cluster);
    const row = only(cluster);
    tried(cluster, row, 'answered 500');
    // The predecessor's word on the same request comes late.
    tried(cluster, row, null);
    expect(only(cluster)).toMatchObject({ status: 'PENDING', attempts: 1 });
    tried(cluster, only(cluster), null);
    tried(cluster, only(cluster), 'answered 500');
    expect(only(cluster)).toMatchObject({ status: 'DELIVERED', attempts: 2, failure: null });
    tried(cluster, { ...row, id: 'alert-none' }, null);
  });

  it('is not carried on by the leader of another term', () => {
    const cluster = formed(hook(A));
    failTask(cluster);
    const attempts = [{ id: only(cluster).id, attempt: 1, failure: null, retryAfterMs: null }];
    const refusal = cluster.refusal({ type: 'advanceAlerts', term: cluster.term + 1, attempts, close: [] });
    expect(refusal.code).toBe('stale_decision');
  });

  it('that is over is kept for a while: the newest of its channel', () => {
    const cluster = formed(hook(A));
    for (let at = 0; at < limits.alertsEnded + 3; at += 1) {
      failTask(cluster, `task-${at}`);
      tried(cluster, alerts(cluster).at(-1) ?? only(cluster), null);
      cluster.atMs += limits.alertWindowMs;
    }
    expect(alerts(cluster)).toHaveLength(limits.alertsEnded);
    expect(alerts(cluster)[0]?.occurrences[0]?.name).toBe('task-3');
  });

  it('is withdrawn with its webhook, which is told', () => {
    const cluster = formed(hook(A), hook(B));
    failTask(cluster);
    const [first] = alerts(cluster);
    ask(cluster, hook(A, ['node.offline']), hook(B));
    expect(alerts(cluster).map(({ url }) => url)).toEqual([B]);
    expect([...cluster.state.alertChannels.values()].map(({ url }) => url)).toEqual([B]);
    expect(newestEvents(cluster)).toMatchObject([
      { id: first?.id, name: 'alert.withdrawn', oldStatus: 'PENDING', newStatus: null },
    ]);
    ask(cluster, hook(B));
    expect(newestEvents(cluster)).toEqual([]);
  });

  it('keeps little of long texts', () => {
    const cluster = formed(hook(A));
    const reason = 'x'.repeat(10_000);
    cluster.done({ type: 'autoscalerFailed', term: cluster.term, provider: 'aws', reason });
    expect(only(cluster).occurrences[0]?.reason).toHaveLength(limits.alertTextBytes);
    expect(tried(cluster, only(cluster), reason)?.failure).toHaveLength(limits.alertTextBytes);
  });
});
