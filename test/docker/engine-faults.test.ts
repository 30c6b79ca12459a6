/** The engine is stopped, killed, restarted or absent, under containers that start and that run; so is the daemon. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { placeOf } from '../../src/agent/watchdog/paths.ts';
import { outcomeOf } from '../../src/agent/drivers/outcome.ts';
import type { AttemptSpec } from '../../src/agent/drivers/driver.ts';
import { DEFAULT_POLICY } from '../../src/model/policy.ts';
import { describeWithBed } from '../support/docker-bed/describe-with-bed.ts';
import { IMAGES } from '../support/docker-bed/docker-bed.ts';
import { EngineGate, REQUESTS } from '../support/docker-bed/engine-gate.ts';
import { DriverBench, never } from '../support/docker-driver.ts';
import { waitFor, within } from '../support/wait.ts';

const ENDLESS = ['sh', '-c', 'trap "exit 0" TERM; while :; do sleep 0.1; done'];

describeWithBed('a driver whose engine fails', (bed) => {
  let bench: DriverBench;
  /** Each execution adds a line to the file of its task. */
  let marks: string;
  let availability: boolean[];

  beforeAll(async () => {
    await bed().engine.api.pull(bed().openRegistry.reference(IMAGES.hello));
  });

  beforeEach(async () => {
    marks = mkdtempSync(path.join(tmpdir(), 'jarvis-marks-'));
    availability = [];
    bench = await DriverBench.open(bed(), {
      policy: { shared: { ...DEFAULT_POLICY, mounts: [{ source: marks, readOnly: false }] } },
      onAvailability: (isAvailable) => availability.push(isAvailable),
    });
  });

  afterEach(async () => {
    await bench.dispose();
    rmSync(marks, { recursive: true });
  });

  function marking(rest: string): AttemptSpec {
    return bench.spec(['sh', '-c', `echo run >> /marks/$JARVIS_TASK_ID; ${rest}`], {
      container: { mounts: [{ source: marks, target: '/marks', readOnly: false }] },
    });
  }

  function executions({ taskId }: AttemptSpec): number {
    const file = path.join(marks, taskId);
    return existsSync(file) ? readFileSync(file, 'utf8').split('\n').length - 1 : 0;
  }

  async function running(spec: AttemptSpec): Promise<AttemptSpec> {
    expect(await bench.driver.start(spec, never)).toMatchObject({ type: 'running' });
    return spec;
  }

  async function pidOf(spec: AttemptSpec): Promise<number> {
    return (await bed().engine.api.inspect(bench.container(spec))).State.Pid;
  }

  describe('by being stopped', () => {
    it('starts late what it was asked to start, once', async () => {
      const { engine } = bed();
      const spec = marking('sleep 1000');
      await engine.pause();
      const starting = bench.driver.start(spec, never);
      expect(await within(starting, 500, 'late')).toBe('late');
      expect(await bench.view(spec)).toMatchObject({ type: 'registered' });
      engine.resume();
      expect(await starting).toMatchObject({ type: 'running' });
      await waitFor('its mark', () => executions(spec) === 1);
      await bench.driver.stop(spec, { graceMs: 0 }, never);
      expect(executions(spec)).toBe(1);
    });

    it('between create and start, and asked to stop it meanwhile', async () => {
      const { engine } = bed();
      const spec = marking('sleep 1000');
      const starting = bench.driver.start(spec, never);
      await waitFor('its container', async () => (await engine.api.list()).length > 0, { intervalMs: 1 });
      await engine.pause();
      const stopping = bench.driver.stop(spec, { graceMs: 0 }, never);
      // Whether the start was sent before the pause or not.
      await within(stopping, 300, null);
      engine.resume();
      expect(await stopping).toMatchObject({ reason: 'stopped' });
      expect(await starting).toMatchObject({ type: 'ended' });
      expect(executions(spec)).toBeLessThanOrEqual(1);
    });

    it('does not keep a container from being ended, only from being told', async () => {
      const { engine } = bed();
      const spec = await running(bench.spec(['sleep', '1000']));
      const pid = await pidOf(spec);
      await engine.pause();
      const stopping = bench.driver.stop(spec, { graceMs: 0 }, never);
      await waitFor('the end of its process', () => !isAlive(pid), { intervalMs: 5 });
      expect(await within(stopping, 100, 'late')).toBe('late');
      engine.resume();
      expect(await stopping).toMatchObject({ reason: 'stopped', signal: 'SIGKILL' });
    });

    it('misses no exit that happened meanwhile', async () => {
      const { engine } = bed();
      const spec = await running(bench.spec(['sh', '-c', 'echo before; sleep 0.5; echo after; exit 6']));
      const pid = await pidOf(spec);
      await engine.pause();
      await waitFor('its end', () => !isAlive(pid));
      engine.resume();
      expect(await bench.driver.wait(spec, never)).toMatchObject({ reason: 'exited', exitCode: 6 });
      expect(await bench.output(spec)).toBe('before\nafter\n');
    });
  });

  describe('by missing an end', () => {
    it('is not believed for long, and what was written is kept', async () => {
      const { engine } = bed();
      const spec = await running(bench.spec(['sh', '-c', 'echo before; sleep 1000']));
      const pid = await pidOf(spec);
      await waitFor('its output', async () => (await bench.output(spec)) === 'before\n');
      await engine.pause('containerd');
      process.kill(pid, 'SIGKILL');
      await waitFor('its end', () => !isAlive(pid));
      expect((await engine.api.inspect(bench.container(spec))).State).toMatchObject({ Status: 'running' });
      const exit = await bench.driver.wait(spec, never);
      engine.resume();
      expect(exit).toMatchObject({ reason: 'unknown', logTail: 'before\n' });
      expect(outcomeOf(exit)).toMatchObject({ status: 'LOST', error: { type: 'NodeLost' } });
      expect(exit.message).toContain('missed its end');
    });
  });

  describe('by being killed', () => {
    it('ends its containers, which is no fault of theirs', async () => {
      const { engine } = bed();
      const specs = [await running(bench.spec(ENDLESS)), await running(bench.spec(['sleep', '1000']))];
      await engine.restart('kill');
      for (const spec of specs) {
        const outcome = outcomeOf(await bench.driver.wait(spec, never));
        expect(outcome).toMatchObject({ error: { type: 'NodeLost' }, status: 'LOST' });
        expect(outcome.error?.message).toContain('engine was restarted');
      }
    });

    it('or stopped in order, which ends them with TERM and an exit code of 0, that is no success of theirs', async () => {
      const { engine } = bed();
      const quick = await running(bench.spec(ENDLESS));
      const slow = await running(
        bench.spec(['sh', '-c', 'trap "sleep 1; exit 0" TERM; while :; do sleep 0.1; done']),
      );
      await engine.restart('stop');
      for (const spec of [quick, slow])
        expect(outcomeOf(await bench.driver.wait(spec, never))).toMatchObject({ status: 'LOST' });
    });

    it('in the middle of many starts loses none of them, and starts none twice', async () => {
      const { engine } = bed();
      const specs = Array.from({ length: 12 }, () => marking('exit 7'));
      const starts = specs.map((spec) => bench.driver.start(spec, never));
      await waitFor('the first', async () => (await engine.api.list()).length > 2, { intervalMs: 2 });
      await engine.kill();
      await engine.start();
      const views = await Promise.all(starts);
      expect(views).toHaveLength(specs.length);
      const exits = await Promise.all(specs.map((spec) => bench.driver.wait(spec, never)));
      for (const [index, exit] of exits.entries()) {
        const spec = specs[index];
        if (spec === undefined) throw new Error('one spec for each exit');
        expect(executions(spec)).toBeLessThanOrEqual(1);
        expect(['exited', 'unknown']).toContain(exit.reason);
        expect(exit.reason !== 'exited' || executions(spec) === 1).toBe(true);
      }
      expect(exits.filter(({ exitCode }) => exitCode === 7).length).toBeGreaterThan(0);
    });

    it('and absent, takes nothing new for now, and then runs what it was given', async () => {
      const { engine } = bed();
      expect(availability).toEqual([true]);
      await engine.kill();
      const spec = marking('exit 0');
      const starting = bench.driver.start(spec, never);
      await waitFor('word of it', () => availability.at(-1) === false, { timeoutMs: 60_000 });
      await engine.start();
      await starting;
      expect(await bench.driver.wait(spec, never)).toMatchObject({ exitCode: 0 });
      expect(executions(spec)).toBe(1);
      await waitFor('word of it', () => availability.at(-1) === true);
    });

    it('is stopped at any step of a start, and carries that out', async () => {
      for (const delayMs of [0, 1, 2, 5, 10, 20, 40, 80, 160, 320]) {
        const spec = bench.spec(ENDLESS);
        const starting = bench.driver.start(spec, never);
        await new Promise((resolve) => {
          setTimeout(resolve, delayMs);
        });
        expect(await bench.driver.stop(spec, { graceMs: 0 }, never)).toMatchObject({ reason: 'stopped' });
        expect(await starting).toMatchObject({ type: expect.stringMatching(/ended|running/) as string });
      }
    });

    it('is stopped and asked to end what it never began', async () => {
      const { engine } = bed();
      await engine.kill();
      const spec = marking('exit 0');
      const starting = bench.driver.start(spec, never);
      expect(await bench.driver.stop(spec, { graceMs: 0 }, never)).toMatchObject({ reason: 'stopped' });
      expect(await starting).toMatchObject({ type: 'ended' });
      await engine.start();
      expect(executions(spec)).toBe(0);
    });
  });

  describe('beside a daemon that is restarted', () => {
    it('keeps what runs, and what ended meanwhile, with its output, once', async () => {
      const lines = 'for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.1; done';
      const long = await running(bench.spec(ENDLESS));
      const short = await running(bench.spec(['sh', '-c', `${lines}; exit 9`]));
      await waitFor('the first lines', async () => (await bench.output(short)).includes('2'));
      const closed = bench.restart();
      await closed;
      expect(await bench.view(long)).toMatchObject({ type: 'running' });
      expect(await bench.driver.wait(short, never)).toMatchObject({ reason: 'exited', exitCode: 9 });
      expect(await bench.output(short)).toBe('1\n2\n3\n4\n5\n6\n7\n8\n');
      await expect(bench.driver.start(long, never)).rejects.toMatchObject({ code: 'conflict' });
      expect(await bench.driver.stop(long, { graceMs: 10_000 }, never)).toMatchObject({ reason: 'stopped' });
    });

    it('counts a timeout on', async () => {
      const spec = await running(bench.spec(['sleep', '1000'], { timeoutMs: 1500, stopGraceMs: 0 }));
      await bench.restart();
      expect(await bench.driver.wait(spec, never)).toMatchObject({ reason: 'timeout' });
    });

    it('never starts what an earlier daemon asked for and did not see', async () => {
      const { engine } = bed();
      const gate = await EngineGate.open(engine.socketPath, path.join(marks, 'gate.sock'));
      const asked = gate.before(REQUESTS.start, () => engine.pause());
      await bench.restart({ session: 6, dockerHost: gate.dockerHost });
      const spec = { ...marking('sleep 1000'), session: 6 };
      const caller = new AbortController();
      const starting = bench.driver.start(spec, caller.signal).catch(() => 'aborted');
      await asked;
      await bench.restart({ session: 7 });
      caller.abort();
      expect(await starting).toBe('aborted');
      engine.resume();
      await waitFor('its fate', async () => (await bench.view(spec))?.type !== 'registered');
      // Where the engine has carried out what it was asked for, it runs on and is stopped here; nobody asks a second time.
      const exit = await bench.driver.stop(spec, { graceMs: 0 }, never);
      expect(['unknown', 'stopped']).toContain(exit?.reason);
      expect(executions(spec)).toBeLessThanOrEqual(1);
      await gate.close();
    });

    it('removes containers that nobody knows, and only its own', async () => {
      const { api } = bed().engine;
      const image = bed().openRegistry.reference(IMAGES.hello);
      const create = async (name: string, Labels: Record<string, string>): Promise<string> =>
        api.create(name, { Image: image, Cmd: ['sleep', '1000'], Labels });
      const ours = await create('ours', labels(bench.owner.incarnation, placeOf(bench.directory)));
      const before = await create('before', labels('an-earlier-incarnation', placeOf(bench.directory)));
      const others = await create('others', labels('another', '/elsewhere'));
      const nobody = await create('nobody', {});
      await Promise.all([ours, before, others, nobody].map((id) => api.start(id)));
      await bench.restart();
      await waitFor('the orphans to go', async () => {
        const names = (await api.list()).flatMap(({ Names }) => Names).sort();
        return names.join() === '/nobody,/others';
      });
      expect(await bench.driver.list(never)).toEqual([]);
      await Promise.all([others, nobody].map((id) => api.remove(id)));
    });
  });
});

