/** A node whose disk fills up: a small file system in memory, which needs root. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, statfsSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import { SHORT_HEARTBEAT, type TestCluster } from '../support/cluster.ts';
import { prepareCluster } from '../support/test-cluster.ts';
import { waitFor } from '../support/wait.ts';

const FOLDER = 'small';
/** A segment of the log has 16 MiB, and the next one is made ready beside it. */
const SIZE = '48m';
const isPossible = process.getuid?.() === 0;
if (!isPossible) process.stderr.write('skipped: a full disk: only root can mount one\n');

function mount(...args: readonly string[]): void {
  const { status, stderr } = spawnSync(args[0] ?? '', args.slice(1), { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${args.join(' ')}: ${stderr}`);
}

async function withSmallDisk(
  name: string,
): Promise<{ readonly cluster: TestCluster; readonly disk: string }> {
  const cluster = await prepareCluster({
    heartbeat: SHORT_HEARTBEAT,
    drivers: 'noop',
    dataDirOf: (directory, node) => path.join(directory, node === name ? FOLDER : '.', node),
  });
  const disk = path.join(cluster.directory, FOLDER);
  mkdirSync(disk);
  mount('mount', '-t', 'tmpfs', '-o', `size=${SIZE}`, 'tmpfs', disk);
  // Before the cluster removes its folders.
  onTestFinished(() => mount('umount', '-l', disk));
  for (const node of cluster.nodes) node.start();
  await cluster.ready();
  return { cluster, disk };
}

function fill(disk: string): string {
  const { bavail, bsize } = statfsSync(disk);
  const file = path.join(disk, 'filling');
  writeFileSync(file, Buffer.alloc(bavail * bsize));
  return file;
}

describe.skipIf(!isPossible && process.env['CI'] !== 'true')('a node whose disk is full', () => {
  it('stops and says why; the others go on, nothing is lost, and it comes back when there is room', async () => {
    const { cluster, disk } = await withSmallDisk('n2');
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
});
