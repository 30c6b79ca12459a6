/** Tasks that do what they can to stay alive, to get away or to take too much: with control groups and without. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { findProcessGroups } from '../cgroups/process-groups.ts';
import type { AttemptSpec } from '../drivers/driver.ts';
import { attemptSpec } from '../drivers/driver-contract.test-kit.ts';
import { groupPrefixOf } from './cgroup-containment.ts';
import type { WatchdogClient } from './client.ts';
import { parseMounts } from '../cgroups/hierarchies.ts';
import { watchdogDirectory } from './paths.ts';
import type { WatchdogHarness } from './watchdog.test-kit.ts';
import {
  createWatchdogHarness,
  isGone,
  readOutput,
  readPid,
  run,
  shell as shellAs,
  waitUntil,
} from './watchdog.test-kit.ts';

const never = new AbortController().signal;
const MIB = 1024 * 1024;
const NO_LIMITS = { cpuMillis: null, memoryBytes: null, pids: null };
const limitable = findProcessGroups()?.limitable ?? new Set();
const areLimited = limitable.size === 3;

let harness: WatchdogHarness;
let client: WatchdogClient;
let tasks = 0;

function taskId(): string {
  tasks += 1;
  return `task-${tasks}`;
}

function shell(script: string, changes: Partial<AttemptSpec> = {}): AttemptSpec {
  return shellAs(script, { taskId: taskId(), ...changes });
}

/** As the watchdog does before it kills. */
async function freeze(group: string): Promise<void> {
  for (const { folder } of parseMounts(readFileSync('/proc/self/mountinfo', 'utf8'))) {
    const state = join(folder, group, 'freezer.state');
    if (!existsSync(state)) continue;
    writeFileSync(state, 'FROZEN');
    await waitUntil(() => readFileSync(state, 'utf8').trim() === 'FROZEN');
  }
}

function useWatchdog(useCgroups: boolean): void {
  beforeAll(async () => {
    harness = await createWatchdogHarness();
    client = harness.client({ useCgroups });
    await client.open(5, never);
  });
  // Which throws where a control group is left.
  afterAll(async () => {
    await harness.dispose();
  });
}

for (const useCgroups of [true, false]) {
  describe.skipIf(useCgroups && findProcessGroups() === null)(`control groups: ${useCgroups}`, () => {
    useWatchdog(useCgroups);

    it.each<[string, string]>([
      ['in the background', '(sleep 1000) & echo $! > child;'],
      ['in a session of its own', "setsid sh -c 'echo $$ > child; exec sleep 1000' & "],
      ['forked twice, in a session of its own', "(setsid sh -c 'echo $$ > child; exec sleep 1000' &) & "],
      ['without its environment, in the same session', "env -i sh -c 'echo $$ > child; exec sleep 1000' & "],
      [
        'that ignores every signal that can be ignored',
        'sh -c \'trap "" HUP INT QUIT TERM USR1 USR2; echo $$ > child; while :; do sleep 0.02; done\' & ',
      ],
      [
        'that has closed its outputs',
        "sh -c 'echo $$ > child; exec sleep 1000' < /dev/null > /dev/null 2>&1 & ",
      ],
    ])('nothing is left of a child %s', async (_name, script) => {
      const spec = shell(`${script} while [ ! -s child ]; do sleep 0.01; done; exit 3`);
      expect(await run(client, spec)).toMatchObject({ reason: 'exited', exitCode: 3, signal: null });
      expect(isGone(await readPid(harness, spec, 'child'))).toBe(true);
    });

    it('one that closes its outputs and ignores TERM is ended by KILL', async () => {
      const spec = shell("trap '' TERM; echo $$ > main; exec > /dev/null 2>&1; while :; do sleep 0.02; done");
      await client.start(spec, never);
      const main = await readPid(harness, spec, 'main');
      expect(await client.stop(spec, 50, never)).toMatchObject({
        reason: 'stopped',
        exitCode: null,
        signal: 'SIGKILL',
      });
      expect(isGone(main)).toBe(true);
    });

    it('a chain of processes that each fork and end is caught', async () => {
      const spec = shell('f() { sleep 0.001; f & exit; }; f; exit 0');
      // The first of the chain is the main process.
      expect(await run(client, spec)).toMatchObject({ reason: 'exited', exitCode: 0 });
    });

    it('a directory is no command', async () => {
      const directory = join(harness.dataDirectory, `directory-${taskId()}`);
      mkdirSync(directory);
      const spec = attemptSpec({ taskId: taskId(), command: [directory] });
      expect(await client.start(spec, never)).toMatchObject({
        type: 'ended',
        exit: { reason: 'startFailed', message: expect.stringContaining('permission denied') },
      });
    });
  });
}

