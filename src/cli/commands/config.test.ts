import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { SetConfigRequest } from '../../generated/cluster.ts';
import { defaultSettings, showSettings } from '../../spec/settings/settings.ts';
import { FakeCluster } from '../fake-cluster.test-kit.ts';
import { runInProcess } from '../run-cli.test-kit.ts';

let cluster: FakeCluster;

beforeEach(async () => {
  cluster = await FakeCluster.start();
});

afterEach(() => cluster.stop());

async function run(...words: readonly string[]) {
  return await runInProcess(['config', ...words, '--peer', cluster.address]);
}

describe('config get', () => {
  it('shows the settings as a table, or as the API has them', async () => {
    const { stdout, status } = await run('get');
    expect(status).toBe(0);
    expect(stdout).toMatch(/heartbeat.timeout +30s/);
    expect(stdout).toMatch(/membership.voters +3/);
    expect(stdout).toMatch(/retention.max_log_bytes +10Gi\n/);
    expect(stdout).toMatch(/retention.tasks +7d\n/);
    expect(JSON.parse((await run('get', '-o', 'json')).stdout)).toEqual({
      ...showSettings(defaultSettings(3)),
      settling_timeout: null,
    });
  });

  it('shows what is named of them', async () => {
    expect((await run('get', 'heartbeat.timeout', 'scheduling')).stdout.split('\n')).toEqual([
      expect.stringMatching(/^SETTING/),
      expect.stringMatching(/^heartbeat.timeout +30s/),
      expect.stringMatching(/^scheduling.policy +spread/),
      '',
    ]);
    expect(JSON.parse((await run('get', 'heartbeat.timeout', '-o', 'json')).stdout)).toEqual({
      heartbeat: { timeout: 30 },
    });
    const { stderr, status } = await run('get', 'heartbeats');
    expect([status, stderr]).toEqual([2, expect.stringContaining('"heartbeats" is no setting; allowed:')]);
  });
});

describe('config set', () => {
  it('sends what is to change, and shows what is so then', async () => {
    const { stdout, status } = await run('set', 'heartbeat.timeout=1m', 'heartbeat.warning=20s');
    expect(status).toBe(0);
    expect(stdout).toMatch(/heartbeat.interval +2s/);
    const [request] = cluster.requests<SetConfigRequest>('setConfig');
    expect(JSON.parse(request?.changes ?? '')).toEqual({ heartbeat: { timeout: '1m', warning: '20s' } });
    expect(request?.idempotency_key).not.toBe('');
  });

  it('sends blocks of a file, lists and null, as they are written', async () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'jarvis-config-'));
    const file = path.join(directory, 'alerts.yaml');
    writeFileSync(file, 'alerts: {webhooks: [{url: "https://a.example", secret: canary}]}\n');
    const words = ['retry_policy.retryable_errors=[A, B]', 'retention=null', 'autoscaling.enabled=true'];
    const { stdout, stderr, status } = await run('set', '-f', file, ...words);
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).not.toContain('canary');
    const [request] = cluster.requests<SetConfigRequest>('setConfig');
    expect(JSON.parse(request?.changes ?? '')).toEqual({
      alerts: { webhooks: [{ url: 'https://a.example', secret: 'canary' }] },
      retry_policy: { retryable_errors: ['A', 'B'] },
      retention: null,
      autoscaling: { enabled: true },
    });
    rmSync(directory, { recursive: true });
  });

  it('says what still counts while a shorter timeout settles', async () => {
    cluster.settings = { ...cluster.settings, settling_timeout: 60 };
    const { stderr } = await run('set', 'heartbeat.timeout=30s');
    expect(stderr).toContain(
      'taken for gone after 60 s until leases of that length are over; after 30 s then',
    );
  });

  it.each([
    ['heartbeat.pause=1', 'heartbeat.pause: unknown field "pause" (known: interval, warning, timeout)'],
    ['membership.voters=4', 'membership.voters: 4 is not allowed: 1, 3, 5, 7'],
    ['retentoin.tasks=1d', 'did you mean retention?'],
    ['heartbeat.timeout.x=1', 'heartbeat["timeout.x"]: unknown field'],
    ['alerts.webhooks=[{', 'alerts.webhooks: '],
    ['heartbeat.timeout', 'heartbeat.timeout has no value'],
  ])('refuses %s', async (pair, message) => {
    const { stderr, status } = await run('set', pair);
    expect(status).toBe(2);
    expect(stderr).toContain(message);
    expect(cluster.requests('setConfig')).toEqual([]);
  });

  it('refuses a key that is named twice', async () => {
    const { stderr, status } = await run('set', 'heartbeat.timeout=1m', 'heartbeat.timeout=2m');
    expect([status, stderr]).toEqual([2, expect.stringContaining('heartbeat.timeout is set twice')]);
  });
});
