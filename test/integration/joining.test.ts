/** Nodes that come again, come too many, or are removed while nobody can tell them: real processes. */
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

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
  it('works without a copy, and an operator who lets it in again changes nothing', async () => {
    const cluster = await startCluster({
      heartbeat: SHORT_HEARTBEAT,
      joining: 1,
      membership: { learners: 0 },
    });
    const late = cluster.node('n4');
    late.start();
    await late.ready();
    expect(late.log()).toContain('the node is up, without a copy');
    for (const peer of ['n1', 'n4']) {
      const added = await cluster.cli(['cluster', 'add', 'n4', late.settings.listen], { peer });
      expect(added).toMatchObject({ status: 0, stderr: '' });
    }
    const { members, learners } = await cluster.api().cluster();
    expect(learners).toEqual([]);
    expect(members).toHaveLength(4);
    expect(members[3]).toMatchObject({
      name: 'n4',
      role: 'worker',
      raft_id: null,
      match_index: null,
      lag: null,
    });
    const promoted = await cluster.cli(['cluster', 'promote', 'n4', '--instead-of', 'n1']);
    expect(promoted).toMatchObject({ status: 1, stdout: '' });
    expect(promoted.stderr).toContain('n4 works without a copy of the log, and cannot vote');
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

/** Flips a bit in the middle of what the first segment holds: later batches prove that it was durable. */
async function damageLog(dataDir: string): Promise<void> {
  const log = path.join(dataDir, 'log');
  const [segment = ''] = (await readdir(log)).filter((name) => name.endsWith('.log')).sort();
  const bytes = await readFile(path.join(log, segment));
  const at = Math.floor(bytes.findLastIndex((byte) => byte !== 0) / 2);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  await writeFile(path.join(log, segment), bytes);
}

async function formerOf(dataDir: string): Promise<readonly string[]> {
  return (await readdir(dataDir)).filter((name) => name.startsWith('former-'));
}

describe('a member whose log is damaged', () => {
  it('never votes from it again: the others let it in anew under another id, and nothing is lost', async () => {
    const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT });
    const kept = await cluster.api().submit({ command: ['true'] });
    await cluster.finalTask(kept.id);
    const name = await aFollower(cluster);
    const { dataDir } = cluster.node(name).settings;
    const { term } = await cluster.api().cluster();
    await cluster.kill(name, 'SIGTERM');
    await damageLog(dataDir);
    await cluster.restart(name);
    const again = await until(cluster, 'its vote', ({ voters }) => voters.includes(name));
    expect(raftIdOf(again, name)).toBeGreaterThan(1000);
    expect(again).toMatchObject({ term, learners: [] });
    expect(again.voters).toHaveLength(3);
    expect(await cluster.node(name).api.task(kept.id)).toMatchObject({ status: 'COMPLETED' });
    await runs(cluster);

    // What it held is there for people, and no node can be started with it.
    const [former = ''] = await formerOf(dataDir);
    expect(await readdir(path.join(dataDir, former, 'log'))).not.toEqual([]);
    const identity = await readFile(path.join(dataDir, former, 'identity.json'), 'utf8');
    expect(JSON.parse(identity)).toMatchObject({ condemned: expect.stringContaining('damaged') as string });
    // A start like any other.
    await cluster.kill(name);
    await cluster.restart(name);
    expect(await formerOf(dataDir)).toEqual([former]);
  });

  it('ends and leaves all as it is while the others cannot decide, and comes back when they can', async () => {
    const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT });
    const name = await aFollower(cluster);
    const others = ['n1', 'n2', 'n3'].filter((other) => other !== name);
    const { dataDir } = cluster.node(name).settings;
    await cluster.kill(name, 'SIGTERM');
    for (const other of others) await cluster.kill(other);
    await damageLog(dataDir);
    cluster.node(name).start();
    expect(await cluster.node(name).ended).toMatchObject({ code: 1 });
    expect(cluster.node(name).log()).toContain('the node was not let in anew (nobody who leads has answered');
    expect(await formerOf(dataDir)).toEqual([]);
    for (const other of others) cluster.node(other).start();
    await cluster.ready();
    await cluster.restart(name);
    const again = await until(cluster, 'its vote', ({ voters }) => voters.includes(name));
    expect(again.members).toHaveLength(3);
    await runs(cluster);
  });
});
