import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { Token } from '../../generated/cluster.ts';
import { JarvisError } from '../../lib/errors.ts';
import { FakeCluster } from '../fake-cluster.test-kit.ts';
import { runInProcess } from '../run-cli.test-kit.ts';

let cluster: FakeCluster;

beforeEach(async () => {
  cluster = await FakeCluster.start();
  cluster.tokens = [
    Token.create({ id: 'abcdefghjkmn', name: 'ci\u001b[31m', role: 'submitter', created_by: 'token:root' }),
    Token.create({ id: 'bbbbbbbbbbbb', name: 'old', role: 'viewer', expires_at: '2020-01-01T00:00:00Z' }),
    Token.create({ id: 'cccccccccccc', name: 'gone', role: 'admin', revoked_at: '2026-11-01T00:00:00Z' }),
  ];
});

afterEach(() => cluster.stop());

async function run(...more: readonly string[]) {
  return await runInProcess(['token', ...more, '--peer', cluster.address]);
}

describe('token', () => {
  it('create prints the token alone, and on stderr what it is', async () => {
    const { stdout, stderr, status } = await run(
      'create',
      '--role',
      'submitter',
      '--name',
      'ci',
      '--expires',
      '30d',
    );
    expect(status).toBe(0);
    expect(stdout).toBe(`${cluster.tokenText}\n`);
    expect(stderr).toContain('token abcdefghjkmn (ci), submitter, is good until 2026-12-31');
    expect(stderr).not.toContain(cluster.tokenText);
    const [request] = cluster.requests('createToken');
    expect(request).toMatchObject({ role: 'submitter', name: 'ci', expires_in: '2592000' });
  });

  it('create prints all of it as JSON, and the id with -o name', async () => {
    const { stdout, stderr } = await run('create', '--role', 'viewer', '-o', 'json');
    expect(JSON.parse(stdout)).toMatchObject({
      id: 'abcdefghjkmn',
      role: 'viewer',
      token: cluster.tokenText,
    });
    expect(stderr).toBe('');
    expect((await run('create', '--role', 'viewer', '-o', 'name')).stdout).toBe('abcdefghjkmn\n');
  });

  it.each([
    [['create'], "required option '--role <role>' not specified"],
    [['create', '--role', 'root'], 'viewer, submitter, operator, admin'],
    [['create', '--role', 'viewer', '--expires', 'soon'], 'Allowed: seconds'],
    [['revoke'], "missing required argument 'id'"],
  ])('%j is misuse', async (words, message) => {
    const { status, stderr } = await run(...words);
    expect(status).toBe(2);
    expect(stderr).toContain(message);
    expect(cluster.calls).toEqual([]);
  });

  it('ls shows what each is, and whether it can be used', async () => {
    const { stdout } = await run('ls');
    expect(stdout).toMatch(/abcdefghjkmn .*submitter +usable +never/);
    expect(stdout).toMatch(/bbbbbbbbbbbb +old +viewer +expired +2020/);
    expect(stdout).toMatch(/cccccccccccc +gone +admin +revoked/);
    expect(stdout).not.toContain('\u001b');
    expect((await run('ls', '-o', 'name')).stdout).toBe('abcdefghjkmn\nbbbbbbbbbbbb\ncccccccccccc\n');
    expect((await run('ls', '-o', 'wide')).stdout).toContain('token:root');
    expect(JSON.parse((await run('ls', '-o', 'json')).stdout)).toMatchObject({ next_cursor: null });
  });

  it('revoke takes the beginning of an id', async () => {
    expect(await run('revoke', 'bbb', '-o', 'name')).toMatchObject({ stdout: 'bbbbbbbbbbbb\n', status: 0 });
    expect(await run('revoke', 'zzz')).toMatchObject({
      status: 1,
      stderr: 'jarvisctl: there is no token "zzz"\n',
    });
  });

  it('says no more of a token that is pasted in the wrong place than its id', async () => {
    cluster.before = () => {
      throw new JarvisError('unauthenticated', `there is no token "${cluster.tokenText}"`);
    };
    const { stderr, status } = await run('revoke', cluster.tokenText);
    expect(status).toBe(1);
    expect(stderr).toBe('jarvisctl: there is no token "jarvis_abcdefghjkmn_…"\n');
  });

  it('is shown to the cluster with every call', async () => {
    const seen: unknown[] = [];
    cluster.before = ({ method }) => void seen.push(method);
    const env = { JARVIS_TOKEN: cluster.tokenText };
    const { status } = await runInProcess(['token', 'ls', '--peer', cluster.address], { env });
    expect(status).toBe(0);
    expect(cluster.authorizations).toEqual([`Bearer ${cluster.tokenText}`]);
  });

  it.each(['create', 'ls', 'revoke'])('%s has an example', async (verb) => {
    const { stdout } = await runInProcess(['token', verb, '--help']);
    expect(stdout).toContain(`$ jarvisctl token ${verb}`);
  });
});
