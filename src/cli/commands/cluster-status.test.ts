import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { ClusterStatus, Member, NodeReport } from '../../generated/cluster.ts';
import type { GetClusterRequest } from '../../generated/cluster.ts';
import { JarvisError } from '../../lib/errors.ts';
import { FakeCluster } from '../fake-cluster.test-kit.ts';
import { runInProcess } from '../run-cli.test-kit.ts';

let cluster: FakeCluster;
let peer: string[];

beforeEach(async () => {
  cluster = await FakeCluster.start();
  peer = ['--peer', cluster.address];
  const member = { address: '127.0.0.1:7101', role: 'voter', version: '1.2.3', node_status: 'AVAILABLE' };
  cluster.status = ClusterStatus.create({
    cluster_id: 'c1',
    leader: 'n1',
    term: 3,
    commit_index: 42,
    applied_index: 41,
    voters: ['n1', 'n2'],
    failure_tolerance: 0,
    members: [
      Member.create({
        ...member,
        name: 'n1',
        raft_id: 7,
        state: 'leader',
        active: true,
        match_index: 42,
        lag: 0,
        last_contact_seconds: 0,
        report: { name: 'n1', applied_index: 41, log: { segments: 1, bytes: 16777216 } },
      }),
      Member.create({
        ...member,
        name: 'n2',
        raft_id: 8,
        state: 'snapshot',
        active: false,
        match_index: 40,
        next_index: 41,
        lag: 2,
        inflight: 3,
        paused: true,
        last_contact_seconds: 75.25,
        snapshot: { index: 39, taken_bytes: 3145728, total_bytes: 12582912, failures: 2 },
      }),
    ],
    node: NodeReport.create({ name: 'n1', role: 'leader' }),
  });
});

afterEach(() => {
  cluster.stop();
});

/** The fake answers this way until it is asked for what it knows by itself. */
function withoutLeader(error: JarvisError): void {
  cluster.status = ClusterStatus.create({
    ...cluster.status,
    leader: '',
    stale: true,
    failure_tolerance: undefined,
    members: [Member.create({ name: 'n2', role: 'voter', state: 'unknown', last_contact_seconds: 2.5 })],
    node: NodeReport.create({ name: 'n1', role: 'pre_candidate', term: 3, vote: 'n2' }),
  });
  cluster.before = ({ method, request }) => {
    if (method === 'getCluster' && (request as GetClusterRequest).consistency !== 'stale') throw error;
  };
}

function worker(at: number): Member {
  return Member.create({ name: `w${at}`, role: 'worker', address: `w${at}:1`, active: at > 6 });
}

