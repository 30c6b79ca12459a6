/** A rolling upgrade under load, from the newest build that knows nothing of cluster versions (docs/adr/0012). */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { credentials } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';

import { StateDigestsClient, type DigestsReply } from '../../src/generated/state_digests.ts';
import { FINAL_STATUSES, type ProblemJson, type TaskJson } from '../support/api.ts';
import type { TestCluster } from '../support/cluster.ts';
import { FIRST_VERSION_COMMIT, historyObstacle, layOutBuild } from '../support/earlier-build.ts';
import type { NodeProcess } from '../support/node-process.ts';
import { prepareCluster } from '../support/test-cluster.ts';
import { waitFor, within } from '../support/wait.ts';
import { linesOf, submitUntilAcknowledged } from '../support/workload.ts';

const RUNNING = 12;
const LINES = 3;
const PAUSE_MS = 20;
/** Of the stream, by each mixture of builds: more than there are entries between two digests that members compare. */
const SUBMITTED_EACH = 60;
const END_TIMEOUT_MS = 60_000;
const TIMEOUT_MS = 300_000;

const obstacle = historyObstacle(FIRST_VERSION_COMMIT);
if (obstacle !== null) process.stderr.write(`SKIPPED: an upgrade from an earlier build: ${obstacle}\n`);

// Also in CI: a clone without history has no earlier build, and nothing that a script installs brings it.
describe.skipIf(obstacle !== null)('an upgrade, one node at a time', () => {
  it(
    'loses no task, restarts none, and opens what is new once the last node is upgraded',
    async () => {
      const cluster = await prepareCluster({ killTasksOnExit: false, joining: 1 });
      const earlier = layOutBuild(FIRST_VERSION_COMMIT, path.join(cluster.directory, 'earlier'));
      for (const node of cluster.nodes) node.become(earlier);
      await cluster.start();
      const running = await startTasks(cluster);
      const stream = submitStream(cluster);
      await stream.more(SUBMITTED_EACH);

      // A follower first; then whoever leads, so that an upgraded node leads while there is an earlier one.
      const leader = await cluster.leader();
      const [first, last] = await cluster.followers();
      if (first === undefined || last === undefined) throw new Error('there are three');
      await upgrade(first);
      await expectOldLeader(cluster, first, leader);
      await stream.more(SUBMITTED_EACH);
      await upgrade(leader);
      await stream.more(SUBMITTED_EACH);
      await leadWith(cluster, first);
      const waiting = await submitTooLarge(cluster, first);
      await stream.more(SUBMITTED_EACH);
      for (const { api } of [first, leader]) {
        const answer = await ledBy(cluster, first, () => createToken(api));
        expect(answer.status).toBe(503);
        expect(answer.headers.get('retry-after')).toBe('60');
        expect(JSON.parse(answer.text) as ProblemJson).toMatchObject({
          code: 'unavailable',
          detail: `the cluster is at version 1 until ${last.name} is upgraded: createToken needs version 2`,
        });
      }
      const secret = { command: ['true'], env: { TOKEN: { value: 's3cr3t', sensitive: true } } };
      expect(await first.api.call('POST', '/tasks', JSON.stringify(secret))).toMatchObject({
        status: 503,
        text: expect.stringContaining('sensitive variables need version 2'),
      });
      await expectSameState([first, leader, last]);
      expect(formatsOf(cluster)).toEqual([1, 1, 1]);
      expect(await first.api.cluster()).toMatchObject({ cluster_version: 1 });

      await upgrade(last);
      await waitFor('the cluster to be at version 2', () =>
        [first, leader, last].every((node) => node.log().includes('the cluster is at a later version')),
      );
      await stream.more(SUBMITTED_EACH);
      for (const { api } of [first, leader, last]) expect((await createToken(api)).status).toBe(201);
      await waitFor('the data directories to say so', () =>
        formatsOf(cluster).every((format) => format === 2),
      );

      const submitted = await stream.end();
      expect((await cluster.api().task(waiting)).status).toBe('PENDING');
      expect((await cluster.api().call('DELETE', `/tasks/${waiting}`, null)).status).toBe(200);
      await expectRunning(cluster, running);
      writeFileSync(releaseOf(cluster), '');
      await expectAllDone(cluster, [...running.keys(), ...submitted], waiting);
      await expectSameState([first, leader, last]);
      for (const { api } of [first, leader, last]) {
        const { text } = await api.call('GET', '/cluster', null);
        expect(JSON.parse(text)).toMatchObject({ cluster_version: 2, voters: { length: 3 } });
        expect(text).not.toMatch(/state_difference|old_version/);
      }

      await expectNoWayBack(last, earlier);
      const stranger = cluster.node('n4');
      stranger.start();
      expect(await within(stranger.ended, END_TIMEOUT_MS, null)).toMatchObject({ signal: null });
      expect(stranger.logTail(1)).toContain(
        'the cluster is at version 2, and n4 knows version 1 only: start it with a later build',
      );
    },
    TIMEOUT_MS,
  );
});

