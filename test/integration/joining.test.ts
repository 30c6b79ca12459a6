/** Nodes that come again, come too many, or are removed while nobody can tell them: real processes. */
import { rm } from 'node:fs/promises';

import { describe, expect, it } from 'vitest';

import type { ClusterJson } from '../support/api.ts';
import { SHORT_HEARTBEAT, type TestCluster } from '../support/cluster.ts';
import { startCluster } from '../support/test-cluster.ts';
import { waitFor } from '../support/wait.ts';

async function until(
  cluster: TestCluster,
  what: string,
  condition: (status: ClusterJson) => boolean,
): Promise<ClusterJson> {
  const status = async (): Promise<ClusterJson | null> => {
    const { api } = await cluster.leader();
    const answer = await api.cluster();
    return condition(answer) ? answer : null;
  };
  return await waitFor(what, status, { timeoutMs: 60_000 });
}

async function runs(cluster: TestCluster): Promise<void> {
  const { id } = await cluster.api().submit({ command: ['true'] });
  expect(await cluster.finalTask(id, { timeoutMs: 60_000 })).toMatchObject({ status: 'COMPLETED' });
}

async function aFollower(cluster: TestCluster): Promise<string> {
  const [follower] = await cluster.followers();
  if (follower === undefined) throw new Error('there are followers');
  return follower.name;
}

function raftIdOf({ members }: ClusterJson, name: string): number | undefined {
  return members.find((member) => member.name === name)?.raft_id;
}

describe('a node that has joined', () => {
  it('needs nobody to let it in again, and comes anew where it lost its disk', async () => {
    const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT, joining: 1 });
    await cluster.restart('n4');
    const joined = await until(cluster, 'the learner', ({ learners }) => learners.includes('n4'));
    const id = raftIdOf(joined, 'n4') ?? 0;

    // Nobody answers there: its data directory says where it belongs.
    await cluster.kill('n4');
    cluster.node('n4').start(['--join', '127.0.0.1:1']);
    await cluster.node('n4').ready();
    expect(raftIdOf(await cluster.api().cluster(), 'n4')).toBe(id);

    await cluster.kill('n4');
    await rm(cluster.node('n4').settings.dataDir, { recursive: true });
    await cluster.restart('n4');
    const again = await until(cluster, 'the new id', (status) => (raftIdOf(status, 'n4') ?? id) > id);
    expect(again.members.map(({ name }) => name).sort()).toEqual(['n1', 'n2', 'n3', 'n4']);
    expect(again.learners).toEqual(['n4']);
    await runs(cluster);
  });
});

describe('a node too many', () => {
  it('is told so, ends, and is not let in by an operator either', async () => {
    const cluster = await startCluster({
      heartbeat: SHORT_HEARTBEAT,
      joining: 1,
      membership: { learners: 0 },
    });
    const late = cluster.node('n4');
    late.start();
    await waitFor('its waiting', async () => late.log().includes('0 of at most 0 learners'));
    const added = await cluster.cli(['cluster', 'add', 'n4', late.settings.listen]);
    expect(added).toMatchObject({ status: 1, stdout: '' });
    expect(added.stderr).toContain('0 of at most 0 learners are there (membership.learners)');
    expect(await late.ended).toMatchObject({ code: 2 });
    expect((await cluster.api().cluster()).members).toHaveLength(3);
  });
});

describe('a member that is removed', () => {
  it('may be asked for that itself, also where it leads', async () => {
    const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT, nodes: 5, membership: { voters: 3 } });
    // The autopilot keeps three voters; whoever does not vote goes as well.
    await until(cluster, 'three voters', ({ voters }) => voters.length === 3);
    const follower = await aFollower(cluster);
    const first = await cluster.cli(['cluster', 'remove', follower], { peer: follower });
    expect(first).toMatchObject({ status: 0, stderr: '' });
    expect(await cluster.node(follower).ended).toMatchObject({ code: 2 });
    const leader = (await cluster.leader()).name;
    const second = await cluster.cli(['cluster', 'remove', leader], { peer: leader });
    expect(second).toMatchObject({ status: 0, stderr: '' });
    expect(await cluster.node(leader).ended).toMatchObject({ code: 2 });
    const left = await until(cluster, 'three members', ({ members }) => members.length === 3);
    expect(left.members.map(({ name }) => name)).not.toContain(leader);
    await runs(cluster);
  });

  it('while it is dead is told when it comes back, and disturbs nobody', async () => {
    const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT });
    const gone = await aFollower(cluster);
    await cluster.kill(gone);
    expect(await cluster.cli(['cluster', 'remove', gone])).toMatchObject({ status: 0 });
    const { term, leader } = await cluster.api().cluster();
    cluster.node(gone).start();
    expect(await cluster.node(gone).ended).toMatchObject({ code: 2 });
    expect(cluster.node(gone).log()).toContain('this node was removed from the cluster');
    expect(await cluster.api().cluster()).toMatchObject({ term, leader });
    await runs(cluster);
  });
});
