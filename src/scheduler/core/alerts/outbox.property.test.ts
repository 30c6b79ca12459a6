/**
 * Anything that needs a person, any receiver, any leader: each occurrence is told in exactly one message of each webhook that asks for it, a
 * message that may have been sent says the same for ever, and there are never more of them than there is room for.
 */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { limits } from '../../../lib/limits.ts';
import { runs } from '../../../lib/testing/property-runs.ts';
import type { AlertRow } from '../../../model/alert-outbox.ts';
import { channelKey } from '../../../model/alert-outbox.ts';
import type { AlertEvent, Webhook } from '../../../model/alerts.ts';
import type { CommandInput } from '../../ports.ts';
import { TestCluster } from '../testing/test-cluster.ts';

const EVENTS: readonly AlertEvent[] = [
  'node.unhealthy',
  'node.offline',
  'quorum.at_risk',
  'autoscaler.failed',
];
const WEBHOOKS: readonly Webhook[] = [
  { url: 'https://a.example/', events: EVENTS, secret: null },
  { url: 'https://b.example/', events: ['node.offline', 'autoscaler.failed'], secret: null },
];

const step = fc.record({
  kind: fc.constantFrom(
    ...(['register', 'health', 'offline', 'quorum', 'scaler', 'scaler'] as const),
    ...(['sent', 'sent', 'failed', 'failed', 'again', 'close', 'restart'] as const),
  ),
  pick: fc.nat({ max: 20 }),
  flag: fc.boolean(),
  passMs: fc.constantFrom(0, 0, 100, 6000, 61_000, limits.alertGiveUpMs, -500),
});
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function inputOf(cluster: TestCluster, { kind, pick, flag }: Step, number: number): CommandInput {
  const { term, state } = cluster;
  const node = `n${pick % 3}`;
  const session = state.nodes.get(node)?.session ?? 0;
  const rows = [...state.alerts.values()];
  const row = rows[pick % Math.max(1, rows.length)];
  const attempt = {
    id: row?.id ?? 'alert-none',
    attempt: (row?.attempts ?? 0) + 1,
    retryAfterMs: flag ? 7000 : null,
  };
  switch (kind) {
    case 'health':
      return { type: 'nodeHealth', term, node, session, healthy: flag };
    case 'offline':
      return { type: 'nodeOffline', term, node, session };
    case 'quorum':
      return { type: 'quorumRisk', term, atRisk: flag, reason: 'two of three' };
    case 'scaler':
      return { type: 'autoscalerFailed', term, provider: `provider-${number}`, reason: 'none' };
    case 'sent':
      return { type: 'advanceAlerts', term, attempts: [{ ...attempt, failure: null }], close: [] };
    case 'failed':
      return { type: 'advanceAlerts', term, attempts: [{ ...attempt, failure: 'answered 500' }], close: [] };
    case 'again': {
      const late = { ...attempt, attempt: attempt.attempt - 1, failure: flag ? null : 'answered 500' };
      return { type: 'advanceAlerts', term, attempts: [late], close: [] };
    }
    case 'close':
      return { type: 'advanceAlerts', term, attempts: [], close: [...state.alerts.keys()] };
    case 'register':
    case 'restart':
      return { type: 'labelNode', node, labels: [], idempotency: null };
    default:
      throw new Error('every kind is handled');
  }
}

function formed(): TestCluster {
  const cluster = TestCluster.formed();
  for (const name of ['n0', 'n1', 'n2']) cluster.join(name);
  const blocks = { alerts: { webhooks: WEBHOOKS } };
  cluster.done({ type: 'setConfig', term: cluster.term, heartbeat: {}, blocks, idempotency: null });
  return cluster;
}

/** Follows every message from its first row on. */
interface Ledger {
  /** Occurrences raised, by channel. */
  readonly raised: Map<string, number>;
  /** The newest row of each message that there ever was. */
  readonly seen: Map<string, AlertRow>;
}

