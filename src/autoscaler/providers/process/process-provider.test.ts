import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { systemClock } from '../../../lib/clock.ts';
import { isAlive, processWithArgument } from '../../../lib/node-processes.ts';
import { processStartTime } from '../../../lib/process-start.ts';
import {
  CLUSTER_ID,
  describeProvider,
  instanceRequest,
  type ProviderHarness,
} from '../provider-contract.test-kit.ts';
import type { Provider } from '../provider.ts';
import { InstanceFiles } from './instance-files.ts';
import { ProcessProvider, type ProcessProviderOptions } from './process-provider.ts';

/**
 * Stands in for jarvisd: runs until SIGTERM, with children that are not ended with it, of which one works elsewhere; `labels.stubborn`:
 * until SIGKILL.
 */
const STUB = `
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
const settings = JSON.parse(readFileSync(process.argv[process.argv.indexOf('--config') + 1], 'utf8'));
mkdirSync(settings.data_dir + '/tasks', { recursive: true });
if (settings.labels.broken) {
  if (settings.labels.broken !== 'mutely') console.log('the disk is on fire');
  process.exit(1);
}
if (settings.labels.watched) {
  // As a watchdog: it alone knows of a task that hides, and ends it once the directory is gone.
  const script =
    'env -i setsid sleep 1000 & echo $! > "$1/hidden"; while [ -e "$1/hidden" ]; do sleep 0.05; done; kill $!';
  spawn('sh', ['-c', script, 'sh', settings.data_dir], { detached: true, stdio: 'ignore', cwd: '/' }).unref();
}
process.on('SIGTERM', () => settings.labels.stubborn || process.exit(0));
const begun = (options) => {
  const child = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore', ...options });
  child.unref();
  return child.pid;
};
const tasks = settings.data_dir + '/tasks';
const env = { JARVIS_ERROR_FILE: tasks + '/1/error.json' };
writeFileSync(settings.data_dir + '/begun', [begun({ cwd: tasks }), begun({ cwd: '/', env })].join());
setInterval(() => undefined, 1000);
writeFileSync(settings.data_dir + '/up', Object.keys(process.env).filter((name) => name.startsWith('JARVISD_')).join());
`;
const never = new AbortController().signal;

class Bed {
  readonly home = mkdtempSync(path.join(tmpdir(), 'jarvis-instances-'));
  readonly dataDirectory = path.join(this.home, 'n1');
  readonly program = path.join(this.home, 'stub.mjs');
  readonly files = new InstanceFiles(this.dataDirectory);

  constructor() {
    mkdirSync(this.dataDirectory);
    writeFileSync(this.program, STUB);
  }

  provider(changes: Partial<ProcessProviderOptions> = {}, clusterId = CLUSTER_ID): ProcessProvider {
    return new ProcessProvider({
      host: {
        clusterId,
        dataDirectory: this.dataDirectory,
        hosts: { listen: '127.0.0.1', advertise: '127.0.0.1', http: '127.0.0.1' },
        capacity: { cpuMillis: 2000, memoryBytes: null },
        labels: { zone: 'a', pool: 'hosts' },
        settings: { auth: true },
      },
      program: this.program,
      most: 4,
      stopGraceMs: 20_000,
      clock: systemClock,
      ...changes,
    });
  }

  settingsOf(token: string): Record<string, unknown> {
    return JSON.parse(readFileSync(this.files.pathsOf(token).settings, 'utf8')) as Record<string, unknown>;
  }

  async up(token: string): Promise<void> {
    const file = path.join(this.files.pathsOf(token).data, 'up');
    await vi.waitUntil(() => existsSync(file), { timeout: 15_000 });
  }

  async kill(token: string): Promise<void> {
    const record = await this.files.read(token);
    if (record?.process !== null && record !== null) process.kill(record.process.pid, 'SIGKILL');
  }

  /** Those of its children that live. */
  begun(token: string): readonly number[] {
    const pids = readFileSync(path.join(this.files.pathsOf(token).data, 'begun'), 'utf8')
      .split(',')
      .map(Number);
    return pids.filter((pid) => processStartTime(pid) !== null);
  }

  /** With all that it has begun. */
  async end(token: string): Promise<void> {
    await this.up(token);
    await this.kill(token);
    for (const pid of this.begun(token)) process.kill(pid, 'SIGKILL');
  }

  /** Processes by their arguments and folders. */
  processes(): readonly string[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map((pid) => {
        try {
          return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        } catch {
          return '';
        }
      })
      .filter((text) => text.includes(this.home));
  }

  leftovers(): readonly string[] {
    const folders = existsSync(this.files.root) ? readdirSync(this.files.root) : [];
    return [...folders, ...this.processes()];
  }

