import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { silentLog } from '../lib/log.ts';
import { ALERT_EVENTS } from '../model/alerts.ts';
import { testOperations } from '../operations/operations.test-kit.ts';
import { TestCluster } from '../operations/test-cluster.test-kit.ts';
import { inProcessRemotes } from '../operations/test-remotes.test-kit.ts';
import type { WebhookTest } from '../operations/node-port.ts';
import type { RoutingOperations } from '../operations/router.ts';
import { createHttpServer, type HttpServer } from './server.ts';

const SLACK = 'https://hooks.slack.com/services/T0/B0/canary';
const OTHER = 'https://alerts.example.com/jarvis?key=canary';

let cluster: TestCluster;
/** That of a follower. */
let server: HttpServer;
let tests: WebhookTest[];
let failure: string | null;

beforeEach(() => {
  cluster = new TestCluster(['n1', 'n2']);
  tests = [];
  failure = null;
  const nodes = new Map<string, RoutingOperations>();
  for (const name of ['n1', 'n2']) {
    cluster.register(name, `${name}:7101`);
    const testWebhook = (test: WebhookTest) => {
      tests.push(test);
      return Promise.resolve({ failure, status: failure === null ? 200 : null });
    };
    nodes.set(
      `${name}:7101`,
      testOperations(cluster, name, { remotes: inProcessRemotes(nodes), testWebhook }),
    );
  }
  const operations = nodes.get('n2:7101') as RoutingOperations;
  server = createHttpServer({ operations, readiness: () => ({ ready: true, reason: '' }), log: silentLog });
});

afterEach(async () => {
  await server.close(0);
});

async function call(method: 'GET' | 'POST' | 'PUT', url: string, payload?: object, headers = {}) {
  const sent = payload === undefined ? {} : { payload };
  const answer = await server.app.inject({ method, url, headers, ...sent });
  return { status: answer.statusCode, text: answer.body, json: answer.json<Record<string, unknown>>() };
}

async function withWebhooks(): Promise<void> {
  const webhooks = [
    { url: SLACK, events: ['autoscaler.failed'] },
    { url: OTHER, secret: 'canary' },
  ];
  await call('PUT', '/config', { alerts: { webhooks } });
}

function fail(provider: string) {
  const { term } = cluster.replica('n1').leadership();
  return cluster.replica('n1').propose({ type: 'autoscalerFailed', term, provider, reason: 'no capacity' });
}

describe('GET /alerts', () => {
  it('is empty where there are no webhooks', async () => {
    expect(await call('GET', '/alerts')).toMatchObject({
      status: 200,
      json: { items: [], next_cursor: null, webhooks: [] },
    });
  });

  it('shows messages and webhooks, by number, and nothing of an address that may be a secret', async () => {
    await withWebhooks();
    await fail('aws');
    await fail('docker');
    const { json, text } = await call('GET', '/alerts');
    expect(text).not.toContain('canary');
    expect(json['webhooks']).toEqual([
      {
        webhook: 1,
        target: 'https://hooks.slack.com/…',
        format: 'slack',
        signed: false,
        events: ['autoscaler.failed'],
        pending: 2,
        delivered: 0,
        given_up: 0,
      },
      {
        webhook: 2,
        target: 'https://alerts.example.com/…',
        format: 'json',
        signed: true,
        events: [...ALERT_EVENTS],
        pending: 2,
        delivered: 0,
        given_up: 0,
      },
    ]);
    expect(json['items']).toHaveLength(4);
    const { json: some } = await call('GET', '/alerts?webhook=2&status=PENDING');
    expect(some['items']).toMatchObject([
      {
        webhook: 2,
        target: 'https://alerts.example.com/…',
        event: 'autoscaler.failed',
        status: 'PENDING',
        count: 1,
        attempts: 0,
        finished_at: null,
        error: null,
        occurrences: [
          { id: 'aws', name: 'aws', old_status: null, new_status: 'FAILED', reason: 'no capacity' },
        ],
      },
    ]);
  });

  it('names what it cannot be asked for', async () => {
    await withWebhooks();
    expect(await call('GET', '/alerts?status=LOST')).toMatchObject({ status: 400 });
    expect(await call('GET', '/alerts?webhook=3')).toMatchObject({
      status: 404,
      json: { detail: expect.stringContaining('numbered from 1 to 2') as string },
    });
  });
});

describe('POST /alerts/test', () => {
  it('sends a test by the leader, and says what became of it', async () => {
    await withWebhooks();
    const { status, json, text } = await call('POST', '/alerts/test', { webhook: 2 });
    expect([status, json]).toEqual([
      200,
      {
        id: expect.stringMatching(/^test-[0-9a-f]{18}$/) as string,
        webhook: 2,
        target: 'https://alerts.example.com/…',
        delivered: true,
        status: 200,
        error: null,
      },
    ]);
    expect(text).not.toContain('canary');
    expect(tests).toMatchObject([{ webhook: { url: OTHER, secret: 'canary' }, principal: 'anonymous' }]);
    failure = 'connect ECONNREFUSED';
    expect((await call('POST', '/alerts/test', { webhook: 1 })).json).toMatchObject({
      delivered: false,
      status: null,
      error: 'connect ECONNREFUSED',
    });
  });

  it('sends it with the same id where it is repeated with its key, and with another otherwise', async () => {
    await withWebhooks();
    const keys = ['a', 'a', 'b', null, null];
    for (const key of keys)
      await call('POST', '/alerts/test', { webhook: 1 }, key === null ? {} : { 'idempotency-key': key });
    const ids = tests.map(({ id }) => id);
    expect(ids[0]).toBe(ids[1]);
    expect(new Set(ids).size).toBe(4);
  });

  it('names what there is not', async () => {
    expect(await call('POST', '/alerts/test', { webhook: 1 })).toMatchObject({
      status: 404,
      json: { detail: 'there is no webhook 1 in the settings of alerts: there are none' },
    });
    expect((await call('POST', '/alerts/test', {})).status).toBe(422);
  });
});