function note(ledger: Ledger, changes: ReturnType<TestCluster['run']>['changes']): void {
  for (const change of changes) {
    if (change.table === 'event' && change.after !== null)
      for (const [kind, , name] of change.after.items)
        if (kind === 'alert') noteRaised(ledger, name as AlertEvent);
    if (change.table !== 'alert') continue;
    const { before, after } = change;
    checkSame(before, after);
    if (after !== null) ledger.seen.set(after.id, after);
  }
}

function noteRaised({ raised }: Ledger, event: AlertEvent): void {
  for (const { url, events } of WEBHOOKS) {
    if (!events.includes(event)) continue;
    const key = channelKey(event, url);
    raised.set(key, (raised.get(key) ?? 0) + 1);
  }
}

/** What may have been sent is known to its receiver by its id, and stays as it is. */
function checkSame(before: AlertRow | null, after: AlertRow | null): void {
  // What goes was over.
  expect(after === null && before?.endedAtMs === null).toBe(false);
  if (before === null || after === null) return;
  expect(after.count).toBeGreaterThanOrEqual(before.count);
  expect(before.endedAtMs).toBeNull();
  if (before.status === 'GATHERING') return;
  const { id, url, event, createdAtMs, count, occurrences } = before;
  expect(after).toMatchObject({ id, url, event, createdAtMs, count, occurrences });
  expect(after.attempts).toBe(before.attempts + 1);
}

function checkRoom({ state }: TestCluster): void {
  const open = [...state.alerts.values()].filter(({ endedAtMs }) => endedAtMs === null);
  for (const [key, channel] of state.alertChannels) {
    const own = open.filter(({ event, url }) => channelKey(event, url) === key);
    const ids = (status: string) => own.filter((row) => row.status === status).map(({ id }) => id);
    expect(ids('PENDING')).toEqual(channel.pending === null ? [] : [channel.pending]);
    expect(ids('GATHERING')).toEqual(channel.gathering === null ? [] : [channel.gathering]);
    expect(channel.ended.length).toBeLessThanOrEqual(limits.alertsEnded);
    expect(channel.ended.map((id) => state.alerts.get(id)?.endedAtMs ?? null)).not.toContain(null);
  }
}

/** Each in one message, and in no other. */
function checkTold({ raised, seen }: Ledger): void {
  const told = new Map<string, number>();
  for (const { event, url, count } of seen.values()) {
    const key = channelKey(event, url);
    told.set(key, (told.get(key) ?? 0) + count);
  }
  expect(Object.fromEntries(told)).toEqual(Object.fromEntries(raised));
}

describe('the outbox, given anything', () => {
  it('tells everything once, in messages that stay as they are and never pile up', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
        const cluster = formed();
        const ledger: Ledger = { raised: new Map(), seen: new Map() };
        for (const [number, one] of steps.entries()) {
          cluster.atMs += one.passMs;
          if (one.kind === 'restart') cluster.state = cluster.restored((rows) => rows.toReversed());
          if (one.kind === 'register') cluster.join(`n${one.pick % 3}`, { startId: `start-${number}` });
          const { changes, poisoned } = cluster.run(inputOf(cluster, one, number));
          expect(poisoned).toBe(false);
          note(ledger, changes);
          checkRoom(cluster);
        }
        checkTold(ledger);
      }),
      { numRuns: runs(200) },
    );
  });

  it('comes to the same rows after a restart in between, rows restored in any order', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80, size: 'max' }), fc.nat({ max: 60 }), (steps, at) => {
        const [steady, restarted] = [formed(), formed()];
        for (const [number, one] of steps.entries()) {
          if (number === at) restarted.state = restarted.restored((rows) => rows.toReversed());
          for (const cluster of [steady, restarted]) cluster.atMs += one.passMs;
          if (one.kind === 'register')
            for (const cluster of [steady, restarted])
              cluster.join(`n${one.pick % 3}`, { startId: `start-${number}` });
          const input = inputOf(steady, one, number);
          expect(JSON.stringify(restarted.run(input))).toBe(JSON.stringify(steady.run(input)));
        }
        expect(JSON.stringify([...restarted.stored])).toBe(JSON.stringify([...steady.stored]));
      }),
      { numRuns: runs(100) },
    );
  });
});
