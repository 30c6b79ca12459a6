/** That the bed is a real engine with real registries, breaks as told, and leaves nothing behind. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';

import { afterEach, beforeAll, describe, expect, it } from 'vitest';

import { cgroupPids, freezeCgroup, removeCgroup, thawCgroup } from '../support/docker-bed/cgroups.ts';
import { tracesOf } from '../support/docker-bed/clear.ts';
import type { BedRecord } from '../support/docker-bed/clear.ts';
import { describeWhereBedsStart, describeWithBed } from '../support/docker-bed/describe-with-bed.ts';
import { IMAGES, startDockerBed } from '../support/docker-bed/docker-bed.ts';
import type { DockerBed } from '../support/docker-bed/docker-bed.ts';
import type { EngineApi } from '../support/docker-bed/engine-api.ts';
import { waitFor, within } from '../support/wait.ts';

const MIB = 1024 * 1024;

describeWithBed('the docker bed', (bed) => {
  let api: EngineApi;
  let hello: string;
  let names = 0;

  beforeAll(async () => {
    ({ api } = bed().engine);
    hello = bed().openRegistry.reference(IMAGES.hello);
    await api.pull(hello);
  });

  afterEach(async () => {
    await bed().engine.heal();
    for (const { Id } of await api.list()) await api.remove(Id);
  });

  async function created(settings: Readonly<Record<string, unknown>>): Promise<string> {
    names += 1;
    return api.create(`bed-${names}`, { Image: hello, ...settings });
  }

  async function started(settings: Readonly<Record<string, unknown>>): Promise<string> {
    const id = await created(settings);
    await api.start(id);
    return id;
  }

  describe('registries', () => {
    it('gives images from the open one, and says which digest they have', async () => {
      const progress = await api.pull(bed().openRegistry.reference(IMAGES.large));
      expect(progress.some((line) => line.includes('"Downloading"'))).toBe(true);
      expect(progress.some((line) => /Digest: sha256:[0-9a-f]{64}/.test(line))).toBe(true);
    });

    it('refuses those of the other one without its password', async () => {
      const reference = bed().closedRegistry.reference(IMAGES.user);
      await expect(api.pull(reference)).rejects.toThrow('no basic auth credentials');
      await expect(api.pull(reference, { username: 'jarvis', password: 'wrong' })).rejects.toThrow(
        'unauthorized',
      );
      await api.pull(reference, bed().closedRegistry.credentials);
    });

    it('has none of an unknown name, and none for this platform in a list of others', async () => {
      const { openRegistry } = bed();
      await expect(api.pull(openRegistry.reference('nothing'))).rejects.toMatchObject({ status: 404 });
      await expect(api.pull(openRegistry.reference(IMAGES.foreign))).rejects.toThrow('no matching manifest');
    });

    it('can be silent and absent for a while', async () => {
      const { process: registry } = bed().openRegistry;
      const reference = bed().openRegistry.reference(IMAGES.entry);
      await registry.pause();
      const pull = api.pull(reference);
      expect(await within(pull, 300, 'late')).toBe('late');
      registry.resume();
      await pull;
      await registry.kill();
      await expect(api.pull(reference)).rejects.toThrow('connection refused');
      await registry.start();
      await api.pull(reference);
    });
  });

  describe('containers', () => {
    it('end with the code of their command', async () => {
      const succeeded = await started({ Cmd: ['true'] });
      const failed = await started({ Cmd: ['sh', '-c', 'exit 3'] });
      expect(await api.wait(succeeded)).toBe(0);
      expect(await api.wait(failed)).toBe(3);
    });

    it('run as the image says', async () => {
      const entry = bed().openRegistry.reference(IMAGES.entry);
      const user = bed().openRegistry.reference(IMAGES.user);
      await Promise.all([entry, user].map((reference) => api.pull(reference)));
      const checks = { Entrypoint: ['sh', '-c', 'test "$(id -u):$(id -g):$PWD" = 1000:1000:/tmp'], Cmd: [] };
      expect(await api.wait(await started({ Image: user, ...checks }))).toBe(0);
      const id = await started({ Image: entry, Cmd: ['told'] });
      expect(await api.wait(id)).toBe(0);
      const { text } = await api.send('GET', `/containers/${id}/logs?stdout=1`);
      expect(text).toContain('entry: told\n');
    });

    it('of another platform cannot be executed', async () => {
      const reference = bed().openRegistry.reference(IMAGES.foreignSingle);
      await api.pull(reference);
      const id = await started({ Image: reference });
      // The engine starts it; what it then says is the kernel's "exec format error".
      expect(await api.wait(id)).toBe(1);
    });

    it('that eat more than their limit are reported as such', async () => {
      const memory = { Memory: 16 * MIB, MemorySwap: 16 * MIB };
      const eat = ['sh', '-c', 'x=$(head -c 200000000 /dev/zero | tr "\\0" x); echo "$x"'];
      const id = await started({ Cmd: eat, HostConfig: memory });
      await api.wait(id);
      const details = await api.inspect(id);
      expect(details.State.OOMKilled).toBe(true);
      expect(details.State.ExitCode).not.toBe(0);
      expect(details.HostConfig['Memory']).toBe(16 * MIB);
    });

    it('have an address on the bridge, or the network of the host', async () => {
      const bridged = await started({ Cmd: ['sh', '-c', 'ip address show eth0 | grep -q "inet 10[.]213"'] });
      const { bridge } = bed().record;
      const host = await started({
        Cmd: ['sh', '-c', `ip address show ${bridge}`],
        HostConfig: { NetworkMode: 'host' },
      });
      expect(await api.wait(bridged)).toBe(0);
      expect(await api.wait(host)).toBe(0);
    });

    it('can be removed behind the back of whoever started them', async () => {
      const id = await started({ Cmd: ['sleep', '1000'] });
      const waiting = api.wait(id, 'removed');
      await api.remove(id);
      expect(await waiting).toBe(137);
      await expect(api.inspect(id)).rejects.toMatchObject({ status: 404 });
    });
  });

  describe('an engine that is stopped', () => {
    it('runs later what it was told meanwhile, though nobody waits for the answer', async () => {
      const id = await created({ Cmd: ['sleep', '1000'] });
      const { engine } = bed();
      await engine.pause();
      await expect(api.start(id, { timeoutMs: 300 })).rejects.toMatchObject({ name: 'EngineTimeout' });
      engine.resume();
      await waitFor('the late start', async () => (await api.inspect(id)).State.Running);
    });

    it('does not keep a container from being killed by its pid', async () => {
      const id = await started({ Cmd: ['sleep', '1000'] });
      const { Pid: pid } = (await api.inspect(id)).State;
      const { engine } = bed();
      await engine.pause();
      process.kill(pid, 'SIGKILL');
      await waitFor('the end of the container', () => !isAlive(pid), { intervalMs: 2 });
      engine.resume();
      await waitFor('its end to be known', async () => (await api.inspect(id)).State.Status === 'exited');
      expect((await api.inspect(id)).State.ExitCode).toBe(137);
    });
  });

  describe('an engine that is killed', () => {
    // The first process of a container has no default for TERM: the engine would wait ten seconds, then send KILL.
    const endsOnTerm = ['sh', '-c', 'trap "exit 5" TERM; while :; do sleep 0.1; done'];

    it('leaves its containers running, and ends them when it is back on the same folders', async () => {
      const id = await started({ Cmd: endsOnTerm });
      const { Pid: pid } = (await api.inspect(id)).State;
      const { engine } = bed();
      await engine.kill();
      expect(isAlive(pid)).toBe(true);
      await expect(api.list()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
      await engine.start();
      const details = await api.inspect(id);
      expect(details.State).toMatchObject({ Status: 'exited', Running: false });
      expect(isAlive(pid)).toBe(false);
    });

    it('knows after an orderly restart what it ended', async () => {
      const id = await started({ Cmd: endsOnTerm });
      await bed().engine.restart('stop');
      expect((await api.inspect(id)).State).toMatchObject({ Status: 'exited', ExitCode: 5 });
    });
  });

  describe('a container below a frozen cgroup', () => {
    let folder: string;
    let parent: string;

    beforeAll(() => {
      folder = mkdtempSync(path.join(bed().record.directory, 'frozen-'));
      parent = `${bed().record.cgroupParent}/attempt`;
    });

    afterEach(async () => {
      thawCgroup(parent);
      await waitFor('the attempt to be gone', () => removeCgroup(parent));
    });

    async function marking(): Promise<{ readonly id: string; readonly marker: string }> {
      const marker = path.join(folder, `ran-${names}`);
      const id = await created({
        Cmd: ['sh', '-c', `touch /out/${path.basename(marker)}; sleep 1000`],
        HostConfig: { CgroupParent: parent, Binds: [`${folder}:/out`] },
      });
      return { id, marker };
    }

    /** The one process that the engine put there: `runc init`, which has yet to become the command. */
    async function frozenInit(): Promise<number> {
      const pid = await waitFor('runc init', () => cgroupPids(parent)[0] ?? null);
      // Its name once it has executed itself; up to then it is a copy of its parent.
      await waitFor('runc init to freeze', () => commandLine(pid).includes('init'));
      return pid;
    }

    it('never executes when it is killed and then thawed', async () => {
      const { id, marker } = await marking();
      await freezeCgroup(parent);
      const starting = api.start(id).then(
        () => null,
        (error: unknown) => error,
      );
      const pid = await frozenInit();
      await expect(api.inspect(id, { timeoutMs: 500 })).rejects.toMatchObject({ name: 'EngineTimeout' });
      process.kill(pid, 'SIGKILL');
      expect(isAlive(pid)).toBe(true);
      thawCgroup(parent);
      expect(await starting).toMatchObject({ name: 'EngineError', status: 500 });
      expect(isAlive(pid)).toBe(false);
      expect((await api.inspect(id)).State.Running).toBe(false);
      expect(existsSync(marker)).toBe(false);
    });

    it('executes when it is only thawed', async () => {
      const { id, marker } = await marking();
      await freezeCgroup(parent);
      const starting = api.start(id);
      await frozenInit();
      expect(existsSync(marker)).toBe(false);
      thawCgroup(parent);
      await starting;
      await waitFor('the command', () => existsSync(marker));
      await api.remove(id);
    });
  });
});