describe('a process that gets away with the output of its attempt', () => {
  // Without control groups it is enough to leave the session and the environment.
  useWatchdog(false);

  it('does not keep the attempt from ending by writing on', async () => {
    const talk = 'echo $$ > escaped; while echo still here; do sleep 0.2; done';
    const spec = shell(`env -i setsid sh -c '${talk}' & while [ ! -s escaped ]; do sleep 0.01; done; exit 5`);
    expect(await run(client, spec)).toMatchObject({ reason: 'exited', exitCode: 5 });
    // Its output is closed: it cannot write any more.
    const escaped = await readPid(harness, spec, 'escaped');
    await waitUntil(() => isGone(escaped));
  }, 15_000);
});

describe.skipIf(findProcessGroups() === null)('a process in a control group', () => {
  useWatchdog(true);

  it('cannot get away by leaving its session and its environment', async () => {
    const escape = "env -i setsid sh -c 'echo $$ > escaped; exec sleep 1000' &";
    const spec = shell(`${escape} while [ ! -s escaped ]; do sleep 0.01; done; exit 5`);
    expect(await run(client, spec)).toMatchObject({ reason: 'exited', exitCode: 5 });
    expect(isGone(await readPid(harness, spec, 'escaped'))).toBe(true);
  });

  it('is killed by the watchdog that finds it after the death of another', async () => {
    const script =
      "env -i setsid sh -c 'echo $$ > escaped; exec sleep 1000' & echo $$ > main; exec sleep 1000";
    const spec = shell(script);
    await client.start(spec, never);
    const pids = await Promise.all(['main', 'escaped'].map((name) => readPid(harness, spec, name)));
    const waiting = client.wait(spec, never);
    const watchdog = await client.watchdogPid(never);
    process.kill(watchdog, 'SIGKILL');
    expect(await waiting).toMatchObject({ reason: 'unknown', exitCode: null, signal: null });
    expect(pids.map(isGone)).toEqual([true, true]);
  });
});

describe.skipIf(findProcessGroups() === null)('a watchdog that starts', () => {
  it('ends what runs in groups of its data directory that no record speaks of', async () => {
    const own = await createWatchdogHarness();
    try {
      const first = own.client();
      await first.open(5, never);
      const spec = shell('echo $$ > main; exec sleep 1000');
      await first.start(spec, never);
      const main = await readPid(own, spec, 'main');
      const watchdog = await first.watchdogPid(never);
      await first.close();
      process.kill(watchdog, 'SIGKILL');
      await waitUntil(() => isGone(watchdog));
      rmSync(join(watchdogDirectory(own.dataDirectory), 'attempts'), { recursive: true });
      expect(isGone(main)).toBe(false);
      const second = own.client();
      await second.open(6, never);
      const prefix = groupPrefixOf(own.dataDirectory);
      await waitUntil(() => findProcessGroups()?.groupsBeginning(prefix).length === 0);
      expect(isGone(main)).toBe(true);
      expect(await second.list(never)).toEqual([]);
    } finally {
      await own.dispose();
    }
  });

  it('kills what a dead one left frozen', async () => {
    const own = await createWatchdogHarness();
    try {
      const first = own.client();
      await first.open(5, never);
      const spec = shell('echo $$ > main; exec sleep 1000');
      await first.start(spec, never);
      const main = await readPid(own, spec, 'main');
      const waiting = first.wait(spec, never);
      const group = /^\d*:(?:freezer)?:(.*jarvis-process.*)$/m.exec(
        readFileSync(`/proc/${main}/cgroup`, 'utf8'),
      )?.[1];
      await freeze(group ?? '');
      process.kill(await first.watchdogPid(never), 'SIGKILL');
      expect(await waiting).toMatchObject({ reason: 'unknown' });
      expect(isGone(main)).toBe(true);
    } finally {
      await own.dispose();
    }
  });
});

