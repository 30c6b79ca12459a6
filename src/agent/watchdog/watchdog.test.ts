import { readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { AttemptView } from '../drivers/driver.ts';
import { attemptSpec } from '../drivers/driver-contract.test-kit.ts';
import { readLog } from './attempt-log.ts';
import type { WatchdogClient } from './client.ts';
import { WatchdogConnection } from './connection.ts';
import { attemptDirectory, watchdogDirectory } from './paths.ts';
import { PROTOCOL } from './protocol.ts';
import type { WatchdogHarness } from './watchdog.test-kit.ts';
import {
  createWatchdogHarness,
  isGone,
  readOutput,
  readPid,
  run,
  shell,
  waitUntil,
} from './watchdog.test-kit.ts';

const never = new AbortController().signal;

let harness: WatchdogHarness;
let client: WatchdogClient;

beforeEach(async () => {
  harness = await createWatchdogHarness();
  client = harness.client();
  await client.open(5, never);
});

afterEach(async () => {
  await harness.dispose();
});

async function killWatchdog(): Promise<void> {
  const pid = await client.watchdogPid(never);
  process.kill(pid, 'SIGKILL');
  await waitUntil(() => isGone(pid));
}

/** So that nobody starts another yet. */
async function endWatchdog(): Promise<void> {
  const pid = await client.watchdogPid(never);
  await client.close();
  process.kill(pid, 'SIGKILL');
  await waitUntil(() => isGone(pid));
}

describe('an attempt', () => {
  it('gives way to the daemon, and so does all that it starts', async () => {
    // The fork comes before the niceness.
    const script = `
      niceness() { cut -d' ' -f19 "/proc/$1/stat"; }
      while [ "$(niceness $$)" != 10 ]; do sleep 0.01; done
      sh -c "cut -d' ' -f19 /proc/self/stat"
      until [ ! -e /proc/$$/autogroup ] || grep -q 'nice 10' /proc/$$/autogroup; do sleep 0.01; done`;
    const spec = shell(script);
    expect(await run(client, spec)).toMatchObject({ reason: 'exited', exitCode: 0 });
    expect(await readOutput(harness, spec)).toBe('10\n');
  });
});

describe('a daemon that goes away', () => {
  it('finds the exits that it missed', async () => {
    const running = attemptSpec({ taskId: 'task-a', command: ['sleep', '1000'] });
    const ending = shell('while [ ! -e go ]; do sleep 0.01; done; exit 9', { taskId: 'task-b' });
    await Promise.all([client.start(running, never), client.start(ending, never)]);
    const pid = await client.watchdogPid(never);
    await client.close();
    const directory = attemptDirectory(harness.dataDirectory, ending);
    await writeFile(join(directory, 'work', 'go'), '');
    for await (const _ of readLog(directory, { follow: true }));

    const next = harness.client();
    await next.open(6, never);
    expect(await next.watchdogPid(never)).toBe(pid);
    expect(await next.wait(ending, never)).toMatchObject({ reason: 'exited', exitCode: 9 });
    expect((await next.list(never)).map(({ taskId, type }) => [taskId, type])).toEqual([
      ['task-a', 'running'],
      ['task-b', 'ended'],
    ]);
    await next.stop(running, 0, never);
    expect(await next.wait(running, never)).toMatchObject({ reason: 'stopped', signal: 'SIGKILL' });
  });

  it('is refused when a newer one has come, also over the connection that it has', async () => {
    const newer = harness.client();
    await newer.open(6, never);
    const conflict = { code: 'conflict' };
    await expect(client.start(shell('true'), never)).rejects.toMatchObject(conflict);
    await expect(client.stop({ taskId: 'task-a', assignment: 1 }, 0, never)).rejects.toMatchObject(conflict);
    await expect(client.list(never)).rejects.toMatchObject(conflict);
    await expect(harness.client().open(5, never)).rejects.toMatchObject(conflict);
    expect(await newer.list(never)).toEqual([]);
  });

  it('leaves a watchdog that leaves when it has nothing to watch', async () => {
    const idle = await createWatchdogHarness();
    try {
      const first = idle.client({ idleExitMs: 500 });
      await first.open(1, never);
      const pid = await first.watchdogPid(never);
      const spec = attemptSpec({
        session: 1,
        command: ['sh', '-c', 'while [ ! -e go ]; do sleep 0.01; done'],
      });
      await first.start(spec, never);
      await first.close();
      const directory = attemptDirectory(idle.dataDirectory, spec);
      expect(isGone(pid)).toBe(false);
      await writeFile(join(directory, 'work', 'go'), '');
      await waitUntil(() => isGone(pid));
      const second = idle.client();
      await second.open(2, never);
      expect(await second.watchdogPid(never)).not.toBe(pid);
      expect(await second.wait(spec, never)).toMatchObject({ reason: 'exited', exitCode: 0 });
    } finally {
      await idle.dispose();
    }
  });
});

describe('a watchdog that is killed', () => {
  it('is replaced, and what it ran is killed and reported as unknown', async () => {
    const ended = shell('echo out; exit 6', { taskId: 'task-a' });
    const script = "setsid sh -c 'echo $$ > daemon; exec sleep 1000' & echo $$ > main; echo out; sleep 1000";
    const running = shell(script, { taskId: 'task-b' });
    const before = await run(client, ended);
    await client.start(running, never);
    const waiting = client.wait(running, never);
    const pids = await Promise.all(['main', 'daemon'].map((name) => readPid(harness, running, name)));
    await waitUntil(async () => (await readOutput(harness, running)) === 'out\n');
    await killWatchdog();
    expect(await waiting).toMatchObject({ reason: 'unknown', exitCode: null, signal: null });
    expect(pids.map(isGone)).toEqual([true, true]);
    expect(await client.wait(ended, never)).toEqual(before);
    const followed: string[] = [];
    const directory = attemptDirectory(harness.dataDirectory, running);
    for await (const { data } of readLog(directory, { follow: true })) followed.push(data.toString());
    expect(followed.join('')).toBe('out\n');
    // Nothing is forgotten: neither session nor assignments.
    await expect(harness.client().open(4, never)).rejects.toMatchObject({ code: 'conflict' });
    expect(await client.start(running, never)).toMatchObject({ type: 'ended', exit: { reason: 'unknown' } });
  });

  it('leaves its tombstones', async () => {
    await client.stop({ taskId: 'task-a', assignment: 3 }, 0, never);
    const removed = shell('true', { taskId: 'task-b', assignment: 4 });
    await run(client, removed);
    await client.remove(removed, never);
    await killWatchdog();
    const conflict = { code: 'conflict' };
    await expect(client.start(shell('true', { assignment: 3 }), never)).rejects.toMatchObject(conflict);
    await expect(client.start(removed, never)).rejects.toMatchObject(conflict);
    expect(await run(client, shell('exit 1', { assignment: 5 }))).toMatchObject({ exitCode: 1 });
  });

  it('leaves the process of a recycled pid alone', async () => {
    // A record as a dead watchdog leaves it, whose pid is now that of another process: this one.
    const view: AttemptView = {
      type: 'running',
      taskId: 'task-r',
      assignment: 1,
      attempt: 1,
      session: 5,
      term: 2,
      fencingToken: '1',
      isLeased: true,
      startedAtMs: 1,
      stopping: false,
    };
    const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
    const record = { version: 1, view, pid: process.pid, startTicks: '1', bootId };
    await endWatchdog();
    const attempts = join(watchdogDirectory(harness.dataDirectory), 'attempts');
    await writeFile(join(attempts, 'task-r.1.json'), JSON.stringify(record));
    const next = harness.client();
    await next.open(6, never);
    expect(await next.wait(view, never)).toMatchObject({ reason: 'unknown', startedAtMs: 1 });
  });

  it('leaves torn records: of those nothing runs, and nothing older may start', async () => {
    await run(client, shell('true'));
    await endWatchdog();
    const attempts = join(watchdogDirectory(harness.dataDirectory), 'attempts');
    await writeFile(join(attempts, 'task-t.7.json'), '{"version":1,');
    await writeFile(join(attempts, 'task-t.8.json.tmp'), '{');
    const next = harness.client();
    await next.open(6, never);
    const torn = { taskId: 'task-t', assignment: 7 };
    expect(await next.wait(torn, never)).toMatchObject({ reason: 'unknown' });
    const older = shell('true', { taskId: 'task-t', assignment: 6, session: 6 });
    await expect(next.start(older, never)).rejects.toMatchObject({ code: 'conflict' });
    expect((await readdir(attempts)).sort()).toEqual(['task-a.1.json', 'task-t.7.json']);
  });
});

describe('the watchdog itself', () => {
  it('works below a data directory whose path is longer than a socket address', async () => {
    const long = await createWatchdogHarness({ directoryLength: 150 });
    try {
      expect(long.dataDirectory.length).toBeGreaterThanOrEqual(150);
      const deep = long.client();
      await deep.open(1, never);
      const spec = attemptSpec({ session: 1, command: ['sh', '-c', 'exit 5'] });
      await deep.start(spec, never);
      expect(await deep.wait(spec, never)).toMatchObject({ exitCode: 5 });
    } finally {
      await long.dispose();
    }
  });

  it('is one per data directory, however many daemons ask for it at once', async () => {
    const fresh = await createWatchdogHarness();
    try {
      const clients = Array.from({ length: 4 }, () => fresh.client());
      await Promise.all(clients.map((each) => each.open(1, never)));
      const pids = await Promise.all(clients.map((each) => each.watchdogPid(never)));
      expect(new Set(pids).size).toBe(1);
    } finally {
      await fresh.dispose();
    }
  });

  it('is detached: a session of its own, nothing shared with the daemon', async () => {
    const pid = await client.watchdogPid(never);
    const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? [];
    expect(Number(fields[3])).toBe(pid);
    expect(await readlink(`/proc/${pid}/cwd`)).toBe('/');
    const log = join(watchdogDirectory(harness.dataDirectory), 'watchdog.log');
    expect(await readlink(`/proc/${pid}/fd/2`)).toBe(log);
  });

  it('cuts what it cannot read, and goes on', async () => {
    const raw = await WatchdogConnection.connect(watchdogDirectory(harness.dataDirectory));
    const bad = raw.request({ type: 'nonsense' } as never, 5000);
    await expect(bad).rejects.toMatchObject({ code: 'unavailable' });
    expect(await client.list(never)).toEqual([]);
  });

  it('answers with its own protocol to one that speaks a newer', async () => {
    const raw = await WatchdogConnection.connect(watchdogDirectory(harness.dataDirectory));
    expect(await raw.request({ type: 'hello', protocol: 99, session: 5 }, 5000)).toMatchObject({
      protocol: PROTOCOL,
    });
    raw.destroy();
    await raw.closed;
  });

  it('that hangs costs a request its deadline, not the daemon', async () => {
    const impatient = harness.client({ requestTimeoutMs: 100 });
    await impatient.open(5, never);
    const pid = await impatient.watchdogPid(never);
    process.kill(pid, 'SIGSTOP');
    try {
      await expect(impatient.list(never)).rejects.toMatchObject({ code: 'timeout' });
      const aborted = AbortSignal.abort(new Error('given up'));
      await expect(impatient.list(aborted)).rejects.toThrow('given up');
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    expect(await client.list(never)).toEqual([]);
  });

  it('leaves on request, once its attempts have ended', async () => {
    const spec = shell('while [ ! -e go ]; do sleep 0.01; done');
    await client.start(spec, never);
    const pid = await client.watchdogPid(never);
    await client.shutdown({ killAll: false }, never);
    await expect(client.start(shell('true', { taskId: 'task-b' }), never)).rejects.toMatchObject({
      code: 'unavailable',
    });
    const exit = client.wait(spec, never);
    await writeFile(join(attemptDirectory(harness.dataDirectory, spec), 'work', 'go'), '');
    expect(await exit).toMatchObject({ reason: 'exited', exitCode: 0 });
    await waitUntil(() => isGone(pid));
  });

  it('lists many attempts page by page', async () => {
    const text = 'x'.repeat(4000);
    const many = Array.from({ length: 40 }, (_, index) =>
      shell(`head -c 4000 /dev/zero | tr '\\0' '\\1'; printf ${text} > $JARVIS_RESULT_FILE`, {
        taskId: `task-${index}`,
      }),
    );
    await Promise.all(many.map((spec) => run(client, spec)));
    const listed = await client.list(never);
    expect(new Set(listed.map(({ taskId }) => taskId)).size).toBe(40);
    expect(JSON.stringify(listed).length).toBeGreaterThan(1024 * 1024);
  });

  it('refuses a newer assignment of a task while an older one runs', async () => {
    await client.start(shell('sleep 1000', { assignment: 1 }), never);
    await expect(client.start(shell('true', { assignment: 2 }), never)).rejects.toMatchObject({
      code: 'conflict',
    });
    await client.stop({ taskId: 'task-a', assignment: 1 }, 0, never);
    expect(await run(client, shell('true', { assignment: 2 }))).toMatchObject({ exitCode: 0 });
  });
});

describe('an attempt that is listed before its start is answered', () => {
  it('can be waited for', async () => {
    const spec = shell('exit 3', { taskId: 'task-a' });
    const starting = client.start(spec, never);
    const listed = await client.list(never);
    expect(listed.map(({ type }) => type)).toEqual(['registered']);
    await expect(client.wait(spec, never)).resolves.toMatchObject({ exitCode: 3 });
    await starting;
  });
});

describe('a start that took longer than its session', () => {
  it('guards nothing in the next one, so that nothing of it runs', async () => {
    await client.open(6, never);
    const group = { cgroup: '/jarvis-test-task-a-7', isLeased: true };
    const key = { taskId: 'task-a', assignment: 7 };
    await expect(client.guard({ ...key, session: 5 }, group, never)).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('session 5') as string,
    });
  });
});
