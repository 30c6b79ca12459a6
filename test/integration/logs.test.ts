/** Output: followed while nodes die, handed over by one that leaves, gone when its time is over; and how attempts end. */
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { pino } from 'pino';
import { describe, expect, it } from 'vitest';

import { HandOverRequests } from '../../src/agent/logs/hand-over-service.ts';
import { ChannelPool } from '../../src/rpc/channel.ts';
import type { ProblemJson, TaskJson } from '../support/api.ts';
import { SHORT_HEARTBEAT, type TestCluster } from '../support/cluster.ts';
import { followLogs } from '../support/log-follower.ts';
import type { NodeProcess } from '../support/node-process.ts';
import { startCluster } from '../support/test-cluster.ts';
import { waitFor } from '../support/wait.ts';

const LINES = 2000;

/** Writes so many lines, and as many more for each of the files `go-1`, `go-2` … that come to be. */
function talkative(cluster: TestCluster, name: string, parts: number): object {
  const go = (part: number): string => path.join(cluster.directory, `${name}-${part}`);
  const script = Array.from({ length: parts }, (_, part) => {
    const lines = `seq -f '%g of ${part}' ${LINES}`;
    return part === 0 ? lines : `while [ ! -e ${go(part)} ]; do sleep 0.05; done; ${lines}`;
  });
  return { name, command: ['sh', '-c', script.join('; ')], retry_policy: { max_attempts: 1 } };
}

function goOn(cluster: TestCluster, name: string, part: number): void {
  writeFileSync(path.join(cluster.directory, `${name}-${part}`), '');
}

function wholeOutput(parts: number): string {
  const lines = Array.from({ length: parts }, (_, part) =>
    Array.from({ length: LINES }, (_line, at) => `${at + 1} of ${part}\n`).join(''),
  );
  return lines.join('');
}

/** On a node that does not lead; where it does, another one is to lead. */
async function submitBesideLeader(
  cluster: TestCluster,
  spec: object,
): Promise<{ task: TaskJson; leader: NodeProcess; worker: NodeProcess; other: NodeProcess }> {
  const { id } = await cluster.api().submit(spec);
  const task = await cluster.task(id, ({ status }) => !['PENDING', 'ASSIGNED'].includes(status));
  const worker = cluster.node(task.node ?? '');
  if ((await cluster.leader()) === worker) await cluster.cli(['cluster', 'transfer']);
  const leader = await cluster.leader({ not: worker.name });
  const other = cluster.nodes.find((node) => node !== leader && node !== worker);
  if (other === undefined) throw new Error('there is no third node');
  return { task, leader, worker, other };
}

/** As the leader does it: once the cluster knows that all of it is over. */
async function handOver(cluster: TestCluster, node: NodeProcess): Promise<void> {
  const pool = new ChannelPool();
  try {
    const { cluster_id: clusterId } = await cluster.api().cluster();
    const requests = new HandOverRequests({ clusterId, pool, log: pino({ enabled: false }) });
    const address = node.settings.listen;
    const { signal } = new AbortController();
    await waitFor('all is handed over', async () => {
      await requests.handOver({ name: node.name, address }, signal);
      return true;
    });
  } finally {
    pool.close();
  }
}

describe('following a log', () => {
  it('goes on by itself when the peer is killed, and when the leader is, without losing or repeating a byte', async () => {
    const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT });
    const name = 'talk';
    const { task, leader, other } = await submitBesideLeader(cluster, talkative(cluster, name, 3));
    // Knows of one node to begin with, and hears of the others from it.
    const follower = followLogs(task.id, other.settings.listen);
    await follower.until(`${LINES} of 0\n`);
    await cluster.kill(other.name);
    goOn(cluster, name, 1);
    await follower.until(`${LINES} of 1\n`);
    await cluster.restart(other.name);
    await cluster.kill(leader.name);
    goOn(cluster, name, 2);
    expect(await follower.ended).toBe(0);
    expect(follower.stdout).toBe(wholeOutput(3));
    expect((await cluster.finalTask(task.id)).status).toBe('COMPLETED');
  });

  it('over HTTP outlives the leader', async () => {
    const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT });
    const name = 'talk';
    const { task, leader, other } = await submitBesideLeader(cluster, talkative(cluster, name, 2));
    const response = await fetch(`http://${other.settings.http}/tasks/${task.id}/logs?follow=true`);
    const killed = cluster.kill(leader.name).then(() => goOn(cluster, name, 1));
    expect(await response.text()).toBe(wholeOutput(2));
    await killed;
  });
});

describe('a node that leaves', () => {
  it('leaves the logs of what it finished behind, on another', async () => {
    const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT });
    const { task, worker, other } = await submitBesideLeader(cluster, {
      command: ['sh', '-c', `seq ${LINES}; echo oops >&2; exit 3`],
      retry_policy: { max_attempts: 1 },
    });
    await cluster.finalTask(task.id);
    await handOver(cluster, worker);
    await worker.end('SIGTERM');
    expect((await cluster.cli(['cluster', 'remove', worker.name], { peer: other.name })).status).toBe(0);
    await waitFor(`${worker.name} is removed`, async () => {
      const { status } = await cluster.api().call('DELETE', `/nodes/${worker.name}`, null);
      return status === 200 || status === 404;
    });
    const { attempts } = await cluster.api().task(task.id);
    expect(attempts).toMatchObject([{ node: worker.name, exit_code: 3 }]);
    expect(attempts[0]?.log_node).not.toBe(worker.name);
    for (const node of cluster.nodes.filter(({ isRunning }) => isRunning)) {
      const { stdout, stderr } = await cluster.cli(['logs', task.id], { peer: node.name });
      expect(stdout).toBe(Array.from({ length: LINES }, (_, at) => `${at + 1}\n`).join(''));
      expect(stderr).toBe('oops\n');
    }
  });
});

