/** Three nodes as users meet them: any of them takes any request, over HTTP and through jarvisctl. */
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import type { TaskJson } from '../support/api.ts';
import { TestCluster } from '../support/cluster.ts';
import { waitFor } from '../support/wait.ts';

const EXAMPLES = path.join(import.meta.dirname, '../../examples');
const NAMES = ['n1', 'n2', 'n3'] as const;

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.create();
  await cluster.startOrTell();
});

afterAll(async () => {
  await cluster.dispose();
});

afterEach(({ task }) => {
  if (task.result?.state === 'fail') process.stderr.write(cluster.logTails());
});

function shell(script: string, more: object = {}): object {
  return { command: ['sh', '-c', script], retry_policy: { max_attempts: 1 }, ...more };
}

describe('the cluster', () => {
  it('is the same from every node', async () => {
    const views = await Promise.all(cluster.nodes.map(({ api }) => api.cluster()));
    for (const view of views) {
      expect(view).toMatchObject({ voters: [...NAMES], failure_tolerance: 1 });
      expect(view.cluster_id).toBe(views[0]?.cluster_id);
      expect(view.leader).toBe(views[0]?.leader);
    }
    expect(NAMES).toContain(views[0]?.leader);
    expect(views[0]?.members.filter(({ active }) => active)).toHaveLength(3);
  });

  it('knows its nodes', async () => {
    for (const { api } of cluster.nodes) {
      const nodes = await api.nodes();
      expect(nodes.map(({ name }) => name)).toEqual([...NAMES]);
      for (const node of nodes) {
        expect(node).toMatchObject({
          status: 'AVAILABLE',
          role: 'voter',
          capacity: { cpu_millis: 8000, memory_bytes: 16 * 2 ** 30 },
        });
        expect(node.last_heartbeat_at).toMatch(/Z$/);
      }
    }
  });

  it('is shown by jarvisctl', async () => {
    const nodes = await cluster.cli(['node', 'ls', '-o', 'name']);
    expect(nodes).toMatchObject({ status: 0, stdout: 'n1\nn2\nn3\n' });
    const status = await cluster.cli(['cluster', 'status', '-o', 'json']);
    expect(status.status).toBe(0);
    expect(JSON.parse(status.stdout)).toMatchObject({ voters: [...NAMES] });
  });
});

describe('tasks over HTTP', () => {
  it.each(NAMES)('run when submitted through %s', async (name) => {
    const { api } = cluster.node(name);
    const submitted = await api.submit(shell('echo out; echo err >&2; exit 0', { name: `via-${name}` }));
    expect(submitted.id).toMatch(/^task-[0-9a-hjkmnp-tv-z]{13,}$/);
    const task = await cluster.finalTask(submitted.id);
    expect(task).toMatchObject({ status: 'COMPLETED', exit_code: 0, attempt: 1, retry_count: 0 });
    // The output is where it ran, and every node fetches it from there.
    for (const each of cluster.nodes) {
      const logs = await each.api.call('GET', `/tasks/${task.id}/logs`, null);
      expect({ ...logs, text: logs.text.split('\n').sort() }).toMatchObject({
        status: 200,
        text: ['', 'err', 'out'],
      });
    }
    const errors = await api.call('GET', `/tasks/${task.id}/logs?stream=stderr`, null);
    expect(errors.text).toBe('err\n');
  });

  it('spread over the nodes', async () => {
    const tasks = await Promise.all(
      Array.from({ length: 9 }, () => cluster.api().submit(shell('sleep 0.2'))),
    );
    const done = await Promise.all(tasks.map(({ id }) => cluster.finalTask(id)));
    expect(new Set(done.map(({ node }) => node))).toEqual(new Set(NAMES));
  });

  it('are read by every node right after they were written by another', async () => {
    const leader = await cluster.leader();
    const followers = await cluster.followers();
    expect(followers).toHaveLength(2);
    for (let round = 0; round < 15; round += 1) {
      const { id } = await leader.api.submit(shell('true', { name: `round-${round}` }));
      for (const { api } of followers) expect((await api.task(id)).name).toBe(`round-${round}`);
    }
    for (const { api, name } of followers) {
      const { id } = await api.submit(shell('sleep 30', { name: `from-${name}` }));
      await api.cancel(id);
      const task = await leader.api.task(id);
      expect(task.status === 'CANCELLED' || task.status_reason === 'stopping').toBe(true);
    }
  });

  it('are made once per key, through whichever node', async () => {
    const key = 'the-same-key';
    const spec = shell('true', { labels: { once: 'yes' } });
    const answers = await Promise.all(cluster.nodes.map(({ api }) => api.submit(spec, { key })));
    expect(new Set(answers.map(({ id }) => id)).size).toBe(1);
    expect(await cluster.api().tasks('&label=once%3Dyes')).toHaveLength(1);
    const other = JSON.stringify(shell('false'));
    const conflict = await cluster.api().call('POST', '/tasks', other, { key });
    expect(conflict.status).toBe(409);
    expect(JSON.parse(conflict.text)).toMatchObject({ code: 'idempotency_conflict' });
  });

  it('end when they are cancelled through another node', async () => {
    const [first, second] = cluster.nodes;
    if (first === undefined || second === undefined) throw new Error('there are three nodes');
    const marker = path.join(cluster.directory, 'cancelled-task-runs');
    const { id } = await first.api.submit(shell(`echo $$ > ${marker}; sleep 60`));
    await cluster.task(id, ({ status }) => status === 'RUNNING');
    const pid = Number(await waitFor('the task writes its pid', () => readText(marker)));
    await second.api.cancel(id);
    expect((await cluster.finalTask(id)).status).toBe('CANCELLED');
    // CANCELLED means that nothing of it runs any more.
    expect(() => process.kill(pid, 0)).toThrow(/ESRCH/);
    expect((await first.api.call('DELETE', `/tasks/${id}`, null)).status).toBe(200);
  });
});

