import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { AttemptSpec } from '../drivers/driver.ts';
import { attemptSpec } from '../drivers/driver-contract.test-kit.ts';
import type { WatchdogClient } from './client.ts';
import { createWatchdogHarness, readOutput, run, type WatchdogHarness } from './watchdog.test-kit.ts';

const never = new AbortController().signal;
const MIB = 1024 * 1024;
const NO_LIMITS = { cpuMillis: null, memoryBytes: null, pids: null };
const MEMORY = { ...NO_LIMITS, memoryBytes: 512 * MIB };

let harness: WatchdogHarness;
let client: WatchdogClient;
let tasks = 0;

beforeAll(async () => {
  harness = await createWatchdogHarness();
  client = harness.client({ useCgroups: false });
  await client.open(5, never);
});

afterAll(async () => {
  await harness.dispose();
});

function limited(command: readonly string[], limits: AttemptSpec['limits']): AttemptSpec {
  tasks += 1;
  return attemptSpec({ taskId: `task-${tasks}`, command, limits });
}

describe('limits without control groups', () => {
  it('bound the memory of each process', async () => {
    const spec = limited(['sh', '-c', 'ulimit -v; tail /dev/zero'], MEMORY);
    expect((await run(client, spec)).exitCode).toBeGreaterThan(0);
    expect(await readOutput(harness, spec, { stream: 'stdout' })).toBe(`${512 * 1024}\n`);
  });

  it('leave exit codes, signals and pids what they are', async () => {
    expect(await run(client, limited(['sh', '-c', 'exit 127'], MEMORY))).toMatchObject({
      reason: 'exited',
      exitCode: 127,
    });
    expect(await run(client, limited(['sh', '-c', 'kill -SEGV $$'], MEMORY))).toMatchObject({
      exitCode: null,
      signal: 'SIGSEGV',
    });
  });

  it.each([[['no-such-command']], [['/etc/passwd']], [['/etc']], [['./nothing']]])(
    'leave it a failure to start that %j cannot be executed',
    async (command) => {
      expect(await run(client, limited(command, MEMORY))).toMatchObject({
        reason: 'startFailed',
        message: expect.stringContaining('not found, or not executable'),
      });
    },
  );

  it('of the processor and of processes are refused', async () => {
    const exit = await run(client, limited(['true'], { ...NO_LIMITS, cpuMillis: 100, pids: 5 }));
    expect(exit).toMatchObject({
      reason: 'startFailed',
      message: 'this node has no control groups to enforce limits.cpu and limits.pids with',
    });
  });
});
