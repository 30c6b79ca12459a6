import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { dev } from '../commands/dev.ts';
import type { DevOptions } from '../commands/dev.ts';
import { TestTerminal } from '../run-cli.test-kit.ts';
import { capacityOf } from './cluster.ts';
import { processStartTime } from '../../lib/process-start.ts';
import { devDirectory, readRecord, writeRecord } from './layout.ts';
import type { DevRecord } from './layout.ts';
import { portOf } from './ports.ts';

/** Stands in for jarvisd: ready at once, or fails as the file `fails` beside the nodes' folders says. */
const FAKE_DAEMON = `
import { createServer } from 'node:http';
import { existsSync, writeFileSync } from 'node:fs';
const flag = (name) => process.argv[process.argv.indexOf(name) + 1];
const directory = flag('--data-dir');
writeFileSync(directory + '/arguments.json', JSON.stringify(process.argv.slice(2)));
console.error('this is', flag('--name'));
if (existsSync(directory + '/../fails') && flag('--name') === 'n2') {
  console.error('cannot go on');
  process.exit(2);
}
const [host, port] = flag('--http').split(':');
createServer((request, response) => response.end('ready')).listen(Number(port), host);
process.on('SIGTERM', () => {
  writeFileSync(directory + '/ended', '');
  process.exit(0);
});
`;

const INSTANCE_DAEMON = `
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
const folder = import.meta.dirname;
const env = { JARVIS_ERROR_FILE: folder + '/data/tasks/1/error.json' };
const task = spawn('sleep', ['1000'], { stdio: 'ignore', detached: true, cwd: '/', env });
process.on('SIGTERM', () => {
  writeFileSync(folder + '/ended', '');
  process.exit(0);
});
writeFileSync(folder + '/task', String(task.pid));
setInterval(() => undefined, 1000);
`;

let home: string;
let directory: string;
let program: string;
const running = new Set<{ terminal: TestTerminal; done: Promise<unknown> }>();

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'jarvis-dev-'));
  directory = join(home, 'jarvis', 'dev');
  program = join(home, 'fake-daemon.mjs');
  writeFileSync(program, FAKE_DAEMON);
});
afterEach(async () => {
  for (const { terminal, done } of running) {
    terminal.interrupt();
    await done;
  }
  running.clear();
  rmSync(home, { recursive: true });
});

function start(options: DevOptions = {}): { terminal: TestTerminal; done: Promise<unknown> } {
  const terminal = new TestTerminal({ env: { XDG_STATE_HOME: home } });
  // What it throws is handed on as a value, so that a test may look at it later.
  const done = dev(terminal, options, program).catch((error: unknown) => error);
  const started = { terminal, done };
  running.add(started);
  return started;
}

async function startReady(options: DevOptions = {}): Promise<ReturnType<typeof start>> {
  const started = start(options);
  await started.terminal.stdout.until(/Ctrl-C ends/);
  return started;
}

function recordNow(): DevRecord {
  const record = readRecord(directory);
  if (record === null) throw new Error('there is no dev.json');
  return record;
}

const addresses = (record: DevRecord): string[] => record.nodes.flatMap((node) => [node.listen, node.http]);

/** Stands in for what the autoscaler makes: a daemon with a task that outlives it and works elsewhere. */
async function makeInstance(): Promise<readonly number[]> {
  const folder = join(directory, 'n1', 'instances', 'instance-1');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'daemon.mjs'), INSTANCE_DAEMON);
  writeFileSync(join(folder, 'node.json'), '{}');
  const daemon = spawn(
    process.execPath,
    [join(folder, 'daemon.mjs'), '--config', join(folder, 'node.json')],
    { stdio: 'ignore', detached: true },
  );
  const task = join(folder, 'task');
  await vi.waitUntil(() => existsSync(task), { timeout: 15_000 });
  return [daemon.pid ?? 0, Number(readFileSync(task, 'utf8'))];
}

