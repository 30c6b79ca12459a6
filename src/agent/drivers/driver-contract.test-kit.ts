/** What every driver promises, as tests: each driver's own test file runs this suite. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { AttemptContainer, AttemptSpec, Driver } from './driver.ts';

export interface DriverHarness {
  readonly driver: Driver;
  /** What its attempts run in; absent: they are processes of the node. */
  readonly container?: AttemptContainer;
  readonly commands: {
    /** Ends at once with code 0. */
    readonly succeed: readonly string[];
    /** Ends at once with code 3. */
    readonly exit3: readonly string[];
    /** Runs until it is stopped. */
    readonly endless: readonly string[];
    /** Can never be started. */
    readonly impossible: readonly string[];
  };
  /** Ends all that runs and cleans up. */
  dispose(): Promise<void>;
}

const never = new AbortController().signal;
const conflict = { code: 'conflict' };
const notFound = { code: 'not_found' };

/** An attempt as the suites need one. */
export function attemptSpec(changes: Partial<AttemptSpec> & Pick<AttemptSpec, 'command'>): AttemptSpec {
  const assignment = changes.assignment ?? 1;
  return {
    taskId: 'task-a',
    assignment,
    attempt: 1,
    session: 5,
    term: 2,
    fencingToken: String(assignment),
    container: null,
    user: null,
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin' },
    workingDir: null,
    resources: { cpuMillis: 100, memoryBytes: 64 * 1024 * 1024 },
    limits: { cpuMillis: null, memoryBytes: null, pids: null },
    timeoutMs: null,
    stopGraceMs: 1000,
    isLeased: true,
    ...changes,
  };
}

export function containerSpec(changes: Partial<AttemptContainer> = {}): AttemptContainer {
  return {
    image: 'python:3.9',
    user: null,
    mounts: [],
    network: 'bridge',
    pullPolicy: 'if_not_present',
    labels: {},
    ...changes,
  };
}