  async dispose(): Promise<void> {
    const provider = this.provider({ stopGraceMs: 0 });
    // At once: each leaves a watchdog, which the stubs do not have, seconds to end what is left.
    await Promise.all((await provider.list(never)).map(({ id }) => provider.terminate(id, never)));
    rmSync(this.home, { recursive: true });
  }
}

async function harness(): Promise<ProviderHarness> {
  const bed = new Bed();
  const provider: Provider = bed.provider();
  return {
    provider,
    again: () => bed.provider(),
    stranger: () => bed.provider({}, 'cluster-b'),
    crashBeforeStart: async (request) => {
      const none = path.join(bed.home, 'none');
      const node = process.execPath;
      try {
        // It cannot be begun: only the intent remains.
        process.execPath = none;
        await bed
          .provider()
          .create(request, never)
          .catch(() => undefined);
      } finally {
        process.execPath = node;
      }
    },
    end: (id) => bed.end(id),
    leftovers: async () => bed.leftovers(),
    said: async () =>
      [
        ...bed.processes(),
        ...(await bed.files.all())
          .map(({ clientToken }) => bed.files.pathsOf(clientToken))
          .flatMap(({ log, settings }) => [log, settings].map((file) => readFileSync(file, 'utf8'))),
      ].join('\n'),
    dispose: () => bed.dispose(),
  };
}

describeProvider('process', harness);

