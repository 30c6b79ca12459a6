import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { silentLog } from '../lib/log.ts';
import { testOperations } from '../operations/operations.test-kit.ts';
import { TestCluster } from '../operations/test-cluster.test-kit.ts';
import { inProcessRemotes } from '../operations/test-remotes.test-kit.ts';
import type { RoutingOperations } from '../operations/router.ts';
import { defaultSettings, showSettings } from '../spec/settings/settings.ts';
import { createHttpServer, type HttpServer } from './server.ts';

let cluster: TestCluster;
let server: HttpServer;

beforeEach(() => {
  cluster = new TestCluster(['n1', 'n2']);
  cluster.register('n1', 'n1:7101');
  const nodes = new Map<string, RoutingOperations>();
  const remotes = inProcessRemotes(nodes);
  for (const name of ['n1', 'n2']) nodes.set(`${name}:7101`, testOperations(cluster, name, { remotes }));
  const operations = nodes.get('n2:7101');
  if (operations === undefined) throw new Error('n2 is there');
  // That of a follower: what it is asked reaches the leader.
  server = createHttpServer({
    operations,
    readiness: () => ({ ready: true, reason: '' }),
    log: silentLog,
    nodeFileSchema: () => ({ type: 'object', additionalProperties: false }),
  });
});

afterEach(async () => {
  await server.close(0);
});

async function call(method: 'GET' | 'PUT', body?: object, headers: Record<string, string> = {}) {
  const payload = body === undefined ? {} : { payload: body };
  const response = await server.app.inject({ method, url: '/config', headers, ...payload });
  return { status: response.statusCode, text: response.body, json: response.json<Record<string, unknown>>() };
}

const DEFAULTS = showSettings(defaultSettings(3));
/** The cluster of the kit says nothing of its voters. */
const AS_FORMED = {
  ...DEFAULTS,
  membership: { voters: null, learners: 20, voter_grace: 300 },
  settling_timeout: null,
};
const HOOK = { url: 'https://alerts.example.com/x', events: ['node.offline'], secret: 'canary-webhook' };

