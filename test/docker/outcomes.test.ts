/** Every way in which a container can end, or not begin, told apart: issue and contract name the error types. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { AttemptSpec, AttemptStop } from '../../src/agent/drivers/driver.ts';
import { outcomeOf } from '../../src/agent/drivers/outcome.ts';
import { DEFAULT_POLICY } from '../../src/model/policy.ts';
import { cgroupPids } from '../support/docker-bed/cgroups.ts';
import { describeWithBed } from '../support/docker-bed/describe-with-bed.ts';
import { IMAGES } from '../support/docker-bed/docker-bed.ts';
import { EngineGate, REQUESTS } from '../support/docker-bed/engine-gate.ts';
import { BED_CREDENTIALS } from '../support/docker-bed/registry.ts';
import { DriverBench, never } from '../support/docker-driver.ts';
import { waitFor } from '../support/wait.ts';

const MIB = 1024 * 1024;

describeWithBed('how containers end', (bed) => {
  let bench: DriverBench;

  beforeAll(async () => {
    await bed().engine.api.pull(bed().openRegistry.reference(IMAGES.hello));
    bench = await DriverBench.open(bed());
  });

  afterAll(async () => {
    await bench.dispose();
  });

  async function pidOf(key: Parameters<DriverBench['container']>[0]): Promise<number> {
    return (await bed().engine.api.inspect(bench.container(key))).State.Pid;
  }

  describe('by themselves', () => {
    it('with an exit code', async () => {
      const exit = await bench.run(bench.spec(['sh', '-c', 'echo out; echo err >&2; exit 3']));
      expect(outcomeOf(exit)).toMatchObject({ status: 'FAILED', exitCode: 3, error: { type: 'ExitCode' } });
      expect(exit.logTail).toContain('out\n');
      expect(exit.logTail).toContain('err\n');
    });

    it('with one of sysexits', async () => {
      const exit = await bench.run(bench.spec(['sh', '-c', 'exit 69']));
      expect(outcomeOf(exit).error?.type).toBe('ServiceUnavailable');
    });

    it('with the command of the image, where none is given', async () => {
      const spec = bench.spec([]);
      expect(outcomeOf(await bench.run(spec)).status).toBe('COMPLETED');
      expect(await bench.output(spec)).toBe('hello\n');
    });

    it('with the command given to an entrypoint', async () => {
      const image = bed().openRegistry.reference(IMAGES.entry);
      const spec = bench.spec(['told', 'so'], { container: { image } });
      await bench.run(spec);
      expect(await bench.output(spec)).toBe('entry: told so\n');
    });

    it('by a signal', async () => {
      const spec = bench.spec(['sleep', '1000']);
      await bench.driver.start(spec, never);
      process.kill(await pidOf(spec), 'SIGKILL');
      const outcome = outcomeOf(await bench.driver.wait(spec, never));
      expect(outcome).toMatchObject({
        status: 'FAILED',
        exitCode: null,
        signal: 'SIGKILL',
        error: { type: 'Signal' },
      });
    });

    it('by eating more memory than they may', async () => {
      const eat = ['sh', '-c', 'x=$(head -c 200000000 /dev/zero | tr "\\0" x); echo "$x"'];
      const limits = { cpuMillis: null, memoryBytes: 16 * MIB, pids: null };
      const outcome = outcomeOf(await bench.run(bench.spec(eat, { limits })));
      expect(outcome).toMatchObject({ status: 'FAILED', error: { type: 'OutOfMemory' } });
    });

    it('leaving a result, or an error of their own, whoever they are', async () => {
      const user = bed().openRegistry.reference(IMAGES.user);
      for (const container of [{}, { image: user }, { user: '12345:12345' }]) {
        const good = bench.spec(['sh', '-c', 'echo \'{"rows": 7}\' > $JARVIS_RESULT_FILE'], { container });
        expect(outcomeOf(await bench.run(good))).toMatchObject({ status: 'COMPLETED', result: { rows: 7 } });
      }
      const write = 'echo \'{"type": "QuotaExceeded", "message": "disk"}\' > $JARVIS_ERROR_FILE; exit 1';
      const bad = await bench.run(bench.spec(['sh', '-c', write]));
      expect(outcomeOf(bad).error).toEqual({ type: 'QuotaExceeded', message: 'disk' });
    });
  });

  describe('before their time', () => {
    const stubborn = ['sh', '-c', 'trap "" TERM; while :; do sleep 0.1; done'];

    it('after their timeout', async () => {
      const outcome = outcomeOf(await bench.run(bench.spec(stubborn, { timeoutMs: 300, stopGraceMs: 100 })));
      expect(outcome).toMatchObject({
        status: 'FAILED',
        signal: 'SIGKILL',
        error: { type: 'Timeout', message: 'ran longer than 0.3 s' },
      });
    });

    it('when they are stopped: TERM first', async () => {
      const polite = ['sh', '-c', 'trap "echo bye; exit 4" TERM; echo up; while :; do sleep 0.1; done'];
      const spec = bench.spec(polite);
      await bench.driver.start(spec, never);
      await waitFor('its trap', async () => (await bench.output(spec)).includes('up'));
      const exit = await bench.driver.stop(spec, { graceMs: 30_000 }, never);
      expect(exit).toMatchObject({ reason: 'stopped', exitCode: 4 });
      expect(await bench.output(spec)).toBe('up\nbye\n');
    });

    it.each([
      ['a stop', null, 'stopped'],
      ['their timeout', 300, 'timeout'],
    ] as const)('by %s, which tells of its steps while they are taken', async (_what, timeoutMs, reason) => {
      const spec = bench.spec(stubborn, { timeoutMs, stopGraceMs: 1_000_000 });
      await bench.driver.start(spec, never);
      const stops: AttemptStop[] = [];
      const exit = bench.driver.wait(spec, never, (stop) => stops.push(stop));
      if (timeoutMs === null) void bench.driver.stop(spec, { graceMs: 1_000_000 }, never);
      await waitFor('it is told', () => stops.length === 1);
      await bench.driver.stop(spec, { graceMs: 10 }, never);
      expect(await exit).toMatchObject({ reason, signal: 'SIGKILL' });
      expect(stops).toHaveLength(2);
      const [patient, hasty] = stops as [AttemptStop, AttemptStop];
      expect(patient).toMatchObject({ reason, killAtMs: patient.sinceMs + 1_000_000 });
      expect(hasty.sinceMs).toBe(patient.sinceMs);
      expect(hasty.killAtMs).toBeLessThan(patient.killAtMs);
    });

    it('by somebody who removes the container', async () => {
      const spec = bench.spec(['sleep', '1000']);
      await bench.driver.start(spec, never);
      await bed().engine.api.remove(bench.container(spec));
      const outcome = outcomeOf(await bench.driver.wait(spec, never));
      expect(outcome).toMatchObject({ status: 'LOST', error: { type: 'NodeLost' } });
      expect(outcome.error?.message).toContain('removed by somebody else');
    });

    it('by somebody who starts the container again: that second execution is ended', async () => {
      const { engine } = bed();
      const folder = mkdtempSync(path.join(tmpdir(), 'jarvis-gate-'));
      const gate = await EngineGate.open(engine.socketPath, path.join(folder, 'gate.sock'));
      const own = await DriverBench.open(bed(), { dockerHost: gate.dockerHost });
      const spec = own.spec(['sleep', '1000']);
      // So that the driver knows which execution is its own.
      const looked = gate.answer(REQUESTS.inspect);
      await own.driver.start(spec, never);
      await looked;
      await engine.pause();
      process.kill(pidInCgroup(own.container(spec)), 'SIGKILL');
      const restarted = engine.api.start(own.container(spec), { timeoutMs: 60_000 });
      engine.resume();
      const outcome = outcomeOf(await own.driver.wait(spec, never));
      // Refused where the container was removed before it came to it.
      await restarted.catch(() => undefined);
      expect(['LOST', 'FAILED']).toContain(outcome.status);
      await own.dispose();
      await gate.close();
      rmSync(folder, { recursive: true });
    });
  });

  describe('before they began', () => {
    it('for want of the image', async () => {
      const image = bed().openRegistry.reference('nothing');
      const found = await failure(bench, bench.spec(['true'], { container: { image } }));
      expect(found.type).toBe('ImageNotFound');
      expect(found.message).toContain('nothing:latest');
      const absent = bed().openRegistry.reference(IMAGES.large);
      const never = await failure(
        bench,
        bench.spec(['true'], { container: { image: absent, pullPolicy: 'never' } }),
      );
      expect(never).toMatchObject({ type: 'ImageNotFound' });
      expect(never.message).toContain('pull_policy is never');
    });

    it('for want of a login', async () => {
      const image = bed().closedRegistry.reference(IMAGES.hello);
      const found = await failure(bench, bench.spec(['true'], { container: { image } }));
      expect(found).toMatchObject({ type: 'AuthenticationError' });
      expect(found.message).toContain('policy.registries');
    });

    it('on the wrong platform', async () => {
      for (const name of [IMAGES.foreign, IMAGES.foreignSingle]) {
        const image = bed().openRegistry.reference(name);
        const found = await failure(bench, bench.spec(['true'], { container: { image } }));
        expect(found.type).toBe('ImageNotFound');
        expect(found.message).toMatch(/it is for linux\/\w+, this node is linux\/\w+/);
      }
    });

    it('with a registry that is not there', async () => {
      const found = await failure(bench, bench.spec(['true'], { container: { image: 'localhost:1/hello' } }));
      expect(found).toMatchObject({ type: 'ImagePullFailed' });
      expect(found.message).toContain('connection refused');
    });

    it('with a command, user or directory that the image does not have', async () => {
      const command = await failure(bench, bench.spec(['/no/such/program']));
      expect(command).toMatchObject({ type: 'StartFailed' });
      expect(command.message).toContain('/no/such/program');
      const user = await failure(bench, bench.spec(['true'], { container: { user: 'nobody-of-that-name' } }));
      expect(user).toMatchObject({ type: 'StartFailed' });
      const directory = await failure(bench, bench.spec(['true'], { workingDir: '/etc/passwd' }));
      expect(directory).toMatchObject({ type: 'StartFailed' });
    });

    it('with texts that no program can be given', async () => {
      expect(await failure(bench, bench.spec(['echo', 'a\0b']))).toMatchObject({ type: 'StartFailed' });
      expect((await failure(bench, bench.spec(['env'], { env: { A: 'x\0y' } }))).message).toContain('NUL');
    });

    it('with what the policy of the node forbids, whatever the cluster thinks', async () => {
      const mounts = [{ source: '/etc', target: '/x', readOnly: true }];
      expect((await failure(bench, bench.spec(['true'], { container: { mounts } }))).message).toContain(
        'policy.mounts',
      );
      const host = await failure(bench, bench.spec(['true'], { container: { network: 'host' } }));
      expect(host.message).toContain('policy.host_network');
    });

    it('stopped while the image was pulled', async () => {
      const { process: registry } = bed().openRegistry;
      const image = bed().openRegistry.reference(IMAGES.user);
      await registry.pause();
      const spec = bench.spec(['true'], { container: { image, pullPolicy: 'always' } });
      const notes: string[] = [];
      const starting = bench.driver.start(spec, never, (note) => notes.push(note));
      await waitFor('the pull', () => notes.some((note) => note.startsWith('pulling ')));
      expect(await bench.driver.stop(spec, { graceMs: 0 }, never)).toMatchObject({ reason: 'stopped' });
      expect(await starting).toMatchObject({ type: 'ended' });
      registry.resume();
    });
  });

  describe('with what they are given', () => {
    it('of environment, with line feeds and all', async () => {
      const env = { TEXT: 'two\nlines "quoted" $HOME \u00e9', EMPTY: '', JARVIS_TASK_ID: 'not mine' };
      const spec = bench.spec(['sh', '-c', 'printf "%s|%s|%s" "$TEXT" "$EMPTY" "$JARVIS_TASK_ID"'], { env });
      await bench.run(spec);
      expect(await bench.output(spec)).toBe(`${env.TEXT}||${spec.taskId}`);
    });

    it('of limits, as the engine really has them', async () => {
      const limits = { cpuMillis: 500, memoryBytes: 64 * MIB, pids: 33 };
      const resources = { cpuMillis: 250, memoryBytes: 32 * MIB };
      const spec = bench.spec(['sleep', '1000'], { limits, resources, workingDir: '/tmp' });
      await bench.driver.start(spec, never);
      const details = await bed().engine.api.inspect(bench.container(spec));
      expect(details.HostConfig).toMatchObject({
        Memory: 64 * MIB,
        MemorySwap: 64 * MIB,
        MemoryReservation: 32 * MIB,
        CpuPeriod: 100_000,
        CpuQuota: 50_000,
        CpuShares: 26,
        PidsLimit: 33,
        Privileged: false,
        CapDrop: ['ALL'],
        SecurityOpt: ['no-new-privileges'],
      });
      expect(details.Config).toMatchObject({ WorkingDir: '/tmp', User: '' });
      await bench.driver.stop(spec, { graceMs: 0 }, never);
    });

    it('of rights: none', async () => {
      const spec = bench.spec(['sh', '-c', 'grep -E "^(CapEff|CapBnd|NoNewPrivs):" /proc/self/status']);
      await bench.run(spec);
      const status = (await bench.output(spec)).replaceAll('\t', ' ');
      expect(status).toContain('CapEff: 0000000000000000');
      expect(status).toContain('CapBnd: 0000000000000000');
      expect(status).toContain('NoNewPrivs: 1');
    });

    it('of a view that says which image it was', async () => {
      const spec = bench.spec(['true']);
      await bench.run(spec);
      const view = await bench.view(spec);
      expect(view?.imageDigest).toMatch(/^localhost:\d+\/hello@sha256:[0-9a-f]{64}$/);
    });
  });

  describe('on a node whose policy gives more', () => {
    let folder: string;
    let generous: DriverBench;

    beforeAll(async () => {
      folder = mkdtempSync(path.join(tmpdir(), 'jarvis-mounts-'));
      mkdirSync(path.join(folder, 'data'));
      writeFileSync(path.join(folder, 'secret'), 'not for tasks');
      writeFileSync(path.join(folder, 'data', 'file'), 'for tasks');
      symlinkSync(path.join(folder, 'secret'), path.join(folder, 'data', 'link'));
      const credentials = path.join(folder, 'credentials.json');
      writeFileSync(credentials, JSON.stringify(BED_CREDENTIALS), { mode: 0o600 });
      generous = await DriverBench.open(bed(), {
        policy: {
          shared: {
            ...DEFAULT_POLICY,
            hostNetwork: true,
            mounts: [{ source: path.join(folder, 'data'), readOnly: false }],
          },
          capabilities: ['CHOWN'],
          credentialFiles: new Map([[bed().closedRegistry.host, credentials]]),
        },
      });
    });

    afterAll(async () => {
      await generous.dispose();
      rmSync(folder, { recursive: true });
    });

    const at = (...names: string[]): string => path.join(folder, 'data', ...names);

    it('mounts what is allowed, read-only where that is asked for', async () => {
      const mount = { source: at(), target: '/data', readOnly: true };
      const spec = generous.spec(['sh', '-c', 'cat /data/file; touch /data/x'], {
        container: { mounts: [mount] },
      });
      expect(await generous.run(spec)).toMatchObject({ exitCode: 1 });
      const output = await generous.output(spec);
      expect(output).toContain('for tasks');
      expect(output).toContain('Read-only file system');
    });

    it('follows no link out of what is allowed', async () => {
      const mounts = [{ source: at('link'), target: '/x', readOnly: true }];
      const exit = await generous.run(generous.spec(['cat', '/x'], { container: { mounts } }));
      expect(exit.reason).toBe('startFailed');
      expect(exit.message).toContain('policy.mounts');
      const missing = [{ source: at('nothing'), target: '/x', readOnly: true }];
      const absent = await generous.run(generous.spec(['cat', '/x'], { container: { mounts: missing } }));
      expect(absent.message).toContain('does not exist on this node');
    });

    it('uses the network of the host, the capability and the login', async () => {
      const image = bed().closedRegistry.reference(IMAGES.entry);
      const { bridge } = bed().record;
      const host = generous.spec(['sh', '-c', `ip link show ${bridge}`], { container: { network: 'host' } });
      expect(await generous.run(host)).toMatchObject({ exitCode: 0 });
      const chown = generous.spec(['sh', '-c', 'touch /tmp/x && chown 1000 /tmp/x']);
      expect(await generous.run(chown)).toMatchObject({ exitCode: 0 });
      const login = generous.spec(['in'], { container: { image } });
      expect(await generous.run(login)).toMatchObject({ exitCode: 0, message: '' });
      expect(await generous.output(login)).toBe('entry: in\n');
    });
  });
});

async function failure(bench: DriverBench, spec: AttemptSpec): Promise<{ type: string; message: string }> {
  const exit = await bench.run(spec);
  expect(exit.reason).toBe('startFailed');
  const { error } = outcomeOf(exit);
  if (error === null) throw new Error('it failed without an error');
  return error;
}

/** While the engine cannot be asked. */
function pidInCgroup(group: string): number {
  const [pid] = cgroupPids(`/${group}`);
  if (pid === undefined) throw new Error(`nothing is in ${group}`);
  return pid;
}