describeWhereBedsStart('stopping a docker bed', () => {
  it('leaves nothing, whatever state it is in', async () => {
    const own = await startDockerBed();
    await busy(own);
    await own.engine.pause('containerd');
    await own.engine.pause();
    await own.openRegistry.process.pause();
    expect(tracesOf(own.record)).not.toEqual([]);
    await own.stop();
    expect(tracesOf(own.record)).toEqual([]);
    await own.stop();
  });

  it('leaves nothing of one whose engine was killed', async () => {
    const own = await startDockerBed();
    await busy(own);
    await own.engine.kill();
    await own.stop();
    expect(tracesOf(own.record)).toEqual([]);
  });

  it('is done by the keeper when the tests are killed', async () => {
    const program = [
      `import { startDockerBed } from '${path.join(import.meta.dirname, '../support/docker-bed/docker-bed.ts')}';`,
      'const bed = await startDockerBed();',
      'console.log(JSON.stringify(bed.record));',
      'setInterval(() => {}, 1000);',
    ].join('\n');
    const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const record = JSON.parse(await firstLine(child.stdout)) as BedRecord;
    expect(tracesOf(record)).not.toEqual([]);
    child.kill('SIGKILL');
    await waitFor('the keeper to clear the bed', () => tracesOf(record).length === 0);
  });
});

/** Containers, one of them frozen. */
async function busy(bed: DockerBed): Promise<void> {
  const { api } = bed.engine;
  const reference = bed.openRegistry.reference(IMAGES.hello);
  await api.pull(reference);
  const parent = `${bed.record.cgroupParent}/deep/attempt`;
  const settings = { Image: reference, Cmd: ['sleep', '1000'] };
  await api.start(await api.create('one', settings));
  await api.start(await api.create('two', { ...settings, HostConfig: { CgroupParent: parent } }));
  await freezeCgroup(parent);
}

async function firstLine(stream: NodeJS.ReadableStream): Promise<string> {
  for await (const line of createInterface({ input: stream })) return line;
  throw new Error('it ended without a word');
}

function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

function commandLine(pid: number): string {
  return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
}