describe.skipIf(!areLimited)('a process that is limited', () => {
  useWatchdog(true);

  it('cannot fork more than it may, and goes with all that it forked', async () => {
    // The first has forked once, and is none of those that fail to.
    const bomb = 'f() { (f) & (f) & exec sleep 1000; }; (f) & exec sleep 1000';
    const spec = shell(bomb, { limits: { ...NO_LIMITS, pids: 20 } });
    await client.start(spec, never);
    await waitUntil(async () => (await readOutput(harness, spec)).includes('Cannot fork'));
    expect(await client.stop(spec, 0, never)).toMatchObject({ reason: 'stopped', signal: 'SIGKILL' });
  });

  it.each([1, 5])('may have %i processes and not one more', async (pids) => {
    // Each that it can start waits for the end; the shell itself is one of them.
    const script = 'while sleep 1000 & do echo started; done';
    const spec = shell(script, { limits: { ...NO_LIMITS, pids } });
    expect(await run(client, spec)).toMatchObject({ reason: 'exited', exitCode: 2 });
    const started = await readOutput(harness, spec, { stream: 'stdout' });
    expect(started.split('\n').length - 1).toBe(pids - 1);
  });

  it('dies of too much memory, and says so', async () => {
    const spec = shell('exec tail /dev/zero', { limits: { ...NO_LIMITS, memoryBytes: 16 * MIB } });
    expect(await run(client, spec)).toMatchObject({
      reason: 'exited',
      exitCode: null,
      signal: 'SIGKILL',
      errorType: 'OutOfMemory',
    });
  });

  it('may lose a child to that and succeed', async () => {
    const spec = shell('tail /dev/zero; echo $?; exit 0', {
      limits: { ...NO_LIMITS, memoryBytes: 16 * MIB },
    });
    const exit = await run(client, spec);
    expect(exit).toMatchObject({ reason: 'exited', exitCode: 0 });
    expect(exit.errorType).toBeUndefined();
    expect(await readOutput(harness, spec, { stream: 'stdout' })).toBe('137\n');
  });

  it('gets along with the least that may be given', async () => {
    const least = { cpuMillis: 10, memoryBytes: 6 * MIB, pids: 1 };
    const spec = attemptSpec({ taskId: taskId(), command: ['true'], limits: least });
    expect(await run(client, spec)).toMatchObject({ reason: 'exited', exitCode: 0 });
  });

  it('gets no more of the processor than it may', async () => {
    const spec = shell("trap 'times; exit 0' TERM; while :; do :; done", {
      limits: { ...NO_LIMITS, cpuMillis: 100 },
      timeoutMs: 1000,
      stopGraceMs: 10_000,
    });
    expect(await run(client, spec)).toMatchObject({ reason: 'timeout', exitCode: 0 });
    const [minutes = '', seconds = ''] = (await readOutput(harness, spec)).split(/[ms]/);
    expect(Number(minutes)).toBe(0);
    expect(Number(seconds)).toBeLessThan(0.5);
  });

  it('does not keep a limit from those that have none', async () => {
    await run(client, shell('true', { limits: { cpuMillis: 10, memoryBytes: 6 * MIB, pids: 1 } }));
    const spec = shell(
      'for i in 1 2 3; do sleep 0 & done; wait; head -c 20000000 /dev/zero | tail -c 1 | wc -c',
    );
    expect(await run(client, spec)).toMatchObject({ exitCode: 0 });
    expect(await readOutput(harness, spec)).toBe('1\n');
  });
});
