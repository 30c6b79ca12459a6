/** A node whose disk fills up: a small file system in memory, which needs root. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, statfsSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import type { MemberJson, NodeJson } from '../support/api.ts';
import { SHORT_HEARTBEAT, type TestCluster } from '../support/cluster.ts';
import { prepareCluster } from '../support/test-cluster.ts';
import { waitFor } from '../support/wait.ts';

const FOLDER = 'small';
/** A segment of the log has 16 MiB, and the next one is made ready beside it. */
const SIZE = '48m';
/** Of this a node calls less than 40 MiB too little. */
const ROOMY = '800m';
const isPossible = process.getuid?.() === 0;
if (!isPossible) process.stderr.write('skipped: a full disk: only root can mount one\n');

function mount(...args: readonly string[]): void {
  const { status, stderr } = spawnSync(args[0] ?? '', args.slice(1), { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${args.join(' ')}: ${stderr}`);
}

/** A cluster whose node of that name is to have its data on a disk of its own; nothing runs yet. */
async function prepareSmallDisk(
  name: string,
  joining: number,
  size = SIZE,
): Promise<{ readonly cluster: TestCluster; readonly disk: string }> {
  const cluster = await prepareCluster({
    heartbeat: SHORT_HEARTBEAT,
    drivers: 'noop',
    joining,
    dataDirOf: (directory, node) => path.join(directory, node === name ? FOLDER : '.', node),
  });
  const disk = path.join(cluster.directory, FOLDER);
  mkdirSync(disk);
  mount('mount', '-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', disk);
  // Before the cluster removes its folders.
  onTestFinished(() => mount('umount', '-l', disk));
  return { cluster, disk };
}

function fill(disk: string, leftBytes = 0): string {
  const { bavail, bsize } = statfsSync(disk);
  const file = path.join(disk, 'filling');
  try {
    writeFileSync(file, Buffer.alloc(bavail * bsize - leftBytes));
  } catch (error) {
    // The node has written meanwhile: it is full all the same.
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  }
  return file;
}

describe.skipIf(!isPossible && process.env['CI'] !== 'true')('a node whose disk is full', () => {
  it('stops and says why; the others go on, nothing is lost, and it comes back when there is room', async () => {
    const { cluster, disk } = await prepareSmallDisk('n2', 0);
    await cluster.start();
    const full = cluster.node('n2');
    const other = cluster.node('n1');
    const ids: string[] = [];
    const submit = async (): Promise<void> => {
      const env = { PADDING: 'x'.repeat(60_000) };
      ids.push((await other.api.submit({ command: ['noop', '0ms', '0'], env })).id);
    };
    await submit();
    const filling = fill(disk);
    await waitFor(
      'its end',
      async () => {
        if (full.isRunning) await submit();
        return !full.isRunning;
      },
      { timeoutMs: 60_000 },
    );
    expect(await full.ended).toEqual({ code: 1, signal: null });
    expect(full.log().trimEnd().split('\n').at(-1)).toMatch(/^jarvisd: .*no space left on device/i);
    await submit();
    for (const id of ids) expect(await cluster.finalTask(id)).toMatchObject({ status: 'COMPLETED' });

    await rm(filling);
    await cluster.restart('n2');
    for (const id of ids.slice(-5)) expect(await full.api.task(id)).toMatchObject({ status: 'COMPLETED' });
  });

  it('is given no new work before that, says so, and is given work again when there is room', async () => {
    const { cluster, disk } = await prepareSmallDisk('n2', 0, ROOMY);
    await cluster.start();
    const { api } = cluster.node('n1');
    const small = async (): Promise<NodeJson | undefined> =>
      (await api.nodes()).find(({ name }) => name === 'n2');
    const filling = fill(disk, 30 * 2 ** 20);
    await waitFor('word of it', async () => (await small())?.pressure.join() === 'disk');
    expect(await small()).toMatchObject({ status: 'AVAILABLE', schedulable: true });
    const submitted = await Promise.all(
      Array.from({ length: 6 }, () => api.submit({ command: ['noop', '0ms', '0'] })),
    );
    for (const { id } of submitted) {
      const task = await cluster.finalTask(id);
      expect(task).toMatchObject({ status: 'COMPLETED' });
      expect(task.node).not.toBe('n2');
    }
    await rm(filling);
    await waitFor('its end', async () => (await small())?.pressure.length === 0);
    const ids = (
      await Promise.all(Array.from({ length: 6 }, () => api.submit({ command: ['noop', '1000s', '0'] })))
    ).map(({ id }) => id);
    await waitFor('work for it', async () => {
      const tasks = await Promise.all(ids.map((id) => api.task(id)));
      return tasks.some(({ status, node }) => status === 'RUNNING' && node === 'n2');
    });
  });

  it('does not take a snapshot that has no room, and goes on; it takes it when there is', async () => {
    const { cluster, disk } = await prepareSmallDisk('n4', 1);
    await cluster.start();
    await fillLog(cluster);
    const n4 = async (): Promise<MemberJson | undefined> => {
      const { members } = await (await cluster.leader()).api.cluster();
      return members.find(({ name }) => name === 'n4');
    };

    const joining = cluster.node('n4');
    joining.start();
    const refused = await waitFor('the refusal', async () => {
      const member = await n4();
      const isTold = (member?.snapshot?.failures ?? 0) > 0 && (member?.report?.disk_errors.length ?? 0) > 0;
      return isTold && member !== undefined && member;
    });
    const reason = /no room for a snapshot of \d+ bytes from another node: \d+ bytes must be free for it/;
    expect(refused.snapshot?.last_failure).toMatch(reason);
    expect(refused.report?.disk_errors).toEqual([
      expect.objectContaining({
        kind: 'snapshot_unwritable',
        message: expect.stringMatching(reason) as string,
      }),
    ]);
    expect(refused.report?.refusals['snapshot_unwritable']).toBeGreaterThan(0);
    expect(joining.isRunning).toBe(true);
    expect(readdirSync(path.join(joining.settings.dataDir, 'snapshots'))).toEqual([]);

    mount('mount', '-o', 'remount,size=2g', disk);
    await waitFor(
      'the snapshot',
      async () => {
        const member = await n4();
        return member?.state === 'replicate' && member.lag === 0;
      },
      { timeoutMs: 90_000 },
    );
    await joining.ready();
  }, 240_000);
});

/** Until a node that has nothing needs a snapshot: the log is cut behind the older of two, each after 64 MiB. */
async function fillLog(cluster: TestCluster): Promise<void> {
  const task = { command: ['noop', '0ms', '0'], env: { PADDING: 'x'.repeat(900_000) } };
  await waitFor(
    'the beginning of the log to be cut off',
    async () => {
      const { api, name } = await cluster.leader();
      for (let count = 0; count < 10; count += 1) await Promise.all([api.submit(task), api.submit(task)]);
      const { members } = await api.cluster();
      return (members.find((member) => member.name === name)?.report?.first_index ?? 0) > 1;
    },
    { timeoutMs: 90_000, intervalMs: 0 },
  );
}
