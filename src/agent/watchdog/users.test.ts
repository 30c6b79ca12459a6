import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { findProcessGroups } from '../cgroups/process-groups.ts';
import type { AttemptSpec } from '../drivers/driver.ts';
import type { WatchdogClient } from './client.ts';
import { identityOf } from './users.ts';
import type { WatchdogHarness } from './watchdog.test-kit.ts';
import { createWatchdogHarness, isGone, readOutput, readPid, run, shell } from './watchdog.test-kit.ts';

const never = new AbortController().signal;
const isRoot = process.getuid?.() === 0;
/** Of every Linux. */
const nobody = readFileSync('/etc/passwd', 'utf8')
  .split('\n')
  .map((line) => line.split(':'))
  .find(([name]) => name === 'nobody');

let harness: WatchdogHarness;
let client: WatchdogClient;

beforeAll(async () => {
  harness = await createWatchdogHarness();
  client = harness.client();
  await client.open(5, never);
});

afterAll(async () => {
  await harness.dispose();
});

describe('the user of a process', () => {
  it('is the node itself where it is named', () => {
    expect(identityOf(`${process.getuid?.()}:${process.getgid?.()}`)).toBeNull();
  });

  it.each([
    ['no-such-user', /no user "no-such-user"/],
    ['no-such-user:1', /no user "no-such-user"/],
    ['1:no-such-group', /no group "no-such-group"/],
    ['4000000', /no group for the user 4000000; name one/],
  ])('is refused where it does not exist: %s', async (user, message) => {
    const spec = shell('true', { taskId: `task-${user.replace(':', '-')}`, user });
    expect(await client.start(spec, never)).toMatchObject({
      type: 'ended',
      exit: { reason: 'startFailed', message: expect.stringMatching(message) },
    });
  });

  it.skipIf(isRoot)('cannot be another where the node is not root', () => {
    expect(() => identityOf('0:0')).toThrow('does not run as root');
  });
});

function asNobody(script: string, taskId: string, changes: Partial<AttemptSpec> = {}): AttemptSpec {
  return shell(script, { taskId, user: 'nobody', ...changes });
}

describe.skipIf(!isRoot || nobody === undefined)('a process of another user', () => {
  const [, , uid = '', gid = ''] = nobody ?? [];

  beforeAll(() => {
    chmodSync(dirname(harness.dataDirectory), 0o711);
  });

  it('is that user, with its group alone and its home, in a directory of its own', async () => {
    const spec = asNobody('id -u; id -G; echo $HOME; echo x > file; cat "$PWD/file"; umask', 'task-id');
    expect(await run(client, spec)).toMatchObject({ reason: 'exited', exitCode: 0 });
    const home = nobody?.[5] ?? '';
    expect(await readOutput(harness, spec)).toBe(`${uid}\n${gid}\n${home}\nx\n0022\n`);
  });

  it('may be named by ids', async () => {
    const spec = asNobody('id -u; id -g; echo $HOME', 'task-ids', { user: '4000:4001' });
    await run(client, spec);
    expect(await readOutput(harness, spec)).toBe('4000\n4001\n/\n');
  });

  it('returns its result and its error, and may open its outputs by name', async () => {
    const script =
      'printf r > $JARVIS_RESULT_FILE; printf e > $JARVIS_ERROR_FILE; echo o > /dev/stdout; echo p > /dev/stderr; exit 1';
    const spec = asNobody(script, 'task-files');
    expect(await run(client, spec)).toMatchObject({ exitCode: 1, resultFile: 'r', errorFile: 'e' });
    expect(await readOutput(harness, spec, { stream: 'stderr' })).toBe('p\n');
  });

  it('sees nothing else of the data directory, and replaces nothing', async () => {
    // As an earlier release left it: for everybody to read.
    const log = join(harness.dataDirectory, 'log');
    mkdirSync(log, { mode: 0o755 });
    writeFileSync(join(log, '1'), 'secret', { mode: 0o644 });
    writeFileSync(join(harness.dataDirectory, 'identity.json'), 'secret', { mode: 0o644 });
    const script = [
      `cat ${log}/1 ${harness.dataDirectory}/identity.json`,
      `ls ${harness.dataDirectory} ${harness.dataDirectory}/watchdog "$(dirname $PWD)"`,
      'rm -f $JARVIS_RESULT_FILE',
      'ln -s /etc/shadow "$(dirname $PWD)/log.000009"',
    ].join('; ');
    const spec = asNobody(script, 'task-curious');
    await run(client, spec);
    expect(await readOutput(harness, spec, { stream: 'stdout' })).toBe('');
    expect((await readOutput(harness, spec, { stream: 'stderr' })).match(/denied/g)).toHaveLength(7);
    expect(statSync(log).mode & 0o777).toBe(0o700);
  });

  it.skipIf(findProcessGroups() === null)('is limited and killed like any other', async () => {
    const spec = asNobody(
      'env -i setsid sh -c "echo \\$\\$ > p; exec sleep 1000" & while [ ! -s p ]; do sleep 0.01; done',
      'task-killed',
      {
        limits: { cpuMillis: null, memoryBytes: null, pids: 10 },
      },
    );
    expect(await run(client, spec)).toMatchObject({ exitCode: 0 });
    expect(isGone(await readPid(harness, spec, 'p'))).toBe(true);
  });
});
