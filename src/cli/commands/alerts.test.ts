import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { Alert, AlertTest, AlertWebhook, ListAlertsResponse } from '../../generated/cluster.ts';
import { FakeCluster } from '../fake-cluster.test-kit.ts';
import { runInProcess } from '../run-cli.test-kit.ts';

let cluster: FakeCluster;

beforeEach(async () => {
  cluster = await FakeCluster.start();
});

afterEach(() => cluster.stop());

async function run(...more: readonly string[]) {
  return await runInProcess(['alerts', ...more, '--peer', cluster.address]);
}

describe('alerts ls', () => {
  it('shows the webhooks, and the messages to them', async () => {
    cluster.alerts = ListAlertsResponse.create({
      webhooks: [
        AlertWebhook.create({
          webhook: 1,
          target: 'https://a.example/…',
          format: 'json',
          pending: 1,
          delivered: 7,
        }),
        AlertWebhook.create({ webhook: 2, target: 'https://b.example/…', format: 'slack' }),
      ],
      items: [
        Alert.create({
          id: 'alert-a',
          webhook: 1,
          event: 'node.offline',
          status: 'PENDING',
          count: 3,
          attempts: 2,
          created_at: new Date().toISOString(),
          error: 'answered 500\u001b[31m',
          occurrences: [{ name: 'n2' }],
        }),
      ],
    });
    const { stdout, status } = await run('ls');
    expect(status).toBe(0);
    expect(stdout).toMatch(/1 +https:\/\/a\.example\/… +json +no +1 +7 +0/);
    expect(stdout).toMatch(/2 +https:\/\/b\.example\/… +slack/);
    expect(stdout).toMatch(/alert-a +1 +node\.offline +PENDING +3 +2 +\S+ +n2 +answered 500/);
    expect(stdout).not.toContain('\u001b');
    expect((await run('ls', '-o', 'name')).stdout).toBe('alert-a\n');
    const { stdout: json } = await run('ls', '--webhook', '1', '--status', 'PENDING', '-o', 'json');
    expect(JSON.parse(json)).toMatchObject({ items: [{ id: 'alert-a' }], webhooks: [{ webhook: 1 }, {}] });
    expect(cluster.requests('listAlerts').at(-1)).toMatchObject({ webhook: 1, status: 'PENDING' });
  });

  it('says that there is nothing', async () => {
    expect(await run('ls')).toMatchObject({ stdout: '', stderr: 'no webhooks in the settings of alerts\n' });
    expect((await run('ls', '--status', 'LOST')).status).toBe(2);
    expect((await run('ls', '--webhook', 'x')).status).toBe(2);
  });
});

describe('alerts test', () => {
  it('says what became of it, and ends with 1 where that is nothing', async () => {
    expect(await run('test')).toMatchObject({
      stdout: 'test-a was delivered to webhook 1 (https://a.example/…)\n',
      status: 0,
    });
    expect(cluster.requests('testAlert')).toMatchObject([{ webhook: 1 }]);
    cluster.alertTest = AlertTest.create({
      id: 'test-b',
      webhook: 2,
      target: 'https://b.example/…',
      error: 'answered 404',
      status: 404,
    });
    expect(await run('test', '2')).toMatchObject({
      stdout: '',
      stderr: 'test-b was not delivered to webhook 2 (https://b.example/…): answered 404\n',
      status: 1,
    });
    expect(JSON.parse((await run('test', '2', '-o', 'json')).stdout)).toMatchObject({
      delivered: false,
      status: 404,
    });
    expect((await run('test', '0')).status).toBe(2);
  });
});
