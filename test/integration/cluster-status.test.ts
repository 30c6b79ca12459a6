/** What an operator sees of a cluster with a member that stands still, one that is dead, and without a leader. */
import { cp, rm } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import type { ClusterJson, MemberJson } from '../support/api.ts';
import { SHORT_HEARTBEAT } from '../support/cluster.ts';
import type { NodeProcess } from '../support/node-process.ts';
import { startCluster } from '../support/test-cluster.ts';
import { waitFor } from '../support/wait.ts';

function memberOf({ members }: ClusterJson, name: string): MemberJson {
  const member = members.find((each) => each.name === name);
  if (member === undefined) throw new Error(`no member ${name}`);
  return member;
}

/** The answer, through a node that runs, once it shows the member as wanted. */
async function shown(
  { api }: NodeProcess,
  name: string,
  condition: (member: MemberJson, status: ClusterJson) => boolean,
): Promise<{ readonly status: ClusterJson; readonly member: MemberJson }> {
  return await waitFor(`${name} is shown as it is`, async () => {
    const status = await api.cluster();
    const member = memberOf(status, name);
    return condition(member, status) && { status, member };
  });
}

describe('the state of the cluster', () => {
  it('shows each member that is well, and what it says of itself', async () => {
    const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT });
    const { status } = await shown(cluster.node('n1'), 'n1', (_, { members, leader }) =>
      members.every(
        ({ active, lag, state, node_status: node, report }) =>
          active && lag === 0 && state !== 'probe' && node !== null && report?.leader === leader,
      ),
    );
    const { leader } = status;
    expect(status).toMatchObject({
      voters: ['n1', 'n2', 'n3'],
      learners: [],
      failure_tolerance: 1,
      joint: null,
      transfer_target: null,
      stale: false,
      node: { name: leader, role: 'leader', vote: leader, disk_errors: [] },
    });
    for (const member of status.members) {
      const leads = member.name === leader;
      expect(member).toMatchObject({
        role: 'voter',
        active: true,
        paused: false,
        snapshot: null,
        node_status: 'AVAILABLE',
        state: leads ? 'leader' : 'replicate',
        report: {
          name: member.name,
          role: leads ? 'leader' : 'follower',
          leader,
          term: status.term,
          disk_errors: [],
        },
      });
      expect(member.match_index).toBeGreaterThanOrEqual(status.commit_index);
      expect(member.report?.log?.bytes).toBeGreaterThan(0);
      expect(member.report?.version).toBe(member.version);
    }
  });

  it('shows a member that stands still: silent, for how long, and how far behind', async () => {
    const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT });
    const asked = await cluster.leader();
    const [follower] = await cluster.followers();
    const { name } = follower!;
    follower!.signal('SIGSTOP');
    try {
      const first = await shown(asked, name, ({ active }) => !active);
      expect(first.status.failure_tolerance).toBe(0);
      expect(first.member.report).toBeNull();
      for (let count = 0; count < 5; count += 1) await asked.api.submit({ command: ['true'] });
      const before = first.member.last_contact_seconds ?? 0;
      const { member } = await shown(asked, name, ({ last_contact_seconds: now }) => (now ?? 0) > before + 1);
      expect(member.lag).toBeGreaterThanOrEqual(5);
      expect(member.active).toBe(false);
      const table = await cluster.cli(['cluster', 'status'], { peer: asked.name });
      expect(table.status).toBe(0);
      expect(table.stdout).toMatch(new RegExp(`${name} +voter +\\w+,silent +\\d+ +\\d+(\\.\\d)?s `));
    } finally {
      follower!.signal('SIGCONT');
    }
    const { member } = await shown(
      asked,
      name,
      ({ active, lag, report }, { failure_tolerance: tolerance }) =>
        active && lag === 0 && report !== null && tolerance === 1,
    );
    expect(member.last_contact_seconds).toBeLessThan(1);
  });

  it('shows why a member has stopped whose disk has the log of another', async () => {
    const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT });
    const [follower, other] = await cluster.followers();
    const { name, settings } = follower!;
    await cluster.kill(name, 'SIGTERM');
    await rm(path.join(settings.dataDir, 'log'), { recursive: true });
    await cp(path.join(other!.settings.dataDir, 'log'), path.join(settings.dataDir, 'log'), {
      recursive: true,
    });
    follower!.start();
    expect((await follower!.ended).code).not.toBe(0);
    const { member } = await shown(other!, name, ({ last_words: words }) => words.length > 0);
    expect(member).toMatchObject({ active: false, report: null, last_words: [{ kind: 'log_foreign' }] });
    // Whoever leads next has heard it too.
    const stale = await other!.api.get<ClusterJson>('/cluster?consistency=stale');
    expect(memberOf(stale, name).last_words).toEqual(member.last_words);
    const table = await cluster.cli(['cluster', 'status']);
    expect(table.stdout).toMatch(new RegExp(`Disk: +${name}, before it stopped: log_foreign: `));
  });

  it('shows a member that is dead, and without a majority what the one that is left knows', async () => {
    const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT });
    const leader = await cluster.leader();
    const [first, second] = await cluster.followers();
    await cluster.kill(first!.name);
    const { status } = await shown(second!, first!.name, ({ node_status: node }) => node === 'OFFLINE');
    expect(status.failure_tolerance).toBe(0);
    expect(memberOf(status, first!.name)).toMatchObject({ active: false, report: null });
    expect(memberOf(status, second!.name)).toMatchObject({ active: true, lag: expect.any(Number) });

    await cluster.kill(leader.name);
    const { api, name } = second!;
    const refused = await waitFor('there is no leader', async () => {
      const answer = await api.call('GET', '/cluster', null);
      return answer.status === 503 && answer;
    });
    expect(refused.headers.get('retry-after')).toBe('1');
    const own = {
      cluster_id: status.cluster_id,
      leader: null,
      stale: true,
      failure_tolerance: null,
      voters: ['n1', 'n2', 'n3'],
    };
    expect(JSON.parse(refused.text)).toMatchObject({
      code: 'no_leader',
      cluster: { ...own, node: { name } },
    });
    const stale = await api.get<ClusterJson>('/cluster?consistency=stale');
    expect(stale).toMatchObject(own);
    expect(stale.commit_index).toBeGreaterThanOrEqual(status.commit_index);
    expect(memberOf(stale, leader.name).last_contact_seconds).toBeGreaterThan(0);

    const shownByCli = await cluster.cli(['cluster', 'status', '-o', 'json'], { peer: name });
    expect(shownByCli.status).toBe(3);
    expect(shownByCli.stderr).toContain('no leader');
    expect(JSON.parse(shownByCli.stdout)).toMatchObject(own);
  });
});
