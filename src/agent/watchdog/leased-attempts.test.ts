import { rename } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { bootTimeMs } from '../../lib/boot-time.ts';
import type { WatchdogClient } from './client.ts';
import { watchdogDirectory } from './paths.ts';
import type { WatchdogHarness } from './watchdog.test-kit.ts';
import { createWatchdogHarness, isGone, readPid, shell, waitUntil } from './watchdog.test-kit.ts';

const never = new AbortController().signal;
/** So long that everything before it is done by then on a busy machine. */
const LEASE_MS = 4000;
/** The same, where a watchdog is started in between. */
const RESTART_LEASE_MS = 8000;

let harness: WatchdogHarness;
let client: WatchdogClient;

beforeEach(async () => {
  harness = await createWatchdogHarness({ leaseMs: 0 });
  client = harness.client();
  await client.open(5, never);
});

afterEach(async () => {
  await harness.dispose();
});

describe('a watchdog whose lease has run out', () => {
  it('has killed what runs within it, with the daemon stopped or not, and nothing else', async () => {
    await client.extendLease(5, bootTimeMs() + LEASE_MS, never);
    const script = "trap '' TERM; echo $$ > pid; while :; do sleep 0.05; done";
    const leased = shell(script, { taskId: 'task-a', stopGraceMs: 60_000 });
    const unleased = shell(script, { taskId: 'task-b', isLeased: false });
    await Promise.all([client.start(leased, never), client.start(unleased, never)]);
    const [gone, left] = [await readPid(harness, leased, 'pid'), await readPid(harness, unleased, 'pid')];
    // Nobody is there to say anything any more.
    await client.close();
    await waitUntil(() => isGone(gone));
    expect(isGone(left)).toBe(false);
    const later = harness.client();
    await later.open(5, never);
    const exit = await later.wait(leased, never);
    expect(exit).toMatchObject({ reason: 'leaseLost', signal: 'SIGKILL' });
    expect(exit.message).toMatch(/the lease ran out/);
    expect(isGone(left)).toBe(false);
  });

  it('starts nothing until there is another', async () => {
    const refused = client.start(shell('true', { taskId: 'task-a' }), never);
    await expect(refused).rejects.toMatchObject({ code: 'timeout' });
    await client.start(shell('true', { taskId: 'task-b', isLeased: false }), never);
    await client.extendLease(5, bootTimeMs() + 60_000, never);
    await client.start(shell('true', { taskId: 'task-a' }), never);
  });

  it('is also one whose directory is gone: it ends everything and leaves', async () => {
    await client.extendLease(5, bootTimeMs() + 60_000, never);
    const leased = shell('echo $$ > pid; exec sleep 1000', { taskId: 'task-a' });
    const unleased = shell('echo $$ > pid; exec sleep 1000', { taskId: 'task-b', isLeased: false });
    await Promise.all([client.start(leased, never), client.start(unleased, never)]);
    const pids = [await readPid(harness, leased, 'pid'), await readPid(harness, unleased, 'pid')];
    const watchdog = await client.watchdogPid(never);
    await client.close();
    await rename(watchdogDirectory(harness.dataDirectory), join(harness.dataDirectory, 'elsewhere'));
    await waitUntil(() => isGone(watchdog));
    expect(pids.map(isGone)).toEqual([true, true]);
  });

  it('is also one that is stopped, and never answered the daemon that replaces it', async () => {
    await client.extendLease(5, bootTimeMs() + 60_000, never);
    const spec = shell('echo $$ > pid; exec sleep 1000');
    await client.start(spec, never);
    const started = await readPid(harness, spec, 'pid');
    const watchdog = await client.watchdogPid(never);
    process.kill(watchdog, 'SIGSTOP');
    await client.close();
    const later = harness.client();
    const attached = later.attach();
    await later.replaceHung(1);
    await attached;
    await waitUntil(() => isGone(watchdog));
    await waitUntil(() => isGone(started));
    expect(await later.wait(spec, never)).toMatchObject({ reason: 'unknown' });
  });

  it('is not killed where it answers', async () => {
    const watchdog = await client.watchdogPid(never);
    await client.replaceHung(5000);
    expect(await client.watchdogPid(never)).toBe(watchdog);
  });

  it('is also one that was started anew, and enforces what is on record', async () => {
    await client.extendLease(5, bootTimeMs() + RESTART_LEASE_MS, never);
    const pid = await client.watchdogPid(never);
    process.kill(pid, 'SIGKILL');
    await waitUntil(() => isGone(pid));
    const spec = shell('echo $$ > pid; exec sleep 1000');
    await client.start(spec, never);
    const started = await readPid(harness, spec, 'pid');
    await client.close();
    await waitUntil(() => isGone(started));
    const later = harness.client();
    await later.open(5, never);
    expect(await later.wait(spec, never)).toMatchObject({ reason: 'leaseLost' });
  });
});