describe('the settings of the cluster', () => {
  it('are shown in seconds, all of them', async () => {
    expect(await call('GET')).toMatchObject({ status: 200, json: AS_FORMED });
    expect(AS_FORMED).toMatchObject({ heartbeat: { interval: 2, warning: 10, timeout: 30 } });
  });

  it('are changed, what is not named stays as it is', async () => {
    const { status, json } = await call('PUT', { heartbeat: { timeout: '1m', warning: 20 } });
    expect([status, json]).toEqual([
      200,
      { ...AS_FORMED, heartbeat: { interval: 2, warning: 20, timeout: 60 } },
    ]);
    expect((await call('GET')).json).toEqual(json);
  });

  it('say which timeout still counts while a shorter one settles', async () => {
    const { json } = await call('PUT', { heartbeat: { timeout: 12 } });
    expect(json).toMatchObject({ heartbeat: { timeout: 12 }, settling_timeout: 30 });
  });

  it('are changed in several blocks at once, and go back to their defaults with null', async () => {
    const changes = {
      heartbeat: { timeout: '1m' },
      membership: { voters: 5, learners: 2 },
      retention: { tasks: '3d', max_log_bytes: '2Gi' },
      retry_policy: { max_attempts: 7, retryable_errors: ['Busy'] },
      scheduling: { policy: 'binpack' },
      autoscaling: {
        enabled: true,
        max_nodes: 12,
        scale_up_rules: [{ metric: 'queue_depth', threshold: 100, action: 'add_nodes', count: 2 }],
        interval: 10,
        provider: 'aws',
        aws: { instance_type: 'm7i.large', region: 'eu-central-1' },
      },
    };
    const { status, json } = await call('PUT', changes);
    expect(status).toBe(200);
    expect(json).toMatchObject({
      heartbeat: { interval: 2, timeout: 60 },
      membership: { voters: 5, learners: 2, voter_grace: 300 },
      retention: { tasks: 259_200, events: 86_400, max_log_bytes: 2 * 1024 ** 3 },
      retry_policy: { max_attempts: 7, backoff_base: 2, retryable_errors: ['Busy'] },
      scheduling: { policy: 'binpack' },
      autoscaling: {
        enabled: true,
        min_nodes: 1,
        max_nodes: 12,
        scale_up_rules: [
          { metric: 'queue_depth', threshold: 100, action: 'add_nodes', count: 2, cooldown: 0 },
        ],
        aws: { instance_type: 'm7i.large', region: 'eu-central-1', image_id: null },
      },
    });
    // As is shown, so it is taken.
    const { settling_timeout: _, ...blocks } = json;
    expect((await call('PUT', blocks)).json).toEqual(json);
    const reset = await call('PUT', {
      heartbeat: { timeout: null },
      membership: { learners: null },
      retention: null,
      retry_policy: { max_attempts: null },
      scheduling: { policy: null },
      autoscaling: null,
    });
    expect(reset.json).toMatchObject({
      heartbeat: DEFAULTS['heartbeat'],
      membership: { voters: 5, learners: 20 },
      retention: DEFAULTS['retention'],
      retry_policy: { max_attempts: 3, retryable_errors: ['Busy'] },
      scheduling: DEFAULTS['scheduling'],
      autoscaling: DEFAULTS['autoscaling'],
    });
  });

  it('stand in the log as they are meant, so that no replica fills in its own defaults', async () => {
    await call('PUT', { retention: { events: '2h' }, heartbeat: { timeout: null } });
    const { config } = cluster.replica('n2').state.cluster ?? {};
    expect(config?.retention).toEqual({ ...defaultSettings(1).retention, eventsMs: 7_200_000 });
  });

  it('never show the secret of a webhook, and keep it where what was shown comes back', async () => {
    const { text } = await call('PUT', { alerts: { webhooks: [HOOK] } });
    const { text: shown, json } = await call('GET');
    expect(text + shown).not.toContain('canary');
    expect(json).toMatchObject({ alerts: { webhooks: [{ ...HOOK, secret: '***' }] } });
    await call('PUT', { alerts: { webhooks: [{ ...HOOK, secret: '***', events: ['quorum.at_risk'] }] } });
    expect(cluster.replica('n1').state.cluster?.config.alerts?.webhooks).toEqual([
      { ...HOOK, events: ['quorum.at_risk'] },
    ]);
  });

  it('are changed once by a request that is repeated, and by no other with its key', async () => {
    const key = { 'idempotency-key': 'k1' };
    const first = { scheduling: { policy: 'binpack' } };
    expect((await call('PUT', first, key)).status).toBe(200);
    await call('PUT', { scheduling: { policy: 'spread' } });
    expect((await call('PUT', first, key)).json).toMatchObject({ scheduling: { policy: 'spread' } });
    expect((await call('PUT', { scheduling: null }, key)).status).toBe(409);
  });

  it('all take effect where several are changed at the same time', async () => {
    await Promise.all([
      call('PUT', { retention: { tasks: '2d' } }),
      call('PUT', { retention: { events: '2h' } }),
      call('PUT', { retention: { max_tasks: 5 } }),
    ]);
    expect((await call('GET')).json).toMatchObject({
      retention: { tasks: 172_800, events: 7200, max_tasks: 5 },
    });
  });

  it.each([
    [{ heartbeat: { timeout: 9 } }, 'heartbeat: interval 2000 ms, warning 10000 ms, timeout 9000 ms'],
    [{ heartbeat: { timeout: 'soon', interval: 'x' } }, 'heartbeat.interval: '],
    [{ heartbeat: { timeout: [1] } }, 'heartbeat.timeout: a list of 1 is not allowed'],
    [{ heartbeat: {} }, 'names nothing to change'],
    [{ heartbeat: { pause: 3 } }, 'pause'],
    [{ hartbeat: { timeout: 40 } }, 'did you mean heartbeat?'],
    [{ membership: { voters: 4 } }, 'membership.voters: 4 is not allowed: 1, 3, 5, 7'],
    [{ membership: [] }, 'membership: must be an object'],
    [{ retention: { tasks: 0 } }, 'retention.tasks: 0 is not allowed'],
    [{ retry_policy: { max_atempts: 1 } }, 'did you mean max_attempts?'],
    [{ scheduling: { policy: 'spred' } }, 'did you mean spread?'],
    [{ autoscaling: { min_nodes: 30 } }, 'autoscaling.min_nodes: 30 is not allowed: at most max_nodes'],
    [{ autoscaling: { scale_up_rules: [{ metric: 'queue', threshold: 1 }] } }, 'scale_up_rules[0].metric'],
    [
      { autoscaling: { scale_down_rules: [{ metric: 'queue_depth', threshold: 1, action: 'add_nodes' }] } },
      'must be remove_nodes',
    ],
    [{ autoscaling: { enabled: true, provider: 'aws' } }, 'autoscaling.aws: is required while provider'],
    [{ alerts: { webhooks: [{ url: 'ftp://x', secret: 'canary' }] } }, 'alerts.webhooks[0].url: must begin'],
    [{ alerts: { webhooks: [{ url: 'https://u:canary@x' }] } }, 'must hold no name and no password'],
    [{ alerts: { webhooks: [{ url: 'https://x', secret: ['canary'] }] } }, 'secret: must be a string'],
    [{ alerts: { webhooks: [{ url: 'https://x', secret: '***' }] } }, 'there is none for this address'],
    [
      {
        alerts: {
          webhooks: [{ url: 'https://x' }, { url: 'https://x/canary' }, { url: 'https://x/canary' }],
        },
      },
      'alerts.webhooks[2].url: is that of webhooks[1]',
    ],
    [{ alerts: { webhooks: [{ ...HOOK, format: 'teams' }] } }, 'webhooks[0].format'],
    [{ alerts: { webhooks: [{ url: 'https://x', secrte: 'canary' }] } }, 'did you mean secret?'],
    [[], 'must be an object, not a list'],
  ])('cannot be %j', async (body, message) => {
    const { status, text, json } = await call('PUT', body);
    expect(status).toBe(422);
    expect(json['detail']).toContain(message);
    expect(text).not.toContain('canary');
    expect((await call('GET')).json).toMatchObject({ heartbeat: { timeout: 30 }, alerts: { webhooks: [] } });
  });

  it('change as a whole or not at all', async () => {
    const { status, json } = await call('PUT', {
      scheduling: { policy: 'binpack' },
      heartbeat: { timeout: 5 },
      autoscaling: { min_nodes: 21 },
    });
    expect(status).toBe(422);
    expect(json['faults']).toHaveLength(2);
    expect((await call('GET')).json).toEqual(AS_FORMED);
  });
});

describe('schemas', () => {
  it.each(['task', 'batch', 'dag', 'config'])('are answered: %s', async (name) => {
    const response = await server.app.inject({ method: 'GET', url: `/schemas/${name}` });
    expect(response.statusCode).toBe(200);
    expect(response.headers['content-type']).toBe('application/schema+json; charset=utf-8');
    expect(response.json()).toMatchObject({ type: 'object', additionalProperties: false });
  });

  it.each(['tasks', '__proto__', 'constructor'])('there are no others: %s', async (name) => {
    const response = await server.app.inject({ method: 'GET', url: `/schemas/${name}` });
    expect([response.statusCode, response.json<{ detail: string }>().detail]).toEqual([
      404,
      'there is no such schema; there are: task, batch, dag, config',
    ]);
  });
});