export function describeDriver(name: string, create: () => Promise<DriverHarness>): void {
  describe(`${name} as a driver`, () => {
    let harness: DriverHarness;
    let driver: Driver;

    function specOf(changes: Partial<AttemptSpec> & Pick<AttemptSpec, 'command'>): AttemptSpec {
      const { container } = harness;
      // An image brings its own PATH.
      return attemptSpec(container === undefined ? changes : { container, env: {}, ...changes });
    }

    beforeEach(async () => {
      harness = await create();
      ({ driver } = harness);
      await driver.open(5, never);
    });

    afterEach(async () => {
      await harness.dispose();
    });

    it('reports exit codes', async () => {
      const succeed = specOf({ taskId: 'task-a', command: harness.commands.succeed });
      const fail = specOf({ taskId: 'task-b', command: harness.commands.exit3 });
      await Promise.all([driver.start(succeed, never), driver.start(fail, never)]);
      expect(await driver.wait(succeed, never)).toMatchObject({
        reason: 'exited',
        exitCode: 0,
        signal: null,
      });
      const exit = await driver.wait(fail, never);
      expect(exit).toMatchObject({ reason: 'exited', exitCode: 3, signal: null });
      expect(exit.finishedAtMs).toBeGreaterThanOrEqual(exit.startedAtMs);
    });

    it('gives an attempt that cannot start an exit of its own', async () => {
      const spec = specOf({ command: harness.commands.impossible });
      expect(await driver.start(spec, never)).toMatchObject({
        type: 'ended',
        exit: { reason: 'startFailed' },
      });
      const exit = await driver.wait(spec, never);
      expect(exit.exitCode).toBeNull();
      expect(exit.message).not.toBe('');
    });

    it('starts an attempt once, however often it is asked', async () => {
      const spec = specOf({ command: harness.commands.endless });
      const first = await driver.start(spec, never);
      expect(first).toMatchObject({
        type: 'running',
        taskId: 'task-a',
        assignment: 1,
        attempt: 1,
        session: 5,
        term: 2,
      });
      expect(await driver.start(spec, never)).toEqual(first);
      expect(await driver.list(never)).toEqual([first]);
      await driver.stop(spec, { graceMs: 0 }, never);
      expect(await driver.start(spec, never)).toMatchObject({ type: 'ended', exit: { reason: 'stopped' } });
    });

    it('stops what runs, and says so to all who wait', async () => {
      const spec = specOf({ command: harness.commands.endless });
      await driver.start(spec, never);
      const waits = [driver.wait(spec, never), driver.wait(spec, never)];
      const exit = await driver.stop(spec, { graceMs: 1000 }, never);
      expect(exit).toMatchObject({ reason: 'stopped' });
      expect(await Promise.all(waits)).toEqual([exit, exit]);
      expect(await driver.stop(spec, { graceMs: 1000 }, never)).toEqual(exit);
    });

    it('refuses a start that comes after its stop, and those before it', async () => {
      expect(await driver.stop({ taskId: 'task-a', assignment: 7 }, { graceMs: 0 }, never)).toBeNull();
      for (const assignment of [7, 6])
        await expect(
          driver.start(specOf({ assignment, command: harness.commands.succeed }), never),
        ).rejects.toMatchObject(conflict);
      const later = specOf({ assignment: 8, command: harness.commands.succeed });
      await driver.start(later, never);
      expect((await driver.wait(later, never)).exitCode).toBe(0);
    });

    it('refuses an assignment older than one it has seen', async () => {
      const newer = specOf({ assignment: 9, command: harness.commands.succeed });
      await driver.start(newer, never);
      await driver.wait(newer, never);
      await expect(
        driver.start(specOf({ assignment: 8, command: harness.commands.succeed }), never),
      ).rejects.toMatchObject(conflict);
    });

    it('removes what has ended, for good', async () => {
      const spec = specOf({ command: harness.commands.succeed });
      const running = specOf({ taskId: 'task-b', command: harness.commands.endless });
      await Promise.all([driver.start(spec, never), driver.start(running, never)]);
      await driver.wait(spec, never);
      await driver.remove(spec, never);
      await driver.remove(spec, never);
      expect((await driver.list(never)).map(({ taskId }) => taskId)).toEqual(['task-b']);
      await expect(driver.wait(spec, never)).rejects.toMatchObject(notFound);
      await expect(driver.start(spec, never)).rejects.toMatchObject(conflict);
      await expect(driver.remove(running, never)).rejects.toMatchObject(conflict);
    });

    it('refuses what belongs to an older session', async () => {
      await driver.open(6, never);
      await driver.open(6, never);
      await expect(driver.open(5, never)).rejects.toMatchObject(conflict);
      const spec = specOf({ session: 5, command: harness.commands.succeed });
      await expect(driver.start(spec, never)).rejects.toMatchObject(conflict);
      expect(await driver.list(never)).toEqual([]);
    });

    it('keeps attempts over sessions', async () => {
      const ended = specOf({ taskId: 'task-a', command: harness.commands.exit3 });
      const running = specOf({ taskId: 'task-b', command: harness.commands.endless });
      await Promise.all([driver.start(ended, never), driver.start(running, never)]);
      await driver.wait(ended, never);
      const waiting = driver.wait(running, never);
      await driver.open(6, never);
      const states = (await driver.list(never)).map(({ taskId, type, session }) => ({
        taskId,
        type,
        session,
      }));
      expect(states).toEqual([
        { taskId: 'task-a', type: 'ended', session: 5 },
        { taskId: 'task-b', type: 'running', session: 5 },
      ]);
      await driver.stop(running, { graceMs: 0 }, never);
      expect((await waiting).reason).toBe('stopped');
    });

    it('knows no attempt that was never started', async () => {
      await expect(driver.wait({ taskId: 'task-x', assignment: 1 }, never)).rejects.toMatchObject(notFound);
      await driver.remove({ taskId: 'task-x', assignment: 1 }, never);
      expect(await driver.list(never)).toEqual([]);
    });

    it('lets go of a wait that is given up', async () => {
      const spec = specOf({ command: harness.commands.endless });
      await driver.start(spec, never);
      const controller = new AbortController();
      const wait = driver.wait(spec, controller.signal);
      controller.abort(new Error('given up'));
      await expect(wait).rejects.toThrow('given up');
      expect((await driver.list(never))[0]?.type).toBe('running');
    });
  });
}
