import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { findProcessGroups } from '../cgroups/process-groups.ts';
import { GuardStore } from './guard-store.ts';
import { Guards } from './guards.ts';
import { isGone, waitUntil } from './watchdog.test-kit.ts';

/** As root, and where control groups are mounted: else nothing can be guarded, and no container is offered. */
const groups = findProcessGroups();

let directory: string;
let holds: boolean;
let cgroup: string;
let inner: number;
const children: ChildProcess[] = [];
const key = { taskId: 'task-a', assignment: 7 };

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'jarvis-guards-'));
  holds = true;
  inner = 0;
  cgroup = `/jarvis-test-${directory.slice(-6)}-task-a-7`;
});

afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await waitUntil(() => groups === null || groups.remove(cgroup) !== null);
  rmSync(directory, { recursive: true });
});

function open(bootId = 'boot-1'): Promise<Guards> {
  const lease = { permits: ({ isLeased }: { readonly isLeased: boolean }) => !isLeased || holds };
  const store = new GuardStore(directory);
  return Guards.open({ store, bootId, groups, lease, delay, diagnose: () => {}, onChange: () => {} });
}

/**
 * As an engine does it: in a group of its own below the parent. It is moved there by another, for whoever enters a frozen
 * group itself is frozen; only then does it go on to the script.
 */
function execute(script: string): number {
  inner += 1;
  const child = spawn('sh', ['-c', `read -r _; ${script}`], {
    stdio: ['pipe', 'ignore', 'ignore'],
    cwd: directory,
  });
  if (child.pid === undefined || groups === null) throw new Error('it was not started');
  children.push(child);
  const group = `${cgroup}/c${inner}`;
  groups.prepare(group);
  for (const folder of ['/sys/fs/cgroup/freezer', '/sys/fs/cgroup'].map((each) => join(each, group)))
    if (existsSync(folder)) writeFileSync(join(folder, 'cgroup.procs'), String(child.pid));
  child.stdin.on('error', () => undefined);
  child.stdin.end('go\n');
  return child.pid;
}

describe.skipIf(groups === null)('a guarded group', () => {
  it('is left alone while there is a lease, and gone once it is released', async () => {
    const guards = await open();
    await guards.guard({ ...key, cgroup, isLeased: true });
    const pid = execute('exec sleep 1000');
    expect([isGone(pid), guards.isOver(key), guards.count]).toEqual([false, false, 1]);
    process.kill(pid, 'SIGKILL');
    await waitUntil(() => isGone(pid));
    await guards.release(key);
    expect(guards.count).toBe(0);
    expect(groups?.isOccupied(cgroup)).toBe(false);
  });

  it('is emptied with the lease, and what comes late dies without a step, also under a new lease', async () => {
    const guards = await open();
    await guards.guard({ ...key, cgroup, isLeased: true });
    const first = execute("trap '' TERM; while :; do sleep 0.01; done");
    holds = false;
    guards.endLeased();
    await waitUntil(() => isGone(first));
    expect(guards.isOver(key)).toBe(true);
    await guards.recorded();
    holds = true;
    // A later watchdog goes on with it.
    const next = await open();
    const late = execute('echo ran > ran');
    await waitUntil(() => isGone(late));
    expect(existsSync(join(directory, 'ran'))).toBe(false);
    await expect(next.guard({ ...key, cgroup, isLeased: true })).rejects.toMatchObject({ code: 'timeout' });
    await Promise.all([guards.release(key), next.release(key)]);
  });

  it('is not asked for by what its release has overtaken', async () => {
    const guards = await open();
    await guards.release(key);
    const late = guards.guard({ ...key, cgroup, isLeased: true });
    await expect(late).rejects.toMatchObject({ code: 'conflict' });
    expect([guards.count, await new GuardStore(directory).load()]).toEqual([0, []]);
    // In another session nothing of this one is heard any more.
    guards.beginSession();
    await guards.guard({ ...key, cgroup, isLeased: true });
    expect(guards.count).toBe(1);
    await guards.release(key);
  });

  it('that is released while it is written leaves nothing on disk', async () => {
    const guards = await open();
    const asked = guards.guard({ ...key, cgroup, isLeased: true });
    await Promise.all([guards.release(key), expect(asked).rejects.toMatchObject({ code: 'conflict' })]);
    expect([guards.count, await new GuardStore(directory).load()]).toEqual([0, []]);
  });

  it('whose lease ends while it is released leaves nothing on disk', async () => {
    const removed = Promise.withResolvers<void>();
    const removing = Promise.withResolvers<void>();
    const store = new GuardStore(directory);
    const slow = {
      load: () => store.load(),
      write: (...written: Parameters<GuardStore['write']>) => store.write(...written),
      remove: async (record: Parameters<GuardStore['remove']>[0]) => {
        await store.remove(record);
        removed.resolve();
        await removing.promise;
      },
    };
    const lease = { permits: () => holds };
    const rest = { bootId: 'boot-1', lease, delay, diagnose: () => {}, onChange: () => {} };
    const guards = await Guards.open({ ...rest, store: slow, groups });
    await guards.guard({ ...key, cgroup, isLeased: true });
    const released = guards.release(key);
    await removed.promise;
    holds = false;
    guards.endLeased();
    await guards.recorded();
    removing.resolve();
    await released;
    expect([guards.count, await store.load()]).toEqual([0, []]);
  });

  it('that holds no lease is never ended', async () => {
    const guards = await open();
    holds = false;
    await guards.guard({ ...key, cgroup, isLeased: false });
    const pid = execute('echo "$$" > ran; exec sleep 1000');
    guards.endLeased();
    await waitUntil(
      () => existsSync(join(directory, 'ran')) && readFileSync(join(directory, 'ran')).length > 0,
    );
    expect([isGone(pid), guards.isOver(key)]).toEqual([false, false]);
    process.kill(pid, 'SIGKILL');
    await waitUntil(() => isGone(pid));
    await guards.release(key);
  });

  it('is refused while the lease is over, and forgotten with its boot', async () => {
    const guards = await open();
    holds = false;
    await expect(guards.guard({ ...key, cgroup, isLeased: true })).rejects.toMatchObject({ code: 'timeout' });
    holds = true;
    await guards.guard({ ...key, cgroup, isLeased: true });
    expect((await open('boot-2')).count).toBe(0);
    expect((await open()).count).toBe(0);
  });
});

