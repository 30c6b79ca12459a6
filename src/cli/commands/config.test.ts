import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { SetConfigRequest } from '../../generated/cluster.ts';
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
    expect(JSON.parse((await run('get', '-o', 'json')).stdout)).toEqual({
      heartbeat: { interval: 2, warning: 10, timeout: 30 },
      membership: { voters: 3, learners: 20, voter_grace: 300 },
      settling_timeout: null,
    });
  });
});

describe('config set', () => {
  it('sends what is to change, and shows what is so then', async () => {
    const { stdout, status } = await run('set', 'heartbeat.timeout=1m', 'heartbeat.warning=20s');
    expect(status).toBe(0);
    expect(stdout).toMatch(/heartbeat.interval +2s/);
    const [request] = cluster.requests<SetConfigRequest>('setConfig');
    expect(request?.heartbeat).toMatchObject({ timeout: '1m', warning: '20s' });
    expect(request?.heartbeat?.interval).toBeUndefined();
    expect(request?.idempotency_key).not.toBe('');
  });

  it('says what still counts while a shorter timeout settles', async () => {
    cluster.settings = { ...cluster.settings, settling_timeout: 60 };
    const { stderr } = await run('set', 'heartbeat.timeout=30s');
    expect(stderr).toContain(
      'taken for gone after 60 s until leases of that length are over; after 30 s then',
    );
  });

  it.each([
    ['heartbeat.pause=1', '"heartbeat.pause" is no setting to change'],
    ['membership.voters=5', '"membership.voters" is no setting to change'],
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
