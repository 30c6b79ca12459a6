import { describe, expect, it } from 'vitest';

import { JarvisError } from '../../lib/errors.ts';
import { limits } from '../../lib/limits.ts';
import { silentLog } from '../../lib/log.ts';
import { VirtualClock } from '../../lib/testing/virtual-clock.ts';
import { AlertMetrics } from '../../metrics/families/alerts.ts';
import { MetricsRegistry } from '../../metrics/registry.ts';
import { ALERT_EVENTS } from '../../model/alerts.ts';
import { MemoryCluster } from '../../scheduler/testing/memory-cluster.ts';
import type { PostOutcome } from './post.ts';
import { AlertSender } from './sender.ts';
import type { WebhookCall } from './webhooks.ts';

const URL_A = 'https://a.example/hook';
const TAKEN: PostOutcome = { failure: null, status: 200, retryAfterMs: null };
const REFUSED: PostOutcome = { failure: 'answered 500', status: 500, retryAfterMs: null };

/** Answers as it is told to; what it was sent is kept. */
class Receiver {
  readonly calls: (WebhookCall & { readonly atMs: number })[] = [];
  readonly #clock: VirtualClock;
  answer: (call: WebhookCall) => PostOutcome | Promise<PostOutcome> = () => TAKEN;
  mostAtOnce = 0;
  #underWay = 0;

  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  send = async (call: WebhookCall): Promise<PostOutcome> => {
    this.calls.push({ ...call, atMs: this.#clock.monotonicMs() });
    this.#underWay += 1;
    this.mostAtOnce = Math.max(this.mostAtOnce, this.#underWay);
    const outcome = await this.answer(call);
    this.#underWay -= 1;
    return outcome;
  };

  get ids(): readonly string[] {
    return this.calls.map(({ message }) => message.id);
  }
}

async function formed(urls: readonly string[] = [URL_A]) {
  const clock = new VirtualClock();
  const cluster = new MemoryCluster(() => clock.wallMs());
  const replica = cluster.replica('n1');
  cluster.lead({ name: 'n1', address: '' });
  const config = {
    heartbeat: { intervalMs: 2000, warningMs: 10_000, timeoutMs: 30_000 },
    alerts: { webhooks: urls.map((url) => ({ url, events: ALERT_EVENTS, secret: null })) },
  };
  cluster.execute({ type: 'initCluster', clusterId: 'c', epoch: 1, config, term: cluster.term });
  const receiver = new Receiver(clock);
  const metrics = new MetricsRegistry({ clock, log: silentLog });
  const counts = new AlertMetrics(metrics);
  counts.follow({ isLeading: () => true, messages: () => cluster.state.alerts.values() });
  counts.leads(cluster.term);
  replica.onApplied((applied) => counts.applied(applied));
  const sender = new AlertSender({ replica, send: receiver.send, clock, log: silentLog });
  sender.start(cluster.term);
  await clock.advance(0);
  const fail = (provider = 'aws') =>
    cluster.execute({ type: 'autoscalerFailed', term: cluster.term, provider, reason: 'none' });
  /** What is counted of them, but for what is 0. */
  const scraped = async () =>
    (await metrics.scrape())
      .split('\n')
      .filter((line) => line.startsWith('jarvis_alert') && !line.endsWith(' 0'));
  const statuses = () => [...cluster.state.alerts.values()].map(({ status }) => status);
  return { clock, cluster, receiver, sender, fail, statuses, scraped };
}

describe('the sender of alerts', () => {
  it('sends what happens at once, with its id, and says so in the log', async () => {
    const { clock, cluster, receiver, fail, statuses, scraped } = await formed();
    fail();
    await clock.advance(0);
    expect(receiver.calls).toMatchObject([
      {
        webhook: { url: URL_A },
        attempt: 1,
        message: {
          id: [...cluster.state.alerts.keys()][0],
          event: 'autoscaler.failed',
          clusterId: 'c',
          count: 1,
        },
      },
    ]);
    expect(statuses()).toEqual(['DELIVERED']);
    expect(await scraped()).toEqual([
      'jarvis_alert_deliveries_total{event="autoscaler.failed",outcome="delivered"} 1',
    ]);
    await clock.advance(limits.alertGiveUpMs);
    expect(receiver.calls).toHaveLength(1);
  });

  it('sends a flood as one message more, when the window of the first is over', async () => {
    const { clock, receiver, fail } = await formed();
    for (let at = 0; at < 1000; at += 1) fail(`provider-${at}`);
    await clock.advance(limits.alertWindowMs - 1);
    expect(receiver.calls).toHaveLength(1);
    await clock.advance(1);
    expect(receiver.calls.map(({ message }) => message.count)).toEqual([1, 999]);
    await clock.advance(limits.alertGiveUpMs);
    expect(receiver.calls).toHaveLength(2);
  });

  it('tries again with the same id, later and later, and gives up after a day', async () => {
    const { clock, receiver, fail, statuses, scraped } = await formed();
    receiver.answer = () => REFUSED;
    fail();
    await clock.advance(600_000);
    expect(await scraped()).toEqual([
      'jarvis_alert_deliveries_total{event="autoscaler.failed",outcome="failed"} 7',
      'jarvis_alerts_pending 1',
    ]);
    expect(new Set(receiver.ids).size).toBe(1);
    expect(receiver.calls.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(receiver.calls.map(({ atMs }) => atMs / 1000)).toEqual([0, 5, 15, 35, 75, 155, 315]);
    await clock.advance(limits.alertGiveUpMs);
    expect(statuses()).toEqual(['GIVEN_UP']);
    expect(await scraped()).toContain(
      'jarvis_alert_deliveries_total{event="autoscaler.failed",outcome="given_up"} 1',
    );
    const { length } = receiver.calls;
    await clock.advance(limits.alertGiveUpMs);
    expect(receiver.calls).toHaveLength(length);
  });

  it('waits for as long as the receiver asks', async () => {
    const { clock, receiver, fail } = await formed();
    receiver.answer = () => ({ failure: 'answered 429', status: 429, retryAfterMs: 90_000 });
    fail();
    await clock.advance(89_999);
    expect(receiver.calls).toHaveLength(1);
    await clock.advance(1);
    expect(receiver.calls).toHaveLength(2);
  });

  it('has a bounded number of requests under way, whatever there is to send', async () => {
    const urls = Array.from({ length: 20 }, (_, at) => `https://h${at}.example/`);
    const { clock, receiver, fail, statuses } = await formed(urls);
    const answers: (() => void)[] = [];
    receiver.answer = () => new Promise((resolve) => answers.push(() => resolve(TAKEN)));
    fail();
    await clock.advance(1000);
    expect(receiver.calls).toHaveLength(limits.alertRequests);
    while (answers.length > 0) {
      answers.shift()?.();
      await clock.advance(0);
    }
    expect(receiver.mostAtOnce).toBe(limits.alertRequests);
    expect(new Set(receiver.ids).size).toBe(20);
    expect(new Set(statuses())).toEqual(new Set(['DELIVERED']));
  });

  it('sends one at a time to a webhook, and keeps those that take what they are sent from waiting for others', async () => {
    const dead = Array.from({ length: 19 }, (_, at) => `https://dead${at}.example/`);
    const good = 'https://z.example/';
    const { clock, cluster, receiver, sender, fail } = await formed([...dead, good]);
    const underWay = new Map<string, number>();
    let most = 0;
    receiver.answer = ({ webhook: { url } }) => {
      if (url === good) return TAKEN;
      const count = (underWay.get(url) ?? 0) + 1;
      underWay.set(url, count);
      most = Math.max(most, count);
      return new Promise((resolve) => {
        clock.after(limits.alertRequestMs, () => {
          underWay.set(url, count - 1);
          resolve({ ...REFUSED, failure: 'no answer' });
        });
      });
    };
    fail();
    await clock.advance(40_000);
    // All those that do not answer have waited longer by the time another node leads.
    sender.stop();
    await clock.advance(limits.alertRetryMostMs);
    sender.start(cluster.term);
    cluster.execute({ type: 'quorumRisk', term: cluster.term, atRisk: true, reason: '2 of 3' });
    const raisedAtMs = clock.monotonicMs();
    await clock.advance(limits.alertRequestMs);
    const told = receiver.calls.find(
      ({ webhook, message }) => webhook.url === good && message.event === 'quorum.at_risk',
    );
    expect(told?.atMs).toBeLessThanOrEqual(raisedAtMs + limits.alertRequestMs);
    expect(most).toBe(1);
    // The others have their turn all the same.
    await clock.advance(600_000);
    const events = new Set(receiver.calls.map(({ webhook, message }) => `${webhook.url} ${message.event}`));
    expect(events.size).toBe(2 * (dead.length + 1));
  });

  it('sends a message again whose outcome its predecessor could not put in the log, with the same id', async () => {
    const { clock, cluster, receiver, sender, fail, statuses } = await formed();
    cluster.beforeApply = () => Promise.reject(new JarvisError('outcome_unknown', 'lost'));
    fail();
    await clock.advance(0);
    expect(receiver.calls).toHaveLength(1);
    sender.stop();
    cluster.beforeApply = () => {};
    cluster.lead({ name: 'n1', address: '' });
    sender.start(cluster.term);
    await clock.advance(0);
    expect(receiver.calls).toHaveLength(2);
    expect(new Set(receiver.ids).size).toBe(1);
    expect(receiver.calls.map(({ attempt }) => attempt)).toEqual([1, 1]);
    expect(statuses()).toEqual(['DELIVERED']);
  });

  it('says what became of a message again until it is in the log, and sends it no more meanwhile', async () => {
    const { clock, cluster, receiver, fail, statuses } = await formed();
    let refusals = 5;
    cluster.beforeApply = () => {
      refusals -= 1;
      if (refusals >= 0) throw new JarvisError('too_many', 'busy');
    };
    fail();
    await clock.advance(60_000);
    expect(receiver.calls).toHaveLength(1);
    expect(statuses()).toEqual(['DELIVERED']);
  });

  it('waits on where its predecessor waited', async () => {
    const { clock, cluster, receiver, sender, fail } = await formed();
    receiver.answer = () => REFUSED;
    fail();
    await clock.advance(20_000);
    sender.stop();
    cluster.lead({ name: 'n1', address: '' });
    sender.start(cluster.term);
    await clock.advance(14_999);
    expect(receiver.calls).toHaveLength(3);
    await clock.advance(1);
    expect(receiver.calls).toHaveLength(4);
    expect(receiver.calls.at(-1)?.attempt).toBe(4);
  });

  it('sends nothing, and breaks off what is under way, where it leads no more', async () => {
    const { clock, cluster, receiver, sender, fail, statuses } = await formed();
    const signals: AbortSignal[] = [];
    receiver.answer = ({ signal }) => {
      signals.push(signal);
      return new Promise((resolve) =>
        signal.addEventListener('abort', () => resolve({ ...REFUSED, failure: 'interrupted' })),
      );
    };
    fail();
    await clock.advance(0);
    sender.stop();
    await clock.advance(limits.alertGiveUpMs);
    expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
    expect(statuses()).toEqual(['PENDING']);
    expect([...cluster.state.alerts.values()][0]?.attempts).toBe(0);
    fail();
    await clock.advance(limits.alertGiveUpMs);
    expect(receiver.calls).toHaveLength(1);
  });

  it('sends nothing before a quorum has confirmed that it leads', async () => {
    const { clock, cluster, receiver, fail } = await formed();
    let isCut = true;
    cluster.beforeConfirm = () => {
      if (isCut) throw new JarvisError('no_leader', 'cut off');
    };
    fail();
    await clock.advance(30_000);
    expect(receiver.calls).toEqual([]);
    isCut = false;
    await clock.advance(1000);
    expect(receiver.calls).toHaveLength(1);
  });

  it('drops what a webhook that is gone was to be told', async () => {
    const { clock, cluster, receiver, fail } = await formed();
    receiver.answer = () => REFUSED;
    fail();
    await clock.advance(0);
    const blocks = { alerts: { webhooks: [] } };
    cluster.execute({ type: 'setConfig', term: cluster.term, heartbeat: {}, blocks, idempotency: null });
    await clock.advance(limits.alertGiveUpMs);
    expect(receiver.calls).toHaveLength(1);
    expect(cluster.state.alerts.size).toBe(0);
  });
});
