/**
 * Use case 7 with the real Prometheus and Alertmanager: a node that is busy, and one that dies, are heard of by whoever is on
 * call, also that it is over; and every query of the dashboards finds something.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { SHORT_HEARTBEAT, TestCluster } from '../support/cluster.ts';
import { programPath } from '../support/docker-bed/programs.ts';
import { Monitoring, prometheusObstacle } from '../support/prometheus.ts';
import { quotaObstacle, QuotaGroups } from '../support/quota-groups.ts';
import { waitFor } from '../support/wait.ts';

const QUOTA_MILLIS = 500;
const DEPLOY = fileURLToPath(new URL('../../deploy/', import.meta.url));

const obstacle = prometheusObstacle() ?? quotaObstacle();
if (obstacle !== null) process.stderr.write(`SKIPPED: Prometheus and Alertmanager: ${obstacle}\n`);
const isSkipped = obstacle !== null && process.env['CI'] !== 'true';

function says(program: string, args: readonly string[]): string {
  const { stdout, stderr, status } = spawnSync(programPath(program), args, {
    cwd: DEPLOY,
    encoding: 'utf8',
    timeout: 60_000,
  });
  expect([status, stdout + stderr]).toEqual([0, expect.not.stringMatching(/FAILED|error/i)]);
  return stdout + stderr;
}

describe.skipIf(isSkipped)('the files of deploy/', () => {
  it('are what promtool and amtool take', () => {
    expect(says('promtool', ['check', 'rules', 'prometheus/rules.yml'])).toContain('SUCCESS');
    expect(says('promtool', ['check', 'config', 'prometheus/prometheus.yml'])).toContain('SUCCESS');
    expect(says('amtool', ['check-config', 'alertmanager/alertmanager.yml'])).toContain('SUCCESS');
  });

  it('have rules that fire when they should, and only then', () => {
    const tests = readdirSync(path.join(DEPLOY, 'prometheus', 'tests')).map(
      (name) => `prometheus/tests/${name}`,
    );
    expect(says('promtool', ['test', 'rules', ...tests]).match(/SUCCESS/g)).toHaveLength(tests.length);
  });
});

describe.skipIf(isSkipped)('a cluster that Prometheus watches', () => {
  const groups = new QuotaGroups(QUOTA_MILLIS);
  const monitoring = new Monitoring();
  let cluster: TestCluster;
  let loop: ChildProcess | null = null;

  beforeAll(async () => {
    cluster = await TestCluster.create({
      heartbeat: SHORT_HEARTBEAT,
      capacity: null,
      enterOf: (name) => groups.of(name).enter,
    });
    await cluster.start();
    await monitoring.start(cluster.nodes.map(({ settings }) => settings.http));
    await waitFor(
      'all nodes are scraped',
      async () => (await monitoring.query('up{job="jarvis"} == 1')).length === 3,
    );
  });

  afterEach(({ task }) => {
    if (task.result?.state === 'fail') process.stderr.write(`${monitoring.said}\n${cluster.logTails()}`);
  });

  afterAll(async () => {
    await endLoop();
    await monitoring.stop();
    await cluster.dispose();
    await groups.remove();
  });

  function keepBusy(name: string): void {
    const [program, ...args] = [...groups.of(name).enter, 'sh', '-c', 'while :; do :; done'];
    loop = spawn(program, args, { stdio: 'ignore' });
  }

  async function endLoop(): Promise<void> {
    const ended = loop;
    loop = null;
    if (ended === null) return;
    const closed = once(ended, 'close');
    ended.kill('SIGKILL');
    await closed;
  }

  async function run(script: string, attempts = 1): Promise<void> {
    const retry = { max_attempts: attempts, backoff_strategy: 'fixed', backoff_base: 0.1 };
    const { id } = await cluster.api().submit({ command: ['sh', '-c', script], retry_policy: retry });
    await cluster.finalTask(id);
  }

  it('has its nodes found by asking any of them, under their own names', async () => {
    const targets = await monitoring.query('up{job="jarvis"}');
    expect(new Set(targets.map(({ metric }) => metric['instance']))).toEqual(new Set(['n1', 'n2', 'n3']));
  });

  it('pages for a node whose processors are over 80 % busy, tells Slack, and takes it back', async () => {
    const [busy = ''] = (await cluster.followers()).map(({ name }) => name);
    keepBusy(busy);
    const told = await monitoring.page('JarvisNodeCpuHigh', 'firing', {
      node_id: busy,
      severity: 'critical',
    });
    expect(told.annotations['summary']).toMatch(new RegExp(`^CPU of ${busy} is at \\d+ %$`));
    await waitFor('Slack hears of it', () =>
      monitoring.slack.some((body) => body.includes('JarvisNodeCpuHigh')),
    );
    await endLoop();
    await monitoring.page('JarvisNodeCpuHigh', 'resolved', { node_id: busy });
  });

  it('pages for a node that dies, and takes it back', async () => {
    const [, dead = ''] = (await cluster.followers()).map(({ name }) => name);
    await cluster.kill(dead);
    const told = await monitoring.page('JarvisNodeOffline', 'firing', { node: dead, severity: 'critical' });
    expect(told.annotations['summary']).toBe(`Node ${dead} is offline`);
    await cluster.restart(dead);
    await monitoring.page('JarvisNodeOffline', 'resolved', { node: dead });
  });

  it('fills every panel of the dashboards', async () => {
    await Promise.all([run('echo done'), run('exit 3'), run('exit 75', 2)]);
    const queries = readdirSync(path.join(DEPLOY, 'grafana')).flatMap((name) => {
      const content = readFileSync(path.join(DEPLOY, 'grafana', name), 'utf8');
      const { panels } = JSON.parse(content) as { panels: { title: string; targets: { expr: string }[] }[] };
      return panels.flatMap(({ title, targets }) =>
        targets.map(({ expr }) => ({
          panel: `${name}: ${title}`,
          expr: expr
            .replaceAll('$__rate_interval', '1m')
            .replaceAll('"$job"', '"jarvis"')
            .replaceAll('"$node"', '".*"'),
        })),
      );
    });
    expect(queries.length).toBeGreaterThan(50);
    let empty: readonly string[] = [];
    const areFilled = waitFor('every query finds something', async () => {
      const found = await Promise.all(queries.map(async ({ expr }) => (await monitoring.query(expr)).length));
      empty = queries.filter((_, at) => found[at] === 0).map(({ panel, expr }) => `${panel}: ${expr}`);
      return empty.length === 0;
    });
    await areFilled.catch(() => undefined);
    expect(empty).toEqual([]);
  });
});