describe('cluster status', () => {
  it('shows the leader, the term, and how the members keep up', async () => {
    const { stdout, status } = await runInProcess(['cluster', 'status', ...peer]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/Leader: +n1\nTerm: +3\nCommit: +42 \(applied 41\)\nVoters: +2, of which 0 more/);
    expect(stdout).toMatch(/n1 +voter +leader +0 +- +127\.0\.0\.1:7101\n/);
    expect(stdout).toMatch(/n2 +voter +snapshot,silent +2 +75s +127\.0\.0\.1:7101\n/);
    expect(stdout).not.toMatch(/Learners|Workers|Joint|Transfer|Seen by|Disk|MATCH/);
  });

  it('shows more where that is asked for', async () => {
    const { stdout } = await runInProcess(['cluster', 'status', '-o', 'wide', ...peer]);
    expect(stdout).toMatch(/MATCH +NEXT +APPLIED +INFLIGHT +SNAPSHOT +LOG +NODE +VERSION +RAFT-ID\n/);
    expect(stdout).toMatch(/n1 .* 42 +- +41 +- +- +16Mi +AVAILABLE +1\.2\.3 +7\n/);
    expect(stdout).toMatch(/n2 .* 40 +41 +- +3,paused +25% of 12Mi,failed 2x +- +AVAILABLE +1\.2\.3 +8\n/);
  });

  it('says what is out of the ordinary: learners, a joint configuration, a transfer, failing disks', async () => {
    const error = { kind: 'snapshot_corrupt', path: '/s', message: 'damaged (/s)', at: '' };
    const digests = { n2: 'b', n1: 'a' };
    const [first, second] = cluster.status.members;
    cluster.status = ClusterStatus.create({
      ...cluster.status,
      learners: ['n4'],
      joint: { incoming: ['n1', 'n4'], outgoing: ['n1', 'n2'], learners_next: ['n2'], auto_leave: true },
      transfer_target: 'n2',
      members: [
        Member.create({
          ...first,
          last_words: [{ ...error, kind: 'storage_failed', message: 'EIO (/log)' }],
        }),
        Member.create({
          ...second,
          report: { name: 'n2', disk_errors: [error], state_difference: { index: 64, digests } },
        }),
      ],
    });
    const { stdout } = await runInProcess(['cluster', 'status', ...peer]);
    expect(stdout).toMatch(/Learners: +1\nJoint: +n1, n2 gives way to n1, n4\n/);
    expect(stdout).toMatch(/Transfer: +leadership is being handed to n2\n/);
    expect(stdout).toMatch(/Disk: +n1, before it stopped: storage_failed: EIO \(\/log\)\n/);
    expect(stdout).toMatch(/State: +differs at index 64 between n1, n2: /);
    expect(stdout).toMatch(/Disk: +n2: snapshot_corrupt: damaged \(\/s\)\n/);
  });

  it('says how many work without a copy, and names those that are silent; the table is of those with one', async () => {
    const workers = Array.from({ length: 300 }, (_, at) => worker(at));
    const { members } = cluster.status;
    cluster.status.workers = workers.map(({ name }) => name);
    cluster.status.members = [...members, ...workers];
    const { stdout } = await runInProcess(['cluster', 'status', ...peer]);
    expect(stdout).toMatch(
      /Workers: +300, without a copy of the state; 7 silent: w0, w1, w2, w3, w4 and 2 more\n/,
    );
    expect(stdout).not.toContain('worker ');
    cluster.status.members = [...members, worker(7)];
    cluster.status.workers = ['w7'];
    const calm = await runInProcess(['cluster', 'status', ...peer]);
    expect(calm.stdout).toMatch(/Workers: +1, without a copy of the state\n/);
    const json = await runInProcess(['cluster', 'status', '-o', 'json', ...peer]);
    expect(JSON.parse(json.stdout)).toMatchObject({
      workers: ['w7'],
      members: [
        { name: 'n1' },
        { name: 'n2' },
        { name: 'w7', role: 'worker', raft_id: null, state: null, lag: null },
      ],
    });
  });

  it('prints JSON and YAML as the HTTP API does, null for what is not there', async () => {
    const { stdout } = await runInProcess(['cluster', 'status', '-o', 'json', ...peer]);
    expect(JSON.parse(stdout)).toMatchObject({
      cluster_id: 'c1',
      leader: 'n1',
      term: 3,
      joint: null,
      transfer_target: null,
      stale: false,
      members: [
        { name: 'n1', snapshot: null, next_index: null, report: { applied_index: 41, vote: null } },
        { name: 'n2', last_contact_seconds: 75.25, snapshot: { taken_bytes: 3145728 }, report: null },
      ],
      node: { name: 'n1', role: 'leader' },
    });
    const yaml = await runInProcess(['cluster', 'status', '-o', 'yaml', ...peer]);
    expect(yaml.stdout).toContain('failure_tolerance: 0\n');
    expect((await runInProcess(['cluster', 'status', '-o', 'name', ...peer])).stdout).toBe('n1\nn2\n');
  });

  it('shows what a node knows by itself where there is no leader, and exits with 3', async () => {
    withoutLeader(new JarvisError('no_leader', 'the cluster has no leader at present'));
    const table = await runInProcess(['cluster', 'status', ...peer]);
    expect(table.status).toBe(3);
    expect(table.stderr).toContain('the cluster has no leader at present');
    expect(table.stdout).toMatch(/Leader: +none\n/);
    expect(table.stdout).toMatch(
      /Voters: +2\nSeen by: +n1 alone \(pre_candidate, voted for n2\); it may be old\n/,
    );
    expect(table.stdout).toMatch(/n2 +voter +unknown,silent +- +2\.5s/);
    const json = await runInProcess(['cluster', 'status', '-o', 'json', ...peer]);
    expect(json.status).toBe(3);
    expect(JSON.parse(json.stdout)).toMatchObject({
      leader: null,
      stale: true,
      failure_tolerance: null,
      members: [{ lag: null, match_index: null, paused: null, inflight: null }],
    });
    // Once around, not for as long as other commands are patient.
    expect(cluster.requests<GetClusterRequest>('getCluster')).toHaveLength(4);
  });

  it('says nothing but why where no node answers', async () => {
    cluster.stop();
    const gone = await runInProcess(['cluster', 'status', '-o', 'json', ...peer]);
    expect(gone).toMatchObject({ status: 3, stdout: '' });
    expect(gone.stderr).toContain(`tried ${cluster.address}`);
  });

  it('says what the cluster answered where no node says what it knows', async () => {
    cluster.before = () => {
      throw new JarvisError('unavailable', 'this node is starting');
    };
    const starting = await runInProcess(['cluster', 'status', ...peer]);
    expect(starting).toMatchObject({ status: 3, stdout: '' });
    expect(starting.stderr).toContain('this node is starting');
  });
});
