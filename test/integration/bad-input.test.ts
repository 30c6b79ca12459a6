/** Bad input of every kind: one clear line with the thing, the value and what is allowed, and nothing written. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { cp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { createServer } from 'node:net';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { ProblemJson } from '../support/api.ts';
import { TestCluster } from '../support/cluster.ts';
import { freePort, HOST } from '../support/ports.ts';
import { runProgram, type RunResult } from '../support/program.ts';
import { prepareCluster, startCluster } from '../support/test-cluster.ts';
import { waitFor } from '../support/wait.ts';

/** Runs all the time; what is refused must not disturb it. */
let cluster: TestCluster;
let listen: string;
let http: string;

beforeAll(async () => {
  cluster = await TestCluster.create({ nodes: 1 });
  listen = `${HOST}:${await freePort()}`;
  http = `${HOST}:${await freePort()}`;
  await cluster.start();
});

afterAll(async () => {
  await cluster.dispose();
});

/** Of a blank node; every test changes what it is about. */
function flags(changes: Readonly<Record<string, string | null>> = {}): string[] {
  const all: Record<string, string | null> = {
    '--name': 'n1',
    '--data-dir': blankDirectory(),
    '--listen': listen,
    '--http': http,
    '--peers': `n1=${listen}`,
    ...changes,
  };
  return Object.entries(all).flatMap(([flag, value]) => (value === null ? [] : [flag, value]));
}

function blankDirectory(): string {
  return path.join(cluster.directory, 'blank');
}

function configFile(text: string): string {
  const file = path.join(cluster.directory, 'bad-config.yaml');
  writeFileSync(file, text);
  return file;
}

/** One line for people on stderr, exit code 2, and nothing else. */
function expectRefused(result: RunResult, ...mentions: readonly string[]): void {
  expect(result).toMatchObject({ status: 2, stdout: '' });
  expect(result.stderr).toMatch(/^jarvis(d|ctl): [^\n]+\n$/);
  for (const mention of mentions) expect(result.stderr).toContain(mention);
}

/** Content of every file below, by path. */
function contentOf(directory: string): Readonly<Record<string, string>> {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true });
  return Object.fromEntries(
    files
      .filter((file) => file.isFile())
      .map((file) => path.join(file.parentPath, file.name))
      .sort()
      .map((file) => [file, createHash('sha256').update(readFileSync(file)).digest('hex')]),
  );
}

