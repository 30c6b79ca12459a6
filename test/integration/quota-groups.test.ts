/**
 * Three nodes on one machine, each confined to a control group with a quota of its own: each offers its quota, measures
 * its own group, and the one that something outside Jarvis keeps busy is avoided.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { SHORT_HEARTBEAT, TestCluster } from '../support/cluster.ts';
import { quotaObstacle, QuotaGroups } from '../support/quota-groups.ts';
import { waitFor } from '../support/wait.ts';

const QUOTA_MILLIS = 500;
/** From half of it on, something that keeps a node busy counts. */
const [QUIET_PERCENT, BUSY_PERCENT] = [40, 80];

const obstacle = quotaObstacle();
if (obstacle !== null) process.stderr.write(`SKIPPED: nodes in quota groups: ${obstacle}\n`);

describe.skipIf(obstacle !== null && process.env['CI'] !== 'true')('nodes in quota groups', () => {
  const groups = new QuotaGroups(QUOTA_MILLIS);
  let cluster: TestCluster;
  let loop: ChildProcess | null = null;

  beforeAll(async () => {
    cluster = await TestCluster.create({
      heartbeat: SHORT_HEARTBEAT,
      capacity: null,
      enterOf: (name) => groups.of(name).enter,
    });
    await cluster.startOrTell();
  });

  afterAll(async () => {
    await endLoop();
    await cluster.dispose();
    await groups.remove();
  });

  async function endLoop(): Promise<void> {
    const ended = loop;
    loop = null;
    if (ended === null) return;
    const closed = once(ended, 'close');
    ended.kill('SIGKILL');
    await closed;
  }

  function keepBusy(name: string): void {
    const [program, ...args] = [...groups.of(name).enter, 'sh', '-c', 'while :; do :; done'];
    loop = spawn(program, args, { stdio: 'ignore' });
  }

  /** Of all nodes, once each meets it. */
  async function percents(what: string, isMet: (name: string, percent: number) => boolean): Promise<void> {
    let last = '';
    try {
      await waitFor(what, async () => {
        const nodes = await cluster.api().nodes();
        last = nodes.map(({ name, usage }) => `${name} ${usage?.cpu_percent ?? '-'}`).join(', ');
        return nodes.every(({ name, usage }) => usage !== null && isMet(name, usage.cpu_percent));
      });
    } catch (error) {
      throw new Error(`${what}: ${last}`, { cause: error });
    }
  }

  async function nodesOf(count: number): Promise<readonly string[]> {
    const submitted = [];
    // One after the other, so that each finds the one before it placed.
    for (let at = 0; at < count; at += 1) {
      const spec = { name: `t${at}`, command: ['sleep', '300'], resources: { cpu: '50m', memory: '64Mi' } };
      submitted.push(await cluster.api().submit(spec));
    }
    const running = await Promise.all(
      submitted.map(({ id }) => cluster.task(id, ({ status }) => status === 'RUNNING')),
    );
    await Promise.all(running.map(({ id }) => cluster.api().cancel(id)));
    await Promise.all(running.map(({ id }) => cluster.finalTask(id)));
    return running.map(({ node }) => node ?? '').sort();
  }

  it('can be made so here', () => {
    expect(obstacle).toBeNull();
  });

  it('offer the quota, and measure their group', async () => {
    await percents('all nodes are quiet', (_name, percent) => percent < QUIET_PERCENT);
    const nodes = await cluster.api().nodes();
    expect(nodes.map(({ capacity }) => capacity.cpu_millis)).toEqual([1, 2, 3].map(() => QUOTA_MILLIS));
    const scopes = nodes.map(({ usage }) => usage?.cpu_scope ?? '');
    expect(scopes).not.toContain('');
    expect(new Set(scopes).size).toBe(3);
    expect(await nodesOf(3)).toEqual(['n1', 'n2', 'n3']);
  });

  it('get no new tasks while something outside Jarvis keeps them busy, and then again', async () => {
    await percents('all nodes are quiet', (_name, percent) => percent < QUIET_PERCENT);
    const [busy, other] = (await cluster.followers()).map(({ name }) => name);
    const { name: leader } = await cluster.leader();
    keepBusy(busy ?? '');
    await percents(`${busy} is busy, and the others are not`, (name, percent) =>
      name === busy ? percent > BUSY_PERCENT : percent < QUIET_PERCENT,
    );
    expect(new Set(await nodesOf(6))).toEqual(new Set([other, leader]));
    await endLoop();
    await percents('all nodes are quiet', (_name, percent) => percent < QUIET_PERCENT);
    expect(await nodesOf(3)).toEqual(['n1', 'n2', 'n3']);
  });
});
