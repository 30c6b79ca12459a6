import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { Node } from '../../generated/cluster.ts';
import { FakeCluster } from '../fake-cluster.test-kit.ts';
import { runInProcess } from '../run-cli.test-kit.ts';

let cluster: FakeCluster;

beforeEach(async () => {
  cluster = await FakeCluster.start();
  cluster.nodes = [Node.create({ name: 'n1' })];
});

afterEach(() => cluster.stop());

async function run(...words: readonly string[]) {
  return await runInProcess(['node', 'log-level', ...words, '--peer', cluster.address]);
}

describe('node log-level', () => {
  it('shows it', async () => {
    const { stdout, status } = await run('n1');
    expect(status).toBe(0);
    expect(stdout).toMatch(/^NODE +LEVEL +CONFIGURED +UNTIL\nn1 +info +info +-\n$/);
  });

  it('changes it, for a while or until the next start', async () => {
    expect((await run('n1', 'debug', '--for', '10m')).stdout).toMatch(/n1 +debug +info +2026-/);
    expect(cluster.requests('setLogLevel')).toEqual([{ name: 'n1', level: 'debug', for: '10m' }]);
    expect((await run('n1', 'debug', '--for', '0')).stdout).toMatch(/n1 +debug +info +its next start/);
    expect(JSON.parse((await run('n1', '-o', 'json')).stdout)).toMatchObject({ level: 'debug' });
  });

  it.each([
    [['n1', 'loud'], /loud.*trace, debug, info, warn, error, fatal/],
    [['n1', '--for', '10m'], /--for needs a level/],
    [[], /missing required argument 'node'/],
  ])('refuses %j', async (words, message) => {
    const { status, stderr } = await run(...words);
    expect(status).toBe(2);
    expect(stderr).toMatch(message);
  });
});
