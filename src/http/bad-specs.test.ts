/** Specs that nobody should send: each fault is told with its path, and nothing of it is proposed. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { silentLog } from '../lib/log.ts';
import { testOperations } from '../operations/operations.test-kit.ts';
import { TestCluster } from '../operations/test-cluster.test-kit.ts';
import { inProcessRemotes } from '../operations/test-remotes.test-kit.ts';
import { checkTaskSpec } from '../spec/task-schema.ts';
import type { HttpServer } from './server.ts';
import { createHttpServer } from './server.ts';

const MIB = 1024 * 1024;
const command = ['true'];
const READY = { ready: true, reason: '' };

let cluster: TestCluster;
let server: HttpServer;

beforeEach(() => {
  cluster = new TestCluster(['n1']);
  cluster.register('n1', 'n1:7101');
  const operations = testOperations(cluster, 'n1', {
    remotes: inProcessRemotes(new Map()),
    localLogs: { read: async function* () {} },
  });
  server = createHttpServer({ operations, readiness: () => READY, log: silentLog });
});

afterEach(async () => {
  await server.close(0);
});

function chain(size: number): object[] {
  return Array.from({ length: size }, (_, at) => ({
    id: `t${at}`,
    command,
    dependencies: at === 0 ? [] : [`t${at - 1}`],
  }));
}

const wide = Object.fromEntries(Array.from({ length: 200 }, (_, at) => [`p${at}`, 'x'.repeat(1000)]));

describe('is refused with 422 and the path of each fault:', () => {
  it.each<[what: string, url: string, body: object, paths: readonly string[]]>([
    [
      'negative quantities',
      '/tasks',
      { command, resources: { cpu: -1, memory: '-1Gi' }, limits: { cpu: '-500m', memory: -1, pids: -5 } },
      ['resources.cpu', 'resources.memory', 'limits.cpu', 'limits.memory', 'limits.pids'],
    ],
    [
      'quantities that are no numbers',
      '/tasks',
      { command, resources: { cpu: 'NaN', memory: 'Infinity' }, limits: { cpu: 'lots', memory: '8Gb' } },
      ['resources.cpu', 'resources.memory', 'limits.cpu', 'limits.memory'],
    ],
    [
      'huge quantities',
      '/tasks',
      {
        command,
        resources: { cpu: 9e15, memory: '99999999Ei' },
        limits: { cpu: '9'.repeat(400), pids: 2 ** 52 },
      },
      ['resources.cpu', 'resources.memory', 'limits.cpu', 'limits.pids'],
    ],
    [
      'times without end',
      '/tasks',
      { command, timeout: 9e15, stop_grace: '-1s', retry_policy: { backoff_base: -2, max_attempts: 1e9 } },
      ['timeout', 'stop_grace', 'retry_policy.max_attempts', 'retry_policy.backoff_base'],
    ],
    ['an environment of 10 MB', '/tasks', { command, env: { A: 'x'.repeat(10 * MIB) } }, ['env']],
    ['an unknown priority', '/tasks', { command, priority: 'urgent' }, ['priority']],
    [
      'several, in several tasks',
      '/tasks/batch',
      { tasks: [{ command, priority: 'P9' }, { command }, { command: [], resources: { cpu: 'x' } }] },
      ['tasks[0].priority', 'tasks[2].command', 'tasks[2].resources.cpu'],
    ],
    ['a DAG of 100,000 tasks', '/tasks/dag', { name: 'd', tasks: chain(100_000) }, ['tasks']],
    [
      'a task that depends on itself',
      '/tasks/dag',
      { name: 'd', tasks: [{ id: 'a', command, dependencies: ['a'] }] },
      ['tasks[0].dependencies[0]'],
    ],
    [
      'more tasks of a template than a batch may have',
      '/tasks/batch',
      { template: { command }, count: 1e9 },
      ['count'],
    ],
    [
      'a small template that grows beyond a task',
      '/tasks/batch',
      {
        template: { command: ['x', ...Array.from({ length: 2000 }, (_, at) => `{{p${at % 200}}}`)] },
        parameters: [wide, wide],
      },
      ['parameters[0]', 'parameters[1]'],
    ],
    [
      'a key with two maxima',
      '/tasks/batch',
      {
        tasks: [3, 3, 4].map((max) => ({ command, concurrency: { key: 'db', max } })),
      },
      ['tasks[2].concurrency.max'],
    ],
    [
      'a key with two maxima in a DAG',
      '/tasks/dag',
      {
        name: 'd',
        tasks: [1, 2].map((max) => ({ id: `t${max}`, command, concurrency: { key: 'db', max } })),
      },
      ['tasks[1].concurrency.max'],
    ],
  ])('%s', async (_what, url, body, paths) => {
    const { index } = cluster;
    for (const route of [url, '/plan']) {
      const kind = { '/tasks/batch': 'Batch', '/tasks/dag': 'Dag', '/tasks': 'Task' }[url];
      const payload = route === url ? body : { kind, ...body };
      const response = await server.app.inject({ method: 'POST', url: route, payload });
      const told = response.json<{ code: string; faults: { path: string; message: string }[] }>();
      expect({ status: response.statusCode, code: told.code }).toEqual({ status: 422, code: 'invalid' });
      expect(told.faults.map(({ path }) => path)).toEqual(paths);
      expect(told.faults.every(({ message }) => message.length > 0 && message.length < 1000)).toBe(true);
    }
    expect(cluster.index).toBe(index);
  });

  it.each([NaN, Infinity, -Infinity, -0, 2 ** 1023])('the number %d, which YAML can say', (number) => {
    const checked = checkTaskSpec({ command, resources: { cpu: number, memory: number } });
    expect(checked.type === 'invalid' && checked.faults.map(({ path }) => path.join('.'))).toEqual([
      'resources.cpu',
      'resources.memory',
    ]);
  });
});