describe('a watchdog that comes when the lease is over', () => {
  it('ends at once what an earlier one guarded', async () => {
    const frozen: string[] = [];
    const groupsOfMemory = {
      prepare: () => {},
      freeze: async (group: string) => void frozen.push(group),
      isOccupied: () => false,
      remove: () => ({ outOfMemory: false }),
    } as unknown as NonNullable<typeof groups>;
    const lease = { permits: () => holds };
    const options = {
      bootId: 'boot-1',
      groups: groupsOfMemory,
      lease,
      delay,
      diagnose: () => {},
      onChange: () => {},
    };
    const before = await Guards.open({ ...options, store: new GuardStore(directory) });
    await before.guard({ ...key, cgroup, isLeased: true });
    holds = false;
    const guards = await Guards.open({ ...options, store: new GuardStore(directory) });
    expect([guards.isOver(key), frozen]).toEqual([true, [cgroup]]);
    await guards.recorded();
    await guards.release(key);
  });
});

describe('a guard that the disk did not take', () => {
  it('is asked for anew, unless the lease has ended it meanwhile: that is held until it is released', async () => {
    const frozen = new Set<string>();
    const memoryGroups = {
      prepare: () => undefined,
      freeze: async (group: string) => void frozen.add(group),
      isOccupied: () => false,
      remove: () => null,
    } as unknown as NonNullable<typeof groups>;
    const writes: PromiseWithResolvers<void>[] = [];
    const store = {
      load: async () => [],
      write: () => {
        const write = Promise.withResolvers<void>();
        writes.push(write);
        return write.promise;
      },
      remove: async () => undefined,
    };
    const lease = { permits: () => holds };
    const rest = { bootId: 'b', lease, delay, diagnose: () => {}, onChange: () => {} };
    const guards = await Guards.open({ store, groups: memoryGroups, ...rest });
    const guarded = { ...key, cgroup, isLeased: true };

    const first = guards.guard(guarded);
    writes[0]?.reject(new Error('no space'));
    await expect(first).rejects.toThrow('no space');
    expect(guards.count).toBe(0);

    const second = guards.guard(guarded);
    holds = false;
    guards.endLeased();
    writes[1]?.reject(new Error('no space'));
    await expect(second).rejects.toThrow('no space');
    await expect(guards.guard(guarded)).rejects.toMatchObject({ code: 'timeout' });
    expect([guards.count, guards.isOver(key), [...frozen]]).toEqual([1, true, [cgroup]]);
    // That it is over, which was noted.
    writes[2]?.resolve();
    await guards.release(key);
    expect(guards.count).toBe(0);
  });
});
