import { readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { AttemptSpec, AttemptStop } from '../drivers/driver.ts';
import { attemptSpec } from '../drivers/driver-contract.test-kit.ts';
import { readLog } from './attempt-log.ts';
import type { WatchdogClient } from './client.ts';
import { attemptDirectory } from './paths.ts';
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

let harness: WatchdogHarness;
let client: WatchdogClient;

let tasks = 0;

// One watchdog for all of them: every attempt is another task's.
beforeAll(async () => {
  harness = await createWatchdogHarness();
  client = harness.client();
  await client.open(5, never);
});

afterAll(async () => {
  await harness.dispose();
});

function taskId(): string {
  tasks += 1;
  return `task-${tasks}`;
}

function shell(script: string, changes: Partial<AttemptSpec> = {}): AttemptSpec {
  return shellAs(script, { taskId: taskId(), ...changes });
}

/** Before its timeout a shell has to have come as far as its `trap`, however busy the machine is. */
const DEAF_MS = 2000;

describe('what a task gets', () => {
  it('is exactly its environment, an empty input and a directory of its own', async () => {
    const spec = shell('env | sort; pwd; wc -c; ls -A', {
      env: { PATH: '/usr/bin:/bin', B: 'x y' },
      attempt: 2,
    });
    expect(await run(client, spec)).toMatchObject({ reason: 'exited', exitCode: 0 });
    const directory = attemptDirectory(harness.dataDirectory, spec);
    expect((await readOutput(harness, spec)).split('\n')).toEqual([
      'B=x y',
      'JARVIS_ATTEMPT=2',
      `JARVIS_ERROR_FILE=${directory}/error.json`,
      'JARVIS_FENCING_TOKEN=1',
      `JARVIS_RESULT_FILE=${directory}/result.json`,
      `JARVIS_TASK_ID=${spec.taskId}`,
      'PATH=/usr/bin:/bin',
      `PWD=${directory}/work`,
      `${directory}/work`,
      '0',
      '',
    ]);
  });

  it('is real pipes, which a script may open by name', async () => {
    const spec = shell('echo one > /dev/stdout; echo two > /dev/stderr; exit 4');
    expect(await run(client, spec)).toMatchObject({ exitCode: 4 });
    expect(await readOutput(harness, spec, { stream: 'stdout' })).toBe('one\n');
    expect(await readOutput(harness, spec, { stream: 'stderr' })).toBe('two\n');
  });

  it('is the directory that it names', async () => {
    const spec = shell('pwd', { workingDir: harness.dataDirectory });
    await run(client, spec);
    expect(await readOutput(harness, spec)).toBe(`${harness.dataDirectory}\n`);
  });

  it('returns its error and result files, and the end of its output', async () => {
    const spec = shell(
      'printf result > $JARVIS_RESULT_FILE; printf error > $JARVIS_ERROR_FILE; seq 2000; exit 1',
    );
    const exit = await run(client, spec);
    expect(exit).toMatchObject({ exitCode: 1, errorFile: 'error', resultFile: 'result' });
    expect(exit.logTail.length).toBe(4096);
    expect((await readOutput(harness, spec)).endsWith(exit.logTail)).toBe(true);
  });

  it('does not get its files followed, waited for or read without bound', async () => {
    const secret = join(harness.dataDirectory, 'secret');
    await writeFile(secret, 'secret');
    const linked = shell(`ln -s ${secret} $JARVIS_RESULT_FILE; mkfifo $JARVIS_ERROR_FILE`);
    const large = shell('seq 2000 > $JARVIS_RESULT_FILE; mkdir $JARVIS_ERROR_FILE');
    for (const spec of [linked, large])
      expect(await run(client, spec)).toMatchObject({ exitCode: 0, errorFile: null, resultFile: null });
  });
});

describe('how a task ends', () => {
  it('by a signal', async () => {
    expect(await run(client, shell('kill -SEGV $$'))).toMatchObject({
      reason: 'exited',
      exitCode: null,
      signal: 'SIGSEGV',
    });
  });

  it('by a stop that it answers', async () => {
    const spec = shell("trap 'exit 7' TERM; echo ready; while :; do sleep 0.02; done");
    await client.start(spec, never);
    await waitUntil(async () => (await readOutput(harness, spec)) === 'ready\n');
    expect(await client.stop(spec, 10_000, never)).toMatchObject({
      reason: 'stopped',
      exitCode: 7,
      signal: null,
    });
  });

  it('by KILL where it ignores TERM', async () => {
    const spec = shell("trap '' TERM; echo ready; while :; do sleep 0.02; done");
    await client.start(spec, never);
    await waitUntil(async () => (await readOutput(harness, spec)) === 'ready\n');
    expect(await client.stop(spec, 50, never)).toMatchObject({ reason: 'stopped', signal: 'SIGKILL' });
  });

  it('by a second stop that waits less', async () => {
    const spec = shell("trap '' TERM; echo ready; while :; do sleep 0.02; done");
    await client.start(spec, never);
    await waitUntil(async () => (await readOutput(harness, spec)) === 'ready\n');
    const patient = client.stop(spec, 1_000_000, never);
    expect(await client.stop(spec, 0, never)).toMatchObject({ reason: 'stopped', signal: 'SIGKILL' });
    expect(await patient).toMatchObject({ signal: 'SIGKILL' });
  });

  it('by its timeout, with TERM and then KILL', async () => {
    const polite = attemptSpec({ taskId: taskId(), command: ['sleep', '1000'], timeoutMs: 50 });
    const deaf = shell("trap '' TERM; while :; do sleep 0.02; done", {
      timeoutMs: DEAF_MS,
      stopGraceMs: 50,
    });
    const [first, second] = await Promise.all([run(client, polite), run(client, deaf)]);
    expect(first).toMatchObject({ reason: 'timeout', signal: 'SIGTERM', message: 'ran longer than 0.05 s' });
    expect(second).toMatchObject({ reason: 'timeout', signal: 'SIGKILL' });
  });

  it.each([
    ['a stop', null, 'stopped'],
    ['its timeout', DEAF_MS, 'timeout'],
  ] as const)(
    'by %s, and says which step is due when while that goes on',
    async (_what, timeoutMs, reason) => {
      const spec = shell("trap '' TERM; echo ready; while :; do sleep 0.02; done", {
        timeoutMs,
        stopGraceMs: 1_000_000,
      });
      await client.start(spec, never);
      await waitUntil(async () => (await readOutput(harness, spec)) === 'ready\n');
      const stops: AttemptStop[] = [];
      const first = Promise.withResolvers<void>();
      const exit = client.wait(spec, never, (stop) => {
        stops.push(stop);
        first.resolve();
      });
      if (timeoutMs === null) void client.stop(spec, 1_000_000, never);
      await first.promise;
      const late: AttemptStop[] = [];
      const same = client.wait(spec, never, (stop) => late.push(stop));
      await client.stop(spec, 10, never);
      expect(await exit).toMatchObject({ reason, signal: 'SIGKILL' });
      await same;
      expect(stops).toHaveLength(2);
      expect(late).toEqual(stops);
      const [patient, hasty] = stops as [AttemptStop, AttemptStop];
      expect(patient).toMatchObject({ reason, killAtMs: patient.sinceMs + 1_000_000 });
      expect(hasty).toMatchObject({ reason, sinceMs: patient.sinceMs });
      expect(hasty.killAtMs).toBeLessThan(patient.killAtMs);
    },
  );

  it('by stops that are asked for at once, each of which is told once', async () => {
    const spec = shell("trap '' TERM; echo ready; while :; do sleep 0.02; done");
    await client.start(spec, never);
    await waitUntil(async () => (await readOutput(harness, spec)) === 'ready\n');
    const stops: AttemptStop[] = [];
    const exit = client.wait(spec, never, (stop) => stops.push(stop));
    // They travel together: the events of both come before the answer to either.
    const graces = [1_000_000, 1_000_000, 1000, 0];
    await Promise.all(graces.map(async (graceMs) => client.stop(spec, graceMs, never)));
    expect(await exit).toMatchObject({ reason: 'stopped', signal: 'SIGKILL' });
    const dues = stops.map(({ killAtMs }) => killAtMs);
    expect(dues).toEqual([...new Set(dues)].toSorted((one, other) => other - one));
    expect(dues.length).toBeGreaterThanOrEqual(3);
  });

  it.each<[string, Partial<AttemptSpec>, RegExp]>([
    ['a command that does not exist', { command: ['no-such-command', 'x'] }, /"no-such-command": not found/],
    ['a file that is not executable', { command: ['/etc/passwd'] }, /"\/etc\/passwd": permission denied/],
    ['an empty command', { command: [] }, /empty/],
    ['a NUL in the command', { command: ['true', 'a\0b'] }, /word 1 of the command holds a NUL/],
    ['a NUL in the environment', { env: { A: 'a\0b' } }, /variable A holds a NUL/],
    ['a bad name in the environment', { env: { 'A=B': '' } }, /"A=B" is no name/],
    [
      'a command that is too long',
      { command: ['true', 'x'.repeat(3_000_000)] },
      /"true": the command .* too long/,
    ],
    [
      'a working directory that does not exist',
      { workingDir: '/nowhere/at/all' },
      /\/nowhere\/at\/all .*not found/,
    ],
    ['a working directory that is a file', { workingDir: '/etc/passwd' }, /\/etc\/passwd is no directory/],
    ['a relative working directory', { workingDir: 'work' }, /"work" is no absolute path/],
  ])('before it began: %s', async (_name, changes, message) => {
    const spec = attemptSpec({ taskId: taskId(), command: ['true'], ...changes });
    expect(await client.start(spec, never)).toMatchObject({ type: 'ended', exit: { reason: 'startFailed' } });
    const exit = await client.wait(spec, never);
    expect(exit).toMatchObject({ exitCode: null, signal: null });
    expect(exit.message).toMatch(message);
    expect(await readOutput(harness, spec)).toBe('');
  });
});

describe('nothing of a task is left when it has ended', () => {
  it('no grandchild in the background', async () => {
    const spec = shell('sleep 1000 & echo $! > child; exit 2');
    expect(await run(client, spec)).toMatchObject({ reason: 'exited', exitCode: 2 });
    expect(isGone(await readPid(harness, spec, 'child'))).toBe(true);
  });

  it('no daemon that left the session and let go of its output', async () => {
    const script = "setsid sh -c 'echo $$ > daemon; exec sleep 1000' < /dev/null > /dev/null 2>&1 & ";
    const spec = shell(`${script} while [ ! -s daemon ]; do sleep 0.01; done`);
    expect(await run(client, spec)).toMatchObject({ reason: 'exited', exitCode: 0 });
    expect(isGone(await readPid(harness, spec, 'daemon'))).toBe(true);
  });

  it('no daemon when it is stopped, either', async () => {
    const spec = shell(
      'setsid sh -c \'trap "" TERM; echo $$ > daemon; while :; do sleep 0.02; done\' & sleep 1000',
    );
    await client.start(spec, never);
    const daemon = await readPid(harness, spec, 'daemon');
    expect(await client.stop(spec, 5000, never)).toMatchObject({ reason: 'stopped', signal: 'SIGTERM' });
    expect(isGone(daemon)).toBe(true);
  });

  it('but what belongs to another attempt stays', async () => {
    const other = attemptSpec({ taskId: taskId(), command: ['sleep', '1000'] });
    await client.start(other, never);
    await run(client, shell('true'));
    expect((await client.list(never)).find(({ taskId }) => taskId === other.taskId)?.type).toBe('running');
  });
});

describe('output', () => {
  it('of 20 MB arrives whole, as fast as it comes', async () => {
    const spec = shell('head -c 20000000 /dev/zero | tr "\\0" "a"; echo; echo end');
    const exit = await run(client, spec);
    expect(exit).toMatchObject({ exitCode: 0 });
    expect(exit.logTail.endsWith('aaa\nend\n')).toBe(true);
    expect((await readOutput(harness, spec)).length).toBe(20_000_005);
  });

  it('is kept only up to the limits', async () => {
    const small = await createWatchdogHarness();
    try {
      const limited = small.client({ logLimits: { maxFileBytes: 100_000, maxFiles: 3 } });
      await limited.open(1, never);
      const spec = attemptSpec({ session: 1, command: ['sh', '-c', 'seq 500000; echo end >&2'] });
      await limited.start(spec, never);
      const exit = await limited.wait(spec, never);
      expect(exit.logTail.endsWith('500000\nend\n')).toBe(true);
      const directory = attemptDirectory(small.dataDirectory, spec);
      const files = (await readdir(directory)).filter((name) => name.startsWith('log.'));
      const sizes = await Promise.all(files.map(async (name) => (await stat(join(directory, name))).size));
      expect(files.length).toBe(3);
      expect(Math.max(...sizes)).toBeLessThanOrEqual(100_000);
      const tail: string[] = [];
      for await (const { data } of readLog(directory, { tail: 2 })) tail.push(data.toString());
      expect(tail.join('')).toBe('500000\nend\n');
    } finally {
      await small.dispose();
    }
  });

  it('that is binary, or one line without end, is kept as it is', async () => {
    const all = Buffer.from(Array.from({ length: 256 }, (_, at) => at));
    const file = join(harness.dataDirectory, 'all');
    await writeFile(file, all);
    const binary = shell(`cat ${file} >&2`);
    expect(await run(client, binary)).toMatchObject({ exitCode: 0 });
    const bytes: Buffer[] = [];
    for await (const { data } of readLog(attemptDirectory(harness.dataDirectory, binary), {
      stream: 'stderr',
    }))
      bytes.push(data);
    expect(Buffer.concat(bytes)).toEqual(all);
    const line = shell('head -c 1000000 /dev/zero | tr "\\0" "€"');
    const exit = await run(client, line);
    expect((await readOutput(harness, line, { tail: 1 })).length).toBeGreaterThan(900_000);
    // Text, whatever the bytes are.
    expect(exit.logTail.isWellFormed()).toBe(true);
  });

  it('of a task that deletes its own directory is lost, and nothing else', async () => {
    const spec = shell(
      'echo before; rm -rf "$(dirname "$JARVIS_RESULT_FILE")"; seq 100000; echo end; exit 3',
    );
    const exit = await run(client, spec);
    expect(exit).toMatchObject({ reason: 'exited', exitCode: 3, errorFile: null, resultFile: null });
    expect(exit.logTail.endsWith('100000\nend\n')).toBe(true);
    expect(await run(client, shell('echo fine'))).toMatchObject({ exitCode: 0, logTail: 'fine\n' });
  });

  it('can be followed while the task runs, up to its end', async () => {
    const spec = shell('echo one; while [ ! -e go ]; do sleep 0.01; done; echo two');
    await client.start(spec, never);
    const directory = attemptDirectory(harness.dataDirectory, spec);
    const seen: string[] = [];
    for await (const { data } of readLog(directory, { follow: true })) {
      seen.push(data.toString());
      await writeFile(join(directory, 'work', 'go'), '');
    }
    expect(seen.join('')).toBe('one\ntwo\n');
  });

  it('of a process that escaped does not keep the attempt open, where there are no control groups', async () => {
    const open = await createWatchdogHarness();
    try {
      const exposed = open.client({ useCgroups: false });
      await exposed.open(5, never);
      const spec = shell(
        "env -i setsid sh -c 'echo $$ > escaped; exec sleep 1000' & while [ ! -s escaped ]; do sleep 0.01; done",
      );
      expect(await run(exposed, spec)).toMatchObject({ exitCode: 0 });
      const escaped = await readPid(open, spec, 'escaped');
      expect(isGone(escaped)).toBe(false);
      process.kill(escaped, 'SIGKILL');
    } finally {
      await open.dispose();
    }
  });
});