describe('jarvisd refuses', () => {
  // Each start tells all that is wrong with it.
  it.each<[string, Readonly<Record<string, string | null>>, readonly string[]]>([
    ['an unknown flag', { '--nmae': 'n1' }, ['--nmae', '--name']],
    [
      'missing settings, bad names and choices',
      { '--http': null, '--name': 'n 1', '--log-level': 'loud' },
      ['http: is required', 'name: "n 1"', 'letters', 'log_level: "loud"', 'warn'],
    ],
    [
      'bad addresses',
      { '--http': 'nowhere', '--listen': '127.0.0.1:70000' },
      ['http: "nowhere"', 'listen: "127.0.0.1:70000"', 'host:port'],
    ],
    [
      'bad quantities, unknown resources and drivers',
      { '--capacity': 'cpu=lots,memory=8Gb,gpu=1', '--drivers': 'process,podman' },
      ['capacity.cpu', 'lots', 'capacity.memory', '8Gb', 'capacity.gpu', 'cpu, memory', 'podman', 'noop'],
    ],
    ['bad peers', { '--peers': 'n1,n 2=127.0.0.1:7102' }, ['peers', 'n1=', 'n 2', 'host:port']],
    [
      'peers without this node',
      { '--peers': 'n2=127.0.0.1:7102,n3=127.0.0.1:7103' },
      ['peers', 'n1', 'n2, n3'],
    ],
    ['peers with another address', { '--peers': 'n1=127.0.0.1:7102' }, ['peers', '127.0.0.1:7102']],
    ['a public address without TLS', { '--http': '0.0.0.0:8101' }, ['http', '0.0.0.0:8101', '--insecure']],
    ['a config file that is not there', { '--config': '/nonexistent/file.yaml' }, ['/nonexistent/file.yaml']],
  ])('%s', async (_what, changes, mentions) => {
    expectRefused(await runProgram('jarvisd', flags(changes)), ...mentions);
    expect(existsSync(blankDirectory())).toBe(false);
  });

  it.each<[string, string, readonly string[]]>([
    [
      'unknown keys and bad values',
      'hearbeat: {interval: 2}\nheartbeat: {intervall: 2, interval: soon}\n',
      ['hearbeat', 'heartbeat.intervall', 'interval, warning, timeout', 'heartbeat.interval', 'soon'],
    ],
    ['a wrong type', 'heartbeat: [soon]\n', ['heartbeat', 'must be an object', 'a list of 1']],
    [
      'values that do not go together',
      'heartbeat: {interval: 5s, warning: 6s}\n',
      ['heartbeat', '5000', '6000'],
    ],
    ['what is no map', '- a\n', ['bad-config.yaml', 'map']],
    ['what is no YAML', 'a: [\n', ['bad-config.yaml']],
  ])('a config file with %s', async (_what, text, mentions) => {
    expectRefused(await runProgram('jarvisd', flags({ '--config': configFile(text) })), ...mentions);
    expect(existsSync(blankDirectory())).toBe(false);
  });

  it('an unknown variable', async () => {
    const env = { JARVISD_CAPACTIY: 'cpu=1' };
    expectRefused(await runProgram('jarvisd', flags(), { env }), 'JARVISD_CAPACTIY', 'JARVISD_CAPACITY');
    expect(existsSync(blankDirectory())).toBe(false);
  });

  it.each(['--listen', '--http'])('a port in use for %s', async (flag) => {
    const server = createServer();
    const taken = await freePort();
    await new Promise<void>((resolve) => {
      server.listen({ host: HOST, port: taken, exclusive: true }, resolve);
    });
    const address = `${HOST}:${taken}`;
    const peers = flag === '--listen' ? { '--peers': `n1=${address}` } : {};
    try {
      const result = await runProgram('jarvisd', flags({ [flag]: address, ...peers }));
      expectRefused(result, address, 'in use');
    } finally {
      server.close();
    }
    expect(existsSync(blankDirectory())).toBe(false);
  });

  it('a directory that is none of its own', async () => {
    const foreign = path.join(cluster.directory, 'foreign');
    mkdirSync(foreign);
    writeFileSync(path.join(foreign, 'thesis.txt'), 'precious');
    const before = contentOf(foreign);
    const result = await runProgram('jarvisd', flags({ '--data-dir': foreign }));
    expectRefused(result, foreign, 'thesis.txt', 'empty');
    expect(contentOf(foreign)).toEqual(before);
  });

  it('a path that is a file', async () => {
    const file = path.join(cluster.directory, 'a-file');
    writeFileSync(file, 'precious');
    expectRefused(await runProgram('jarvisd', flags({ '--data-dir': file })), file, 'directory');
    expect(readFileSync(file, 'utf8')).toBe('precious');
  });

  it('a directory that another process has open', async () => {
    const { dataDir } = cluster.node('n1').settings;
    const identity = readFileSync(path.join(dataDir, 'identity.json'), 'utf8');
    const starts = readFileSync(path.join(dataDir, 'starts.json'), 'utf8');
    const result = await runProgram('jarvisd', flags({ '--data-dir': dataDir }));
    expectRefused(result, dataDir, 'in use', String(cluster.node('n1').pid));
    expect(readFileSync(path.join(dataDir, 'identity.json'), 'utf8')).toBe(identity);
    expect(readFileSync(path.join(dataDir, 'starts.json'), 'utf8')).toBe(starts);
    expect((await cluster.api().submit({ command: ['true'] })).status).toBe('PENDING');
  });

  it('the directory of another node', async () => {
    const other = await startCluster({ nodes: 1 });
    await other.stopAll();
    const { dataDir } = other.node('n1').settings;
    const before = contentOf(dataDir);
    const changes = { '--name': 'n2', '--data-dir': dataDir, '--peers': `n2=${listen}` };
    expectRefused(await runProgram('jarvisd', flags(changes)), dataDir, '"n1"', '"n2"');
    expect(contentOf(dataDir)).toEqual(before);
  });
});

describe('a directory of another cluster', () => {
  it('is refused by the members of this one, which go on', async () => {
    const foreign = await prepareCluster();
    const [stolen] = foreign.nodes;
    const ours = await startCluster();
    await foreign.start();
    await foreign.stopAll();
    const victim = ours.node('n1');
    await ours.kill('n1');
    await rm(victim.settings.dataDir, { recursive: true });
    await cp(stolen?.settings.dataDir ?? '', victim.settings.dataDir, { recursive: true });
    const before = readFileSync(path.join(victim.settings.dataDir, 'identity.json'), 'utf8');
    const leader = await ours.leader({ not: 'n1' });
    const { term, cluster_id: clusterId } = await leader.api.cluster();
    victim.start();
    const end = await waitFor('the end of the foreigner', () => !victim.isRunning && victim.ended);
    expect(end).toEqual({ code: 2, signal: null });
    const complaint = victim.log().trimEnd().split('\n').at(-1) ?? '';
    expect(complaint).toMatch(/^jarvisd: /);
    expect(complaint).toContain(clusterId);
    expect(readFileSync(path.join(victim.settings.dataDir, 'identity.json'), 'utf8')).toBe(before);
    expect(await leader.api.cluster()).toMatchObject({ term, cluster_id: clusterId });
  });
});

