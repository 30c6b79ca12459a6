/** Members come and go while the cluster runs: real processes, by the commands that an operator types. */
import { describe, expect, it } from 'vitest';

import type { ClusterJson } from '../support/api.ts';
import { SHORT_HEARTBEAT, type ClusterOptions, type TestCluster } from '../support/cluster.ts';
import { startCluster } from '../support/test-cluster.ts';
import { freePort } from '../support/ports.ts';
import { waitFor } from '../support/wait.ts';

async function begin(options: ClusterOptions = {}): Promise<TestCluster> {
  return await startCluster({ heartbeat: SHORT_HEARTBEAT, joining: 1, ...options });
}

async function until(
  cluster: TestCluster,
  what: string,
  condition: (status: ClusterJson) => boolean,
): Promise<ClusterJson> {
  return await waitFor(
    what,
    async () => {
      const { api } = await cluster.leader();
      const status = await api.cluster();
      return condition(status) ? status : null;
    },
    { timeoutMs: 60_000 },
  );
}

async function runs(cluster: TestCluster): Promise<void> {
  const { id } = await cluster.api().submit({ command: ['true'] });
  expect(await cluster.finalTask(id, { timeoutMs: 60_000 })).toMatchObject({ status: 'COMPLETED' });
}

describe('a fourth node', () => {
  it('joins as a learner, works, takes the place of a voter, and goes again', async () => {
    const cluster = await begin();
    const before = await cluster.api().submit({ command: ['sh', '-c', 'echo kept'] });
    await cluster.finalTask(before.id);
    await cluster.restart('n4');
    const joined = await until(cluster, 'the learner', ({ learners }) => learners.includes('n4'));
    expect(joined).toMatchObject({ voters: ['n1', 'n2', 'n3'], learners: ['n4'], failure_tolerance: 1 });

    // It answers for the cluster, and runs its share: of tasks that fill a node each, four need all four.
    const tasks = await Promise.all(
      Array.from({ length: 4 }, () =>
        cluster.node('n4').api.submit({ command: ['sleep', '1000'], resources: { cpu: '7' } }),
      ),
    );
    const running = await waitFor('all to run', async () => {
      const now = await Promise.all(tasks.map(({ id }) => cluster.node('n4').api.task(id)));
      return now.every(({ status }) => status === 'RUNNING') && now;
    });
    expect(running.map(({ node }) => node)).toContain('n4');
    for (const { id } of tasks) await cluster.api().cancel(id);
    for (const { id } of tasks) await cluster.finalTask(id);
    expect(await cluster.node('n4').api.task(before.id)).toMatchObject({ status: 'COMPLETED' });

    const leader = await cluster.leader();
    const gone = ['n1', 'n2', 'n3'].find((name) => name !== leader.name) ?? '';
    const alone = await cluster.cli(['cluster', 'promote', 'n4']);
    expect(alone).toMatchObject({ status: 1, stdout: '' });
    expect(alone.stderr).toContain('3 voters are kept');
    // What it runs comes from the leader, whether it has the log or not.
    await until(cluster, 'the log to be there', ({ members }) =>
      members.some(({ name, state, lag }) => name === 'n4' && state === 'replicate' && lag === 0),
    );
    const promoted = await cluster.cli(['cluster', 'promote', 'n4', '--instead-of', gone, '-o', 'json']);
    expect(promoted).toMatchObject({ status: 0, stderr: '' });
    expect(JSON.parse(promoted.stdout)).toMatchObject({ learners: [gone], joint: null });

    const removed = await cluster.cli(['cluster', 'remove', gone]);
    expect(removed.status).toBe(0);
    expect(await cluster.node(gone).ended).toMatchObject({ code: 2 });
    expect(cluster.node(gone).log()).toContain('this node was removed from the cluster');
    const after = await until(cluster, 'three members', ({ members }) => members.length === 3);
    expect(after.voters).toHaveLength(3);
    await runs(cluster);

    // Coming back with the old directory it disturbs nobody.
    const { term } = await cluster.api().cluster();
    cluster.node(gone).start();
    expect(await cluster.node(gone).ended).toMatchObject({ code: 2 });
    expect((await cluster.api().cluster()).term).toBe(term);
    await runs(cluster);
  });

  it('takes the place of a voter that stays dead, and nothing is lost', async () => {
    const cluster = await begin({ membership: { voter_grace: '2s' } });
    await cluster.restart('n4');
    await until(cluster, 'the learner', ({ learners }) => learners.includes('n4'));
    const kept = await cluster.api().submit({ command: ['true'] });
    await cluster.finalTask(kept.id);
    const leader = await cluster.leader();
    const dead = ['n1', 'n2', 'n3'].find((name) => name !== leader.name) ?? '';
    await cluster.kill(dead);
    const replaced = await until(cluster, 'the replacement', ({ voters }) => voters.includes('n4'));
    expect(replaced.voters).not.toContain(dead);
    expect(replaced.failure_tolerance).toBe(1);
    // One more may die now.
    await cluster.kill(leader.name);
    expect((await cluster.finalTask(kept.id)).status).toBe('COMPLETED');
    await runs(cluster);
  });
});

describe('a member that moves to another address', () => {
  it('is found again by the others', async () => {
    const cluster = await begin({ joining: 0 });
    const [moving] = await cluster.followers();
    if (moving === undefined) throw new Error('there are followers');
    const listen = `127.0.0.1:${await freePort()}`;
    await cluster.kill(moving.name);
    // The last word on the command line counts.
    moving.start([
      '--listen',
      listen,
      '--advertise',
      listen,
      '--peers',
      peersOf(cluster, moving.name, listen),
    ]);
    await moving.ready();
    const isThere = ({ members }: ClusterJson): boolean =>
      members.some(({ name, address, active }) => name === moving.name && address === listen && active);
    expect((await until(cluster, 'the new address', isThere)).voters).toHaveLength(3);
    // Its vote counts there: one of the others may die.
    const other = (await cluster.followers()).find(({ name }) => name !== moving.name);
    await cluster.kill(other?.name ?? '');
    await runs(cluster);
  });
});

function peersOf(cluster: TestCluster, moved: string, listen: string): string {
  return cluster.nodes
    .map(({ name, settings }) => `${name}=${name === moved ? listen : settings.listen}`)
    .join(',');
}

describe('the leadership', () => {
  it('is handed over to whom an operator names', async () => {
    const cluster = await begin();
    const leader = await cluster.leader();
    const heir = ['n1', 'n2', 'n3'].find((name) => name !== leader.name) ?? '';
    const transfer = await cluster.cli(['cluster', 'transfer', heir, '--peer', cluster.peers(leader.name)]);
    expect(transfer.status).toBe(0);
    expect((await cluster.leader()).name).toBe(heir);
    const nobody = await cluster.cli(['cluster', 'transfer', 'n9']);
    expect(nobody).toMatchObject({ status: 1, stdout: '' });
    expect(nobody.stderr).toContain('there is no member "n9"; there are n1, n2, n3');
  });

  it('passes to another before its holder is removed', async () => {
    const cluster = await begin();
    const leader = await cluster.leader();
    const answer = await cluster.api().call('DELETE', `/cluster/members/${leader.name}`, null);
    expect(answer.status).toBe(200);
    expect(await cluster.node(leader.name).ended).toMatchObject({ code: 2 });
    const status = await until(cluster, 'another leader', ({ voters }) => voters.length === 2);
    expect(status.leader).not.toBe(leader.name);
    await runs(cluster);
  });
});
