import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { JoinToken, Node } from '../../generated/cluster.ts';
import { JarvisError } from '../../lib/errors.ts';
import { FakeCluster } from '../fake-cluster.test-kit.ts';
import { runInProcess } from '../run-cli.test-kit.ts';

const TOKEN = `jarvisjoin_join-${'a'.repeat(18)}_${'b'.repeat(64)}`;
let cluster: FakeCluster;

beforeEach(async () => {
  cluster = await FakeCluster.start();
  cluster.joinToken = TOKEN;
  cluster.nodes = [
    Node.create({ name: 'n1', status: 'AVAILABLE', address: '10.0.0.1:7101', http: '0.0.0.0:8101' }),
    Node.create({ name: 'n2', status: 'OFFLINE', address: '10.0.0.2:7101', http: '10.0.0.2:8101' }),
    Node.create({ name: 'n3', status: 'AVAILABLE', address: '10.0.0.3:7101', http: '10.0.0.3:8103' }),
  ];
});

afterEach(() => cluster.stop());

async function run(...more: readonly string[]) {
  return await runInProcess(['cluster', 'join-token', ...more, '--peer', cluster.address]);
}

describe('cluster join-token', () => {
  it('prints the line that starts the node, and on stderr how long that is good for', async () => {
    const { stdout, stderr, status } = await run('--name', 'n4', '--expires', '30m', '--uses', '2');
    expect(status).toBe(0);
    expect(stdout).toBe(
      'jarvisd --name n4 --data-dir ./n4 --listen HOST:7101 --http HOST:8101 ' +
        `--join 10.0.0.1:7101,10.0.0.3:7101 --join-token ${TOKEN}\n`,
    );
    expect(stderr).toContain('until 2026-12-01T00:00:00Z');
    expect(stderr).toContain('--join-token-file');
    expect(stderr).not.toContain(TOKEN);
    expect(cluster.requests('createJoinToken')).toMatchObject([
      { name: 'n4', expires: '30m', uses: 2, secret_hash: '' },
    ]);
  });

  it('prints the token alone with --quiet, and all of it as JSON', async () => {
    expect(await run('-q')).toMatchObject({ stdout: `${TOKEN}\n`, stderr: '', status: 0 });
    const { stdout } = await run('-o', 'json');
    expect(JSON.parse(stdout)).toMatchObject({ token: TOKEN, id: 'join-a', uses: 1, name: null });
  });

  it('lists tokens, without what they are worth', async () => {
    cluster.joinTokens = [
      JoinToken.create({
        id: 'join-a',
        uses: 2,
        uses_left: 1,
        expires_at: '2026-12-01T00:00:00Z',
        used_by: [{ node: 'n4\u001b[31m', at: '2026-11-30T00:00:00Z' }],
      }),
    ];
    const { stdout, status } = await run('ls');
    expect(status).toBe(0);
    expect(stdout).toMatch(/join-a +any +1\/2 +2026-12-01T00:00:00Z/);
    expect(stdout).not.toContain('\u001b');
    expect((await run('ls', '-o', 'name')).stdout).toBe('join-a\n');
    expect(JSON.parse((await run('ls', '-o', 'json')).stdout)).toMatchObject({ items: [{ id: 'join-a' }] });
  });

  it('deletes one by its id', async () => {
    expect(await run('rm', 'join-a')).toMatchObject({ stdout: 'join-a\n', stderr: '', status: 0 });
    expect(cluster.requests('deleteJoinToken')).toMatchObject([{ id: 'join-a' }]);
  });

  it('exits with 1 and the reason where it is refused, and with 2 where it is misused', async () => {
    cluster.before = ({ method }) => {
      if (method === 'createJoinToken') throw new JarvisError('forbidden', 'only an admin may do that');
    };
    expect(await run()).toMatchObject({
      status: 1,
      stdout: '',
      stderr: 'jarvisctl: only an admin may do that\n',
    });
    expect((await run('--uses', 'none')).status).toBe(2);
    expect((await run('rm')).status).toBe(2);
  });

  it.each([[], ['ls'], ['rm']])('%s has an example', async (...verb: readonly string[]) => {
    const { stdout } = await runInProcess(['cluster', 'join-token', ...verb, '--help']);
    expect(stdout).toContain(['$ jarvisctl cluster join-token', ...verb].join(' '));
  });
});