describe('nodes as processes', () => {
  let bed: Bed;

  beforeEach(() => {
    bed = new Bed();
  });

  afterEach(() => bed.dispose());

  it('are told what their host says, and what is asked for', async () => {
    vi.stubEnv('JARVISD_NAME', 'n1');
    await bed
      .provider()
      .create(instanceRequest({ capacity: { cpuMillis: null, memoryBytes: 2 ** 30 } }), never);
    await bed.up('token-1');
    vi.unstubAllEnvs();
    const { data, joinToken } = bed.files.pathsOf('token-1');
    const settings = bed.settingsOf('token-1');
    expect(settings).toMatchObject({
      auth: true,
      name: 'auto-1',
      data_dir: data,
      listen: expect.stringMatching(/^127\.0\.0\.1:2\d{4}$|^127\.0\.0\.1:3[01]\d{3}$/),
      join: ['127.0.0.1:7101'],
      join_token_file: joinToken,
      labels: { zone: 'a', pool: 'auto' },
      capacity: { cpu: '2000m', memory: '1073741824' },
      kill_tasks_on_exit: true,
    });
    expect(settings['advertise']).toBe(settings['listen']);
    expect(statSync(joinToken).mode & 0o777).toBe(0o600);
    // None of the host's own settings.
    expect(readFileSync(path.join(data, 'up'), 'utf8')).toBe('');
  });

  it('are found again where the daemon has died before it could note which process it had begun', async () => {
    const provider = bed.provider();
    await provider.create(instanceRequest(), never);
    await bed.up('token-1');
    const record = await bed.files.read('token-1');
    if (record === null) throw new Error('there is no record');
    await bed.files.update({ ...record, process: null, launchedAtMs: null });
    const again = bed.provider();
    expect(await again.create(instanceRequest(), never)).toMatchObject({ state: 'running' });
    expect((await bed.files.read('token-1'))?.process).toEqual(record.process);
    expect(bed.processes()).toHaveLength(1);
    await bed.files.update({ ...record, process: null, launchedAtMs: null });
    await bed.provider().terminate('token-1', never);
    expect(bed.leftovers()).toEqual([]);
  });

  it('are killed where they do not end, and so is what they have begun', async () => {
    const provider = bed.provider({ stopGraceMs: 200 });
    await provider.create(instanceRequest({ labels: { stubborn: 'yes' } }), never);
    await bed.up('token-1');
    const { settings, data } = bed.files.pathsOf('token-1');
    expect(await processWithArgument(settings)).not.toBeNull();
    await provider.terminate('token-1', never);
    expect(await processWithArgument(settings)).toBeNull();
    expect(existsSync(data)).toBe(false);
    expect(bed.leftovers()).toEqual([]);
  });

  it('leave nothing that only their watchdog knows of: it has the time to end that', async () => {
    const provider = bed.provider();
    await provider.create(instanceRequest({ labels: { watched: 'yes' } }), never);
    await bed.up('token-1');
    const file = path.join(bed.files.pathsOf('token-1').data, 'hidden');
    const pidOf = (): number => (existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0);
    const hidden = await vi.waitUntil(pidOf, { timeout: 15_000 });
    const startTime = processStartTime(hidden) ?? '';
    expect(isAlive({ pid: hidden, startTime })).toBe(true);
    try {
      await bed.kill('token-1');
      await provider.terminate('token-1', never);
      await vi.waitUntil(() => !isAlive({ pid: hidden, startTime }), { timeout: 5000 });
    } finally {
      if (isAlive({ pid: hidden, startTime })) process.kill(hidden, 'SIGKILL');
    }
  });

  it('are not gone before all is that they have begun, for it may be tasks that go on', async () => {
    const provider = bed.provider();
    await provider.create(instanceRequest(), never);
    await bed.up('token-1');
    const [here = 0, elsewhere = 0] = bed.begun('token-1');
    await bed.kill('token-1');
    await vi.waitUntil(() => bed.processes().length === 0, { timeout: 15_000 });
    const state = async () => (await provider.list(never)).map((instance) => instance.state);
    expect(await state()).toEqual(['running']);
    process.kill(here, 'SIGKILL');
    await vi.waitUntil(() => bed.begun('token-1').length === 1, { timeout: 15_000 });
    expect(await provider.list(never)).toMatchObject([
      {
        state: 'running',
        message: expect.stringMatching(/^its daemon has ended, and what it began has not: /),
      },
    ]);
    process.kill(elsewhere, 'SIGKILL');
    await vi.waitUntil(() => bed.begun('token-1').length === 0, { timeout: 15_000 });
    expect(await state()).toEqual(['gone']);
  });

  it('take with them what they have begun, wherever it works', async () => {
    const provider = bed.provider();
    await provider.create(instanceRequest(), never);
    await bed.up('token-1');
    await bed.kill('token-1');
    const begun = bed.begun('token-1');
    expect(begun).toHaveLength(2);
    await provider.terminate('token-1', never);
    expect(begun.filter((pid) => processStartTime(pid) !== null)).toEqual([]);
  });

  it('go on being ended where whoever asked has given up', async () => {
    const provider = bed.provider();
    await provider.create(instanceRequest({ labels: { stubborn: 'yes' } }), never);
    await bed.up('token-1');
    const patience = AbortSignal.timeout(100);
    await expect(provider.terminate('token-1', patience)).rejects.toMatchObject({ kind: 'unavailable' });
    expect(await provider.list(never)).toMatchObject([{ state: 'stopping' }]);
    expect(await bed.provider().create(instanceRequest(), never)).toMatchObject({ state: 'stopping' });
    await bed.provider({ stopGraceMs: 0 }).terminate('token-1', never);
    expect(await provider.list(never)).toEqual([]);
  });

  it('say their last words where they have ended by themselves', async () => {
    const provider = bed.provider();
    await provider.create(instanceRequest({ labels: { broken: 'yes' } }), never);
    await vi.waitFor(
      async () =>
        expect(await provider.list(never)).toMatchObject([
          { state: 'gone', message: 'the process has ended: the disk is on fire' },
        ]),
      { timeout: 15_000 },
    );
  });

  it('are said to have ended without a word where they have said none', async () => {
    const provider = bed.provider();
    await provider.create(instanceRequest({ labels: { broken: 'mutely' } }), never);
    await vi.waitFor(
      async () =>
        expect(await provider.list(never)).toMatchObject([
          { state: 'gone', message: 'the process has ended: it has said nothing' },
        ]),
      { timeout: 15_000 },
    );
  });

  it('are no more than are allowed', async () => {
    const provider = bed.provider({ most: 1 });
    await provider.create(instanceRequest(), never);
    const second = instanceRequest({ clientToken: 'token-2', node: 'auto-2' });
    await expect(provider.create(second, never)).rejects.toMatchObject({
      kind: 'quota',
      code: 'too_many',
      message: 'there are 1 instances on this node; allowed: 1',
    });
    expect(await provider.list(never)).toHaveLength(1);
  });

  it('stand beside their maker where that was made here itself', () => {
    const { data, directory } = bed.files.pathsOf('token-1');
    expect(new InstanceFiles(data).pathsOf('token-2').directory).toBe(
      path.join(path.dirname(directory), 'token-2'),
    );
  });

  it('say which record is damaged', async () => {
    const { directory } = bed.files.pathsOf('token-1');
    mkdirSync(directory, { recursive: true });
    writeFileSync(path.join(directory, 'instance.json'), '{"format": 2}');
    await expect(bed.provider().list(never)).rejects.toMatchObject({
      kind: 'unavailable',
      message: expect.stringContaining('instance.json is damaged'),
    });
    rmSync(directory, { recursive: true });
  });

  it('leave nothing where a crash cut off what makes or removes their folders', async () => {
    for (const name of ['.token-1.new', '.token-2.old']) {
      const folder = path.join(bed.files.root, name);
      mkdirSync(folder, { recursive: true });
      if (name.endsWith('.old')) utimesSync(folder, 1, 1);
    }
    expect(await bed.provider().list(never)).toEqual([]);
    // What is new may be on its way.
    expect(readdirSync(bed.files.root)).toEqual(['.token-1.new']);
  });
});