async function upgrade(node: NodeProcess): Promise<void> {
  expect(await node.end('SIGTERM', END_TIMEOUT_MS)).toEqual({ code: 0, signal: null });
  node.become(null);
  node.start();
  await node.ready();
}

/** What only an upgraded node knows comes to nothing while an earlier one leads; it is said why. */
async function expectOldLeader(
  cluster: TestCluster,
  upgraded: NodeProcess,
  leader: NodeProcess,
): Promise<void> {
  const { status, text } = await ledBy(cluster, leader, () => createToken(upgraded.api));
  expect(status).toBe(503);
  expect((JSON.parse(text) as ProblemJson).detail).toContain(
    `${leader.settings.listen} does not know this request (an earlier version?)`,
  );
}

/** Whatever build each is of, they have made the same of the log. */
async function expectSameState(nodes: readonly NodeProcess[]): Promise<void> {
  const { cluster_id: clusterId } = await (nodes[0] as NodeProcess).api.cluster();
  const digests = await waitFor('an entry at which all keep the digest', async () => {
    const all = await Promise.all(nodes.map((node) => digestsOf(node, clusterId)));
    const index = [...(all[0]?.keys() ?? [])].findLast((one) => all.every((each) => each.has(one)));
    return index !== undefined && all.map((each) => each.get(index));
  });
  expect(digests).toEqual(digests.map(() => digests[0]));
}

/** By index. */
async function digestsOf({ settings }: NodeProcess, clusterId: string): Promise<ReadonlyMap<number, string>> {
  const client = new StateDigestsClient(settings.listen, credentials.createInsecure());
  try {
    const reply = await new Promise<DigestsReply>((resolve, reject) => {
      client.get({ cluster_id: clusterId }, (error, answer) =>
        error === null ? resolve(answer) : reject(error),
      );
    });
    return new Map(reply.digests.map(({ index, digest }) => [index, digest]));
  } finally {
    client.close();
  }
}

/** Started as the earlier build it says why it does not, and is none the worse for it. */
async function expectNoWayBack(node: NodeProcess, earlier: string): Promise<void> {
  await node.end('SIGTERM', END_TIMEOUT_MS);
  node.become(earlier);
  node.start();
  expect(await within(node.ended, END_TIMEOUT_MS, null)).toEqual({ code: 2, signal: null });
  expect(node.logTail(1)).toContain('format 2 of the data directory; this version knows 1');
  node.become(null);
  node.start();
  await node.ready();
}

/** Why no node can hold it stands in its row, which members of all builds make alike. @returns its id */
async function submitTooLarge(cluster: TestCluster, leader: NodeProcess): Promise<string> {
  const task = { command: ['true'], resources: { memory: '512Ti' } };
  const answer = await ledBy(cluster, leader, () => leader.api.call('POST', '/tasks', JSON.stringify(task)));
  expect(answer.status).toBe(201);
  const { id, status_reason: reason } = JSON.parse(answer.text) as TaskJson;
  expect(reason).toContain(' bytes of memory');
  return id;
}

async function leadWith(cluster: TestCluster, node: NodeProcess): Promise<void> {
  await waitFor(`${node.name} to lead`, async () => {
    if ((await cluster.leader()) === node) return true;
    await node.api.call('POST', '/cluster/transfer', JSON.stringify({ to: node.name }));
    return false;
  });
}

/** What comes of it while that node leads: on a busy machine leadership may move. */
async function ledBy<T>(cluster: TestCluster, leader: NodeProcess, ask: () => Promise<T>): Promise<T> {
  for (;;) {
    await leadWith(cluster, leader);
    const answer = await ask();
    if ((await cluster.leader()) === leader) return answer;
  }
}

function createToken(api: NodeProcess['api']) {
  return api.call('POST', '/tokens', JSON.stringify({ name: `of-${api.name}`, role: 'viewer' }));
}