describe('jarvisctl', () => {
  it('says which peer cannot be reached', async () => {
    const peer = `${HOST}:${await freePort()}`;
    const result = await cluster.cli(['ls', '--peer', peer]);
    expect(result).toMatchObject({ status: 3, stdout: '' });
    expect(result.stderr).toMatch(/^jarvisctl: [^\n]+\n$/);
    expect(result.stderr).toContain(peer);
  });

  it('names every fault of a spec, and submits nothing', async () => {
    const before = await cluster.api().tasks();
    const spec = ['nmae: a', 'command: []', 'resources: {cpu: lots}', 'priority: urgent', 'timeout: soon'];
    const result = await cluster.cli(['submit', '-f', '-'], { stdin: spec.join('\n') });
    expect(result).toMatchObject({ status: 2, stdout: '' });
    const lines = result.stderr.trimEnd().split('\n');
    for (const [path_, mention] of [
      ['nmae', 'name'],
      ['command', ''],
      ['resources.cpu', 'lots'],
      ['priority', 'urgent'],
      ['timeout', 'soon'],
    ] as const) {
      const line = lines.find((each) => each.includes(path_));
      expect(line, `${path_} in ${result.stderr}`).toContain(mention);
    }
    expect(lines).toHaveLength(5);
    // The second document is at fault: none of the two is submitted.
    const both = 'command: [a]\n---\ncommand: 7\n';
    expectRefused(await cluster.cli(['submit', '-f', '-'], { stdin: both }), 'command');
    expect(await cluster.api().tasks()).toHaveLength(before.length);
  });

  it.each<[string, readonly string[], readonly string[]]>([
    ['an unknown flag', ['ls', '--stauts', 'PENDING'], ['--stauts', '--status']],
    ['an unknown command', ['sumbit'], ['sumbit', 'submit']],
    ['a bad status', ['ls', '--status', 'DONE'], ['DONE', 'COMPLETED']],
    ['a bad peer', ['ls', '--peer', 'nowhere'], ['nowhere', 'host:port']],
    ['a file that is not there', ['submit', '-f', '/nonexistent/task.yaml'], ['/nonexistent/task.yaml']],
    ['a bad quantity', ['run', '--cpu', 'lots', '--', 'true'], ['lots']],
  ])('refuses %s', async (_what, args, mentions) => {
    const result = await cluster.cli(args);
    expectRefused(result, ...mentions);
    expect(result.stderr.trimEnd()).not.toContain('\n');
  });

  it('says that there is no such task', async () => {
    const result = await cluster.cli(['get', 'task-0000000000000']);
    expect(result).toMatchObject({ status: 1, stdout: '' });
    expect(result.stderr).toContain('task-0000000000000');
  });
});

describe('HTTP', () => {
  it.each<[string, string, number, string, string | null]>([
    ['no JSON', '{"command": ["true"', 400, 'malformed', null],
    ['an unknown field', '{"command": ["true"], "nmae": "a"}', 422, 'invalid', 'nmae'],
    [
      'an unknown field within',
      '{"command": ["true"], "resources": {"gpu": 1}}',
      422,
      'invalid',
      'resources.gpu',
    ],
    ['a wrong type', '{"command": "true"}', 422, 'invalid', 'command'],
    [
      'a bad quantity',
      '{"command": ["true"], "resources": {"cpu": "lots"}}',
      422,
      'invalid',
      'resources.cpu',
    ],
    ['nothing', '{}', 422, 'invalid', 'command'],
  ])('refuses %s', async (_what, body, status, code, where) => {
    const before = await cluster.api().tasks();
    const answer = await cluster.api().call('POST', '/tasks', body);
    expect(answer.headers.get('content-type')).toContain('application/problem+json');
    const problem = JSON.parse(answer.text) as ProblemJson;
    expect({ status: answer.status, code: problem.code }).toEqual({ status, code });
    expect(problem.detail).not.toBe('');
    expect(problem.faults?.map((fault) => fault.path)).toEqual(where === null ? undefined : [where]);
    expect(await cluster.api().tasks()).toHaveLength(before.length);
  });

  it('refuses a body over 16 MiB', async () => {
    const body = JSON.stringify({ command: ['true', 'x'.repeat(17 * 1024 * 1024)] });
    expect(await postedStatus(body)).toBe(413);
  });

  it('refuses paths that do not exist', async () => {
    const answer = await cluster.api().call('GET', '/taks', null);
    expect(answer.status).toBe(404);
    expect(JSON.parse(answer.text)).toMatchObject({ code: 'not_found', status: 404 });
    expect((await cluster.api().call('GET', '/tasks/task-0000000000000', null)).status).toBe(404);
  });

  it('refuses parameters that do not exist', async () => {
    const answer = await cluster.api().call('GET', '/tasks?stauts=PENDING', null);
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.text)).toMatchObject({ faults: [{ path: 'stauts' }] });
  });
});

/** The answer may come before the whole body has gone out, and the connection be closed then. */
function postedStatus(body: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    const call = request(`http://${cluster.node('n1').settings.http}/tasks`, { method: 'POST', headers });
    call.once('response', (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    call.on('error', reject);
    call.end(body);
  });
}