describe('tasks through jarvisctl', () => {
  it.each(NAMES)('run through %s', async (peer) => {
    const run = await cluster.cli(['run', '--', 'sh', '-c', 'echo hello; exit 7'], { peer });
    expect(run).toMatchObject({ stdout: 'hello\n', status: 7 });
  });

  it('hand on the signal that ended them', async () => {
    expect((await cluster.cli(['run', '--', 'sh', '-c', 'kill -9 $$'])).status).toBe(137);
  });

  it('are submitted from a file, waited for and read', async () => {
    const submitted = await cluster.cli(['submit', '-f', path.join(EXAMPLES, 'hello.yaml'), '-o', 'name']);
    expect(submitted).toMatchObject({ status: 0, stderr: '' });
    const id = submitted.stdout.trim();
    expect(await cluster.cli(['wait', id])).toMatchObject({ status: 0 });
    const { node } = await cluster.api().task(id);
    expect(await cluster.cli(['logs', id])).toMatchObject({ status: 0, stdout: `hello from ${node}\n` });
    const got = await cluster.cli(['get', id.slice(0, 12), '-o', 'json']);
    expect(JSON.parse(got.stdout)).toMatchObject({ id, status: 'COMPLETED' });
    expect((await cluster.cli(['ls'])).stdout).toContain(id);
  });

  it('come several in one file, with results', async () => {
    const file = path.join(EXAMPLES, 'several.yaml');
    const submitted = await cluster.cli(['submit', '-f', file, '-o', 'name']);
    const ids = submitted.stdout.trim().split('\n');
    expect(ids).toHaveLength(3);
    expect(await cluster.cli(['wait', ...ids])).toMatchObject({ status: 0 });
    const tasks = await Promise.all(ids.map((id) => cluster.api().task(id)));
    expect(tasks.find(({ name }) => name === 'answer')).toMatchObject({ result: { answer: 42 } });
    const listed = await cluster.cli(['ls', '-l', 'example=several', '-o', 'name']);
    expect(listed.stdout.trim().split('\n').sort()).toEqual(ids.toSorted());
  });

  it('show their output while they run', async () => {
    const flag = path.join(cluster.directory, 'go-on');
    const script = `echo first; while [ ! -e ${flag} ]; do sleep 0.05; done; echo second; exit 3`;
    const { id } = await cluster.api().submit(shell(script));
    await waitFor('the first line', async () => {
      const logs = await cluster.cli(['logs', id]);
      return logs.stdout === 'first\n';
    });
    const following = cluster.cli(['logs', '-f', id]);
    const waiting = cluster.cli(['wait', id]);
    const impatient = await cluster.cli(['wait', id, '--timeout', '200ms']);
    expect(impatient.status).toBe(124);
    await cluster.cli(['run', '--', 'touch', flag]);
    expect(await following).toMatchObject({ status: 0, stdout: 'first\nsecond\n' });
    expect((await waiting).status).toBe(3);
  });

  it('are cancelled', async () => {
    const detached = await cluster.cli(['run', '--detach', '--', 'sleep', '60']);
    const id = /task-[0-9a-hjkmnp-tv-z]+/.exec(detached.stdout)?.[0] ?? '';
    expect(await cluster.cli(['cancel', id])).toMatchObject({ status: 0 });
    expect((await cluster.finalTask(id)).status).toBe('CANCELLED');
    expect((await cluster.cli(['wait', id])).status).toBe(1);
  });
});

describe('at the end', () => {
  it('a stop in order leaves nothing behind', async () => {
    const running = await cluster.api().submit(shell('sleep 60'));
    await cluster.task(running.id, ({ status }: TaskJson) => status === 'RUNNING');
    const ends = await cluster.stopAll();
    expect(ends).toEqual(NAMES.map(() => ({ code: 0, signal: null })));
    await waitFor('no process is left', () => cluster.processes().length === 0, { timeoutMs: 10_000 });
  });
});

function readText(file: string): string | null {
  try {
    const text = readFileSync(file, 'utf8');
    return text.endsWith('\n') ? text : null;
  } catch {
    // Not written yet.
    return null;
  }
}