function formatsOf(cluster: TestCluster): readonly number[] {
  return cluster.nodes
    .map(({ settings }) => path.join(settings.dataDir, 'identity.json'))
    .filter((file) => existsSync(file))
    .map((file) => (JSON.parse(readFileSync(file, 'utf8')) as { format: number }).format);
}

function releaseOf(cluster: TestCluster): string {
  return path.join(cluster.directory, 'release');
}

function traceOf(cluster: TestCluster): string {
  return path.join(cluster.directory, 'trace');
}

/** They say that they run, and go on writing until they are released. @returns their processes, by id */
async function startTasks(cluster: TestCluster): Promise<ReadonlyMap<string, string>> {
  const beats = path.join(cluster.directory, 'beats');
  const script =
    `echo "$JARVIS_TASK_ID $JARVIS_ATTEMPT $$" >> ${traceOf(cluster)}; ` +
    `while [ ! -e ${releaseOf(cluster)} ]; do echo line; echo "$JARVIS_TASK_ID" >> ${beats}; sleep 0.3; done`;
  for (let at = 0; at < RUNNING; at += 1)
    await submitUntilAcknowledged(
      cluster,
      { command: ['sh', '-c', script] },
      { key: `running-${at}`, firstNode: at },
    );
  const lines = await waitFor('the start of all tasks', () => {
    const found = linesOf(traceOf(cluster));
    return found.length === RUNNING && found;
  });
  return new Map(
    lines.map((line) => {
      const [id = '', , pid = ''] = line.split(' ');
      return [id, pid];
    }),
  );
}

/** Short tasks, one after the other in several lines, until it is ended. */
function submitStream(cluster: TestCluster) {
  const ids: string[] = [];
  const ending = new AbortController();
  let failure: unknown = null;
  let next = 0;
  const command = ['sh', '-c', `echo "$JARVIS_TASK_ID $JARVIS_ATTEMPT short" >> ${traceOf(cluster)}`];
  const line = async (): Promise<void> => {
    while (!ending.signal.aborted) {
      const at = next++;
      ids.push(
        (await submitUntilAcknowledged(cluster, { command }, { key: `short-${at}`, firstNode: at })).id,
      );
      await delay(PAUSE_MS);
    }
  };
  const done = Promise.all(Array.from({ length: LINES }, line));
  done.catch((error: unknown) => {
    failure = error;
  });
  return {
    /** Resolves once so many more are acknowledged. */
    async more(count: number): Promise<void> {
      const wanted = ids.length + count;
      await waitFor(`${wanted} acknowledged tasks`, () => failure !== null || ids.length >= wanted);
      if (failure !== null) throw failure;
    },
    /** @returns the ids of all */
    async end(): Promise<readonly string[]> {
      ending.abort();
      await done;
      return ids;
    },
  };
}

/** In the same processes as at the beginning, which have gone on writing. */
async function expectRunning(cluster: TestCluster, running: ReadonlyMap<string, string>): Promise<void> {
  const beats = path.join(cluster.directory, 'beats');
  const before = linesOf(beats).length;
  for (const [id, pid] of running) {
    const { status, attempt } = await cluster.api().task(id);
    expect({ id, status, attempt, lives: existsSync(`/proc/${pid}`) }).toEqual({
      id,
      status: 'RUNNING',
      attempt: 1,
      lives: true,
    });
  }
  await waitFor('all of them to write', () => new Set(linesOf(beats).slice(before)).size === running.size);
}

function summary({ id, status, attempt, exit_code: exitCode }: TaskJson): string {
  return `${id} ${status} ${attempt} ${exitCode}`;
}

/** Each at its first attempt, which was begun once, but for one that was cancelled before. */
async function expectAllDone(cluster: TestCluster, ids: readonly string[], cancelled: string): Promise<void> {
  const final = await waitFor('the end of all tasks', async () => {
    const found = await cluster.api().tasks();
    return found.every(({ status }) => FINAL_STATUSES.has(status)) && found;
  });
  const expected = [...ids.map((id) => `${id} COMPLETED 1 0`), `${cancelled} CANCELLED 0 null`];
  expect(final.map(summary).toSorted()).toEqual(expected.toSorted());
  const begun = linesOf(traceOf(cluster)).map((line) => line.split(' ').slice(0, 2).join(' '));
  expect(begun.toSorted()).toEqual(ids.map((id) => `${id} 1`).toSorted());
}