describe('a log whose time is over', () => {
  it('is gone, and that is said, with what the cluster keeps of it', async () => {
    const cluster = await startCluster({ nodes: 1, retention: { logs: '1s' } });
    const command = ['sh', '-c', 'echo out; echo err >&2; touch left; exit 3'];
    const { id } = await cluster.api().submit({ command, retry_policy: { max_attempts: 1 } });
    await cluster.finalTask(id);
    const answer = await waitFor('the log is gone', async () => {
      const got = await cluster.api().call('GET', `/tasks/${id}/logs`, null);
      return got.status === 410 && got;
    });
    const problem = JSON.parse(answer.text) as ProblemJson & { readonly log_tail: string };
    expect(problem.code).toBe('logs_unavailable');
    expect(problem.detail).toMatch(/was on node n1, which removed it at \S+: logs are kept for 1s/);
    expect(problem.log_tail.split('\n').sort()).toEqual(['', 'err', 'out']);
    const told = await cluster.cli(['logs', id]);
    expect(told.status).toBe(1);
    expect(told.stderr).toContain('logs are kept for 1s');
    const dataDir = cluster.node('n1').settings.dataDir;
    expect(existsSync(path.join(dataDir, 'tasks', id))).toBe(false);
    // A task that writes nothing is another matter: its log is there.
    const silent = await cluster.api().submit({ command: ['true'] });
    await cluster.finalTask(silent.id);
    expect((await cluster.api().call('GET', `/tasks/${silent.id}/logs`, null)).status).toBe(200);
  });
});

describe('the end of an attempt', () => {
  it('shows its steps while they are taken: a cancel, and a timeout', async () => {
    const cluster = await startCluster({ nodes: 1 });
    const stubborn = {
      command: ['sh', '-c', "trap '' TERM; while :; do sleep 0.05; done"],
      stop_grace: '5s',
    };
    const once = { retry_policy: { max_attempts: 1 } };
    const cancelled = await cluster.api().submit({ ...stubborn, ...once });
    await cluster.task(cancelled.id, ({ status }) => status === 'RUNNING');
    await cluster.api().cancel(cancelled.id);
    const late = await cluster.api().submit({ ...stubborn, ...once, timeout: '500ms' });
    for (const [{ id }, reason] of [
      [cancelled, 'cancelled'],
      [late, 'timeout'],
    ] as const) {
      const seen = await cluster.task(id, ({ attempts }) => (attempts.at(-1)?.stopping ?? null) !== null);
      expect(seen.status).toBe('RUNNING');
      const stopping = seen.attempts.at(-1)?.stopping;
      expect(stopping?.reason).toBe(reason);
      expect(Date.parse(stopping?.kill_at ?? '') - Date.parse(stopping?.since ?? '')).toBe(5000);
      // It may be over before that is asked: then there is nothing to see.
      const { stdout } = await cluster.cli(['describe', id]);
      const isOver = (await cluster.api().task(id)).status !== 'RUNNING';
      expect(isOver || stdout.includes(`${reason}: TERM since`)).toBe(true);
    }
    const signal = 'SIGKILL';
    expect(await cluster.finalTask(cancelled.id)).toMatchObject({
      status: 'CANCELLED',
      attempts: [{ status: 'CANCELLED', signal, stopping: null }],
    });
    expect(await cluster.finalTask(late.id)).toMatchObject({
      status: 'PERMANENTLY_FAILED',
      attempts: [{ status: 'FAILED', signal, error: { type: 'Timeout' }, stopping: null }],
    });
  });

  it('comes whatever the task leaves as its result', async () => {
    const cluster = await startCluster({ nodes: 1 });
    const leaves: readonly (readonly [script: string, result: unknown])[] = [
      ['printf \'{"rows": [1, "€"]}\' > $JARVIS_RESULT_FILE', { rows: [1, '€'] }],
      [
        'head -c 1000 /dev/zero | tr "\\0" "[" > $JARVIS_RESULT_FILE; head -c 1000 /dev/zero | tr "\\0" "]" >> $JARVIS_RESULT_FILE',
        null,
      ],
      ['ln -s /dev/zero $JARVIS_RESULT_FILE', null],
      ['ln -s /etc/passwd $JARVIS_RESULT_FILE', null],
      ['mkfifo $JARVIS_RESULT_FILE', null],
      ['mkdir $JARVIS_RESULT_FILE', null],
      ['head -c 5000 /dev/zero | tr "\\0" "1" > $JARVIS_RESULT_FILE', null],
      ['printf "\\"\\377\\"" > $JARVIS_RESULT_FILE', null],
      ['printf "{" > $JARVIS_RESULT_FILE', null],
      ['rm -rf "$(dirname "$JARVIS_RESULT_FILE")"', null],
    ];
    for (const [script, result] of leaves) {
      const { id } = await cluster.api().submit({ command: ['sh', '-c', script] });
      const task = await cluster.finalTask(id);
      expect([script, task.status, task.result]).toEqual([script, 'COMPLETED', result]);
    }
  });
});
