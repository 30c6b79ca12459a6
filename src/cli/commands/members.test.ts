import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { ClusterStatus, Member } from '../../generated/cluster.ts';
import { JarvisError } from '../../lib/errors.ts';
import { FakeCluster } from '../fake-cluster.test-kit.ts';
import { runInProcess } from '../run-cli.test-kit.ts';

let cluster: FakeCluster;

beforeEach(async () => {
  cluster = await FakeCluster.start();
  const member = { address: '127.0.0.1:7101', state: 'replicate', active: true, lag: 0 };
  cluster.status = ClusterStatus.create({
    cluster_id: 'c1',
    leader: 'n1',
    voters: ['n1'],
    learners: ['n4'],
    members: [
      Member.create({ ...member, name: 'n1', role: 'voter', raft_id: 1, state: 'leader' }),
      Member.create({ ...member, name: 'n4', role: 'learner', raft_id: 1012 }),
    ],
  });
});

afterEach(() => cluster.stop());

async function run(command: string, ...more: readonly string[]) {
  return await runInProcess(['cluster', ...command.split(' '), '--peer', cluster.address, ...more]);
}

/** What was asked of the cluster, apart from where its members are. */
function asked(method: string): readonly unknown[] {
  return cluster.calls.filter((call) => call.method === method).map(({ request }) => request);
}

describe('cluster members', () => {
  it('lists them as a table, by name, or as they are', async () => {
    const { stdout, status } = await run('members');
    expect(status).toBe(0);
    expect(stdout).toMatch(/n1 +voter +leader/);
    expect(stdout).toMatch(/n4 +learner +replicate/);
    expect((await run('members', '-o', 'name')).stdout).toBe('n1\nn4\n');
    const json = JSON.parse((await run('members', '-o', 'json')).stdout) as object;
    expect(json).toMatchObject({
      voters: ['n1'],
      learners: ['n4'],
      members: [{ raft_id: 1 }, { raft_id: 1012 }],
    });
  });
});

describe('nodes without a copy', () => {
  const worker = { role: 'worker', version: '1.2.3', node_status: 'AVAILABLE', last_contact_seconds: 1.5 };

  beforeEach(() => {
    const { members } = cluster.status;
    const living = Member.create({ ...worker, name: 'w1', address: '10.0.0.5:7101', active: true });
    cluster.status.members = [...members, living, Member.create({ ...worker, name: 'w2' })];
    cluster.status.workers = ['w1', 'w2'];
  });

  it('are listed among the members, with a dash for what only Raft knows', async () => {
    const { stdout } = await run('members');
    expect(stdout).toMatch(/w1 +worker +- +- +1\.5s +10\.0\.0\.5:7101\n/);
    expect(stdout).toMatch(/w2 +worker +silent +- /);
    const wide = (await run('members', '-o', 'wide')).stdout;
    expect(wide).toMatch(/w1 .* - +- +- +- +- +- +AVAILABLE +1\.2\.3 +-\n/);
    expect((await run('members', '-o', 'name')).stdout).toBe('n1\nn4\nw1\nw2\n');
  });

  it('are left out of what is shown after a change', async () => {
    expect((await run('remove w1')).stdout).not.toMatch(/^w/m);
  });
});

describe('changes of the membership', () => {
  it.each([
    ['add n4 10.0.0.4:7101', { action: 'add', name: 'n4', address: '10.0.0.4:7101', other: '' }],
    ['remove n4', { action: 'remove', name: 'n4', address: '', other: '' }],
    ['promote n4', { action: 'promote', name: 'n4', address: '', other: '' }],
    ['promote n4 --instead-of n3', { action: 'promote', name: 'n4', address: '', other: 'n3' }],
    ['demote n3 --in-favour-of n4', { action: 'demote', name: 'n3', address: '', other: 'n4' }],
  ])('%s asks for just that, and shows the members after it', async (command, request) => {
    const { stdout, stderr, status } = await run(command);
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
    expect(asked('changeMember')).toEqual([
      { ...request, idempotency_key: expect.stringMatching(/^\S{20,}$/) },
    ]);
    expect(stdout).toMatch(/n4 +learner/);
  });

  it('exit with 1 and the reason where they are refused', async () => {
    cluster.before = ({ method }) => {
      if (method === 'changeMember')
        throw new JarvisError('conflict', 'another change of the membership is under way');
    };
    expect(await run('remove n4')).toMatchObject({
      status: 1,
      stdout: '',
      stderr: expect.stringContaining('another change of the membership is under way') as string,
    });
  });

  it('exit with 2 where a name is missing, and ask nobody', async () => {
    const { status, stderr } = await run('remove');
    expect(status).toBe(2);
    expect(stderr).toContain("missing required argument 'member'");
    expect(asked('changeMember')).toEqual([]);
  });

  it.each(['members', 'transfer', 'add', 'remove', 'promote', 'demote'])(
    '%s has an example',
    async (verb) => {
      const { stdout, status } = await runInProcess(['cluster', verb, '--help']);
      expect(status).toBe(0);
      expect(stdout).toContain(`$ jarvisctl cluster ${verb}`);
    },
  );
});

describe('cluster transfer', () => {
  it('names the heir, or leaves the choice to the cluster', async () => {
    expect(await run('transfer n2')).toMatchObject({ status: 0, stderr: '' });
    expect(await run('transfer')).toMatchObject({ status: 0, stderr: '' });
    const key = expect.stringMatching(/^\S{20,}$/) as string;
    expect(asked('transferLeadership')).toEqual([
      { to: 'n2', idempotency_key: key },
      { to: '', idempotency_key: key },
    ]);
  });

  it('shows the cluster as the new leader has it', async () => {
    cluster.before = ({ method }) => {
      if (method === 'transferLeadership') cluster.status = { ...cluster.status, members: [] };
      else cluster.status = { ...cluster.status, members: [Member.create({ name: 'n9', state: 'leader' })] };
    };
    expect((await run('transfer')).stdout).toMatch(/^n9 /m);
  });

  it('exits with 1 and the reason where it is not taken over', async () => {
    cluster.before = ({ method }) => {
      if (method === 'transferLeadership') throw new JarvisError('conflict', 'n2 does not answer');
    };
    expect(await run('transfer n2')).toMatchObject({
      status: 1,
      stdout: '',
      stderr: 'jarvisctl: n2 does not answer\n',
    });
  });
});