describe('dev', () => {
  it('starts the daemons with their flags and says what to type next', async () => {
    const { terminal } = await startReady();
    const { nodes, pid } = recordNow();
    expect(pid).toBe(process.pid);
    expect(nodes.map(({ name }) => name)).toEqual(['n1', 'n2', 'n3']);
    const [, second] = nodes;
    const flags = JSON.parse(readFileSync(join(directory, 'n2', 'arguments.json'), 'utf8')) as string[];
    const peers = nodes.map(({ name, listen }) => `${name}=${listen}`).join(',');
    expect(flags.join(' ')).toBe(
      `--name n2 --data-dir ${join(directory, 'n2')} --listen ${second?.listen} --http ${second?.http} ` +
        `--peers ${peers} --capacity ${capacityOf(3)} --kill-tasks-on-exit`,
    );
    expect(terminal.stdout.text).toContain('jarvisctl run');
    expect(readFileSync(join(directory, 'n1.log'), 'utf8')).toBe('this is n1\n');
  });

  it('ends the daemons on Ctrl-C, and without failure', async () => {
    const { terminal, done } = await startReady();
    terminal.interrupt();
    expect(await done).toBeUndefined();
    for (const { name, process: started } of recordNow().nodes) {
      expect(existsSync(join(directory, name, 'ended'))).toBe(true);
      expect(processStartTime(started?.pid ?? 0)).not.toBe(started?.startTime);
    }
  });

  it('refuses to run twice with the same data', async () => {
    await startReady({ nodes: 1 });
    const { listen } = recordNow().nodes[0] ?? { listen: '' };
    const error = await start().done;
    expect(error).toMatchObject({ code: 'conflict' });
    expect(String(error)).toContain(
      `(pid ${process.pid}) with the data in ${directory}, its nodes are at ${listen}`,
    );
  });

  it('uses the same addresses again, and only with the same number of nodes', async () => {
    const first = await startReady({ nodes: 2 });
    const before = addresses(recordNow());
    first.terminal.interrupt();
    await first.done;
    expect(await start({ nodes: 3 }).done).toMatchObject({
      code: 'invalid',
      message: '--nodes 3: the data is of a cluster of 2 nodes; --fresh begins anew, without it',
    });
    await startReady();
    expect(addresses(recordNow())).toEqual(before);
  });

  it('names the port that another program has taken since', async () => {
    const first = await startReady({ nodes: 1 });
    first.terminal.interrupt();
    await first.done;
    const { http } = recordNow().nodes[0] ?? { http: '' };
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(portOf(http), '127.0.0.1', resolve));
    try {
      expect(await start().done).toMatchObject({
        code: 'invalid',
        message: expect.stringContaining(`n1: ${http} is in use`) as string,
      });
    } finally {
      await new Promise((resolve) => other.close(resolve));
    }
  });

  it('deletes with --fresh what it made, and nothing else', async () => {
    const first = await startReady({ nodes: 2 });
    first.terminal.interrupt();
    await first.done;
    writeFileSync(join(directory, 'n2', 'old'), '');
    writeFileSync(join(directory, 'notes.txt'), '');
    await startReady({ nodes: 1, fresh: true });
    expect(recordNow().nodes).toHaveLength(1);
    expect(existsSync(join(directory, 'n2'))).toBe(false);
    expect(existsSync(join(directory, 'notes.txt'))).toBe(true);
  });

  it('shows the last log lines of a node that does not come up, and ends the others', async () => {
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'fails'), '');
    const { terminal, done } = start({ nodes: 3 });
    expect(await done).toMatchObject({ code: 'conflict', message: 'n2 ended with exit code 2' });
    expect(terminal.stderr.text).toMatch(/the end of .*n2\.log:\n {2}this is n2\n {2}cannot go on\n$/);
    for (const { process: started } of recordNow().nodes)
      expect(processStartTime(started?.pid ?? 0)).not.toBe(started?.startTime);
  });

  it('says that a node has ended, and goes on with the others', async () => {
    const { terminal, done } = await startReady({ nodes: 2 });
    process.kill(recordNow().nodes[1]?.process?.pid ?? 0, 'SIGKILL');
    await terminal.stderr.until(/n2 was ended by SIGKILL, the others go on\n.*the end of/);
    terminal.interrupt();
    expect(await done).toBeUndefined();
    expect(existsSync(join(directory, 'n1', 'ended'))).toBe(true);
  });

  it('ends what a killed dev has left running', async () => {
    const first = await startReady({ nodes: 1 });
    first.terminal.interrupt();
    await first.done;
    const leftover = spawn(process.execPath, ['-e', 'setInterval(() => undefined, 1000)']);
    const pid = leftover.pid ?? 0;
    const ended = new Promise((resolve) => leftover.once('exit', (_, signal) => resolve(signal)));
    const { nodes } = recordNow();
    const startTime = processStartTime(pid) ?? '';
    writeRecord(directory, {
      pid: 1,
      nodes: nodes.map((node) => ({ ...node, process: { pid, startTime } })),
    });
    const { terminal } = await startReady();
    expect(await ended).toBe('SIGTERM');
    expect(terminal.stderr.text).toContain(`n1 of an earlier run still runs (pid ${pid}), ending it`);
  });

  it("ends the autoscaler's nodes and their tasks as well", async () => {
    const { terminal, done } = await startReady({ nodes: 1 });
    const pids = await makeInstance();
    terminal.interrupt();
    await done;
    expect(pids.filter((pid) => processStartTime(pid) !== null)).toEqual([]);
    expect(existsSync(join(directory, 'n1', 'instances', 'instance-1', 'ended'))).toBe(true);
  });

  it("ends the autoscaler's nodes that a killed dev has left running", async () => {
    const first = await startReady({ nodes: 1 });
    first.terminal.interrupt();
    await first.done;
    const pids = await makeInstance();
    const { terminal } = await startReady({ fresh: true, nodes: 1 });
    expect(pids.filter((pid) => processStartTime(pid) !== null)).toEqual([]);
    expect(terminal.stderr.text).toContain(
      "1 of the autoscaler's nodes of an earlier run still ran, and were ended",
    );
  });

  it('says that its record is damaged', async () => {
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'dev.json'), '{"pid": 1}');
    const error = await start().done;
    expect(error).toMatchObject({ code: 'invalid' });
    expect(String(error)).toContain('dev.json is damaged');
  });
});

describe('devDirectory', () => {
  it('ignores a relative XDG_STATE_HOME', () => {
    expect(devDirectory({ XDG_STATE_HOME: '/state' })).toBe('/state/jarvis/dev');
    expect(devDirectory({ XDG_STATE_HOME: 'state' })).toMatch(/\/\.local\/state\/jarvis\/dev$/);
  });
});