describeWithBed(
  'a driver whose engine keeps its containers when it is restarted',
  (bed) => {
    it('goes on with them, and with their output, where it was', async () => {
      await bed().engine.api.pull(bed().openRegistry.reference(IMAGES.hello));
      const bench = await DriverBench.open(bed());
      const loop = 'i=1; while [ $i -le 40 ]; do echo $i; i=$((i + 1)); sleep 0.1; done; exit 8';
      const spec = bench.spec(['sh', '-c', loop]);
      await bench.driver.start(spec, never);
      await waitFor('some lines', async () => (await bench.output(spec)).includes('10\n'));
      await bed().engine.restart('kill');
      expect(await bench.driver.wait(spec, never)).toMatchObject({ reason: 'exited', exitCode: 8 });
      const expected = Array.from({ length: 40 }, (_, index) => `${index + 1}\n`).join('');
      expect(await bench.output(spec)).toBe(expected);
      await bench.dispose();
    });
  },
  { engineArgs: ['--live-restore'] },
);

function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

function labels(incarnation: string, directory: string): Record<string, string> {
  return {
    'io.jarvis.incarnation': incarnation,
    'io.jarvis.data-directory': directory,
    'io.jarvis.task': 'task-unknown',
    'io.jarvis.assignment': '3',
  };
}
