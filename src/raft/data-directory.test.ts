import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { CLUSTER_VERSION } from '../lib/cluster-version.ts';
import { checkDataDirectory, openDataDirectory, type ClusterRecord } from './data-directory.ts';

const NODE = { name: 'n1' };

function cluster(incarnation: string, clusterId = '6f1c2d3e-0000-4000-8000-000000000001'): ClusterRecord {
  const founders = [{ raftId: 1, name: 'n1', incarnation, address: '127.0.0.1:7101' }];
  return { clusterId, epoch: 1, founders, raftId: 1 };
}

describe('a data directory', () => {
  let parent = '';
  let path = '';
  beforeEach(async () => {
    parent = await mkdtemp(join(tmpdir(), 'jarvis-data-'));
    path = join(parent, 'deeper', 'n1');
  });
  afterEach(async () => {
    await rm(parent, { recursive: true });
  });

  it('is made once, and keeps its incarnation while it counts its starts', async () => {
    expect(await checkDataDirectory(path, NODE)).toBeNull();
    expect(await readdir(parent)).toEqual([]);
    const first = await openDataDirectory(path, NODE);
    expect(first.identity).toMatchObject({ name: 'n1', cluster: null, established: false });
    expect(first.startCounter).toBe(1);
    await first.formCluster(cluster(first.identity.incarnation));
    await first.close();

    const second = await openDataDirectory(path, NODE);
    expect(second.identity).toEqual(first.identity);
    expect(second.identity.cluster?.raftId).toBe(1);
    expect(second.startCounter).toBe(2);
    expect(second.startId).not.toBe(first.startId);
    expect((await readdir(path)).sort()).toEqual([
      'identity.json',
      'lock',
      'log',
      'snapshots',
      'starts.json',
      'state',
      'tasks',
    ]);
    expect(await checkDataDirectory(path, NODE)).toEqual(first.identity);
    await second.close();
  });

  it('tells the machine that it is on, not the one on which it was made', async () => {
    const first = await openDataDirectory(path, NODE);
    const { machineId } = first;
    expect(first.identity.machineId).toBe(machineId);
    await first.close();
    const file = join(path, 'identity.json');
    const made = JSON.parse(await readFile(file, 'utf8')) as object;
    await writeFile(file, JSON.stringify({ ...made, machineId: 'of another one' }));
    const moved = await openDataDirectory(path, NODE);
    expect(moved.identity.machineId).toBe('of another one');
    expect(moved.machineId).toBe(machineId);
    await moved.close();
  });

  it('refuses to become part of another cluster', async () => {
    const directory = await openDataDirectory(path, NODE);
    const own = cluster(directory.identity.incarnation);
    await directory.formCluster(own);
    await directory.formCluster({ ...own, raftId: 4 });
    await expect(directory.formCluster({ ...own, clusterId: 'another' })).rejects.toMatchObject({
      kind: 'directory_refused',
      message: expect.stringMatching(/6f1c2d3e.*another/) as string,
    });
    expect(directory.identity.cluster?.raftId).toBe(4);
    await directory.close();
  });

  it('of another node is refused and not changed', async () => {
    await (await openDataDirectory(path, NODE)).close();
    const before = await readFile(join(path, 'starts.json'), 'utf8');
    await expect(openDataDirectory(path, { name: 'n2' })).rejects.toMatchObject({
      kind: 'directory_refused',
      code: 'invalid',
      message: expect.stringMatching(/"n1".*"n2"/) as string,
    });
    expect(await readFile(join(path, 'starts.json'), 'utf8')).toBe(before);
  });

  it('is not made where something else is', async () => {
    await mkdir(path, { recursive: true });
    await writeFile(join(path, 'thesis.doc'), 'precious');
    await expect(openDataDirectory(path, NODE)).rejects.toMatchObject({
      kind: 'directory_refused',
      message: expect.stringContaining('thesis.doc') as string,
    });
    expect(await readdir(path)).toEqual(['thesis.doc']);
    await expect(openDataDirectory(join(path, 'thesis.doc'), NODE)).rejects.toMatchObject({
      kind: 'directory_refused',
    });
  });

  it('tells a damaged file and an unknown format from a blank directory', async () => {
    await (await openDataDirectory(path, NODE)).close();
    const file = join(path, 'identity.json');
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.slice(0, 40));
    await expect(openDataDirectory(path, NODE)).rejects.toMatchObject({ kind: 'store_lost' });
    await writeFile(file, text.replace('"incarnation"', '"incarnations"'));
    await expect(openDataDirectory(path, NODE)).rejects.toMatchObject({ kind: 'store_lost' });
    await writeFile(file, text.replace('"format": 1', `"format": ${CLUSTER_VERSION + 1}`));
    await expect(openDataDirectory(path, NODE)).rejects.toMatchObject({
      kind: 'format_unknown',
      message: expect.stringContaining(
        `format ${CLUSTER_VERSION + 1} of the data directory; this version knows ${CLUSTER_VERSION}`,
      ) as string,
    });
  });

  it('is of the version of its cluster, durably, and never of an earlier one again', async () => {
    const first = await openDataDirectory(path, NODE);
    expect(first.identity.format).toBe(1);
    await first.raiseFormat(CLUSTER_VERSION);
    await first.raiseFormat(1);
    await first.close();
    const second = await openDataDirectory(path, NODE);
    expect(second.identity).toEqual({ ...first.identity, format: CLUSTER_VERSION });
    await second.close();
  });

  it('tells lost stores from those that were never made', async () => {
    const first = await openDataDirectory(path, NODE);
    await first.formCluster(cluster(first.identity.incarnation));
    await first.close();
    const second = await openDataDirectory(path, NODE);
    expect(second.lostStores).toEqual([]);
    await writeFile(join(second.paths.log, '0000000000000001.log'), '');
    await writeFile(join(second.paths.state, 'CURRENT'), '');
    await second.establish();
    await second.close();
    const third = await openDataDirectory(path, NODE);
    expect(third.lostStores).toEqual([]);
    await third.close();
    await rm(join(path, 'log'), { recursive: true });
    const fourth = await openDataDirectory(path, NODE);
    expect(fourth.lostStores).toEqual(['log']);
    await rm(join(path, 'state', 'CURRENT'));
    await fourth.close();
    const fifth = await openDataDirectory(path, NODE);
    expect(fifth.lostStores).toEqual(['log', 'state']);
    await fifth.close();
    await rm(join(path, 'starts.json'));
    await expect(openDataDirectory(path, NODE)).rejects.toMatchObject({ kind: 'store_lost' });
  });

  it('of a member that works without a copy from now on loses log and state, and nothing else', async () => {
    const first = await openDataDirectory(path, NODE);
    const { incarnation } = first.identity;
    await first.formCluster(cluster(incarnation));
    await writeFile(join(first.paths.log, '0000000000000001.log'), 'an entry');
    await writeFile(join(first.paths.state, 'CURRENT'), '');
    await writeFile(join(first.paths.tasks, 'kept'), '');
    await first.establish();
    const members = cluster('other').founders;
    await first.takeRole({ ...cluster(incarnation), raftId: 0 }, members);
    await first.close();
    const second = await openDataDirectory(path, NODE);
    expect(second.identity).toMatchObject({
      format: 2,
      incarnation,
      cluster: { raftId: 0 },
      established: false,
      withoutCopy: { members },
    });
    expect(second.lostStores).toEqual([]);
    expect(await readdir(second.paths.log)).toEqual([]);
    expect(await readdir(second.paths.state)).toEqual([]);
    expect(await readdir(second.paths.tasks)).toEqual(['kept']);
    expect(second.startCounter).toBe(2);

    // A place among the learners is free.
    await second.takeRole({ ...cluster(incarnation), raftId: 1044 }, null);
    await second.close();
    const third = await openDataDirectory(path, NODE);
    expect(third.identity).toMatchObject({ incarnation, cluster: { raftId: 1044 } });
    expect(third.identity.withoutCopy).toBeUndefined();
    await third.close();
  });

  it('goes on with the removal of log and state that a crash has interrupted', async () => {
    const first = await openDataDirectory(path, NODE);
    await first.formCluster(cluster(first.identity.incarnation));
    await first.establish();
    await first.takeRole({ ...cluster(first.identity.incarnation), raftId: 0 }, []);
    await first.close();
    const file = join(path, 'identity.json');
    const identity = JSON.parse(await readFile(file, 'utf8')) as object;
    await writeFile(file, JSON.stringify({ ...identity, givesUpStores: true }));
    await mkdir(join(path, 'state.new'));
    await mkdir(join(path, 'log'), { recursive: true });
    await writeFile(join(path, 'log', '0000000000000001.log'), 'an entry of the former Raft id');
    const second = await openDataDirectory(path, NODE);
    expect(await readdir(second.paths.log)).toEqual([]);
    expect(await readdir(path)).not.toContain('state.new');
    expect(second.identity.givesUpStores).toBeUndefined();
    await second.close();
  });

  it('takes no role in another cluster', async () => {
    const directory = await openDataDirectory(path, NODE);
    await directory.formCluster(cluster(directory.identity.incarnation));
    const other = cluster(directory.identity.incarnation, '6f1c2d3e-0000-4000-8000-000000000002');
    await expect(directory.takeRole(other, [])).rejects.toMatchObject({ kind: 'directory_refused' });
    expect(directory.identity.withoutCopy).toBeUndefined();
    await directory.close();
  });

  it('remembers the starts of peers and refuses copies', async () => {
    const directory = await openDataDirectory(path, NODE);
    await Promise.all([directory.recordPeerStart('p', 3, 'x'), directory.recordPeerStart('q', 1, 'y')]);
    await directory.recordPeerStart('p', 3, 'x');
    const recorded = directory.recordPeerStart('p', 5, 'z');
    // Known at once, on disk a little later.
    expect(directory.peerStartFault('p', 4, 'x')).toContain('start 4');
    expect(directory.peerStartFault('p', 5, 'z')).toBeNull();
    await recorded;
    await directory.close();
    const again = await openDataDirectory(path, NODE);
    await expect(again.recordPeerStart('p', 4, 'x')).rejects.toMatchObject({ code: 'conflict' });
    await expect(again.recordPeerStart('p', 5, 'other')).rejects.toMatchObject({ code: 'conflict' });
    await again.recordPeerStart('p', 5, 'z');
    await again.recordPeerStart('q', 2, 'w');
    await again.close();
  });

  it('copied and started twice counts the same with different start ids', async () => {
    await (await openDataDirectory(path, NODE)).close();
    const copy = join(parent, 'copy');
    await cp(path, copy, { recursive: true });
    const [original, copied] = [await openDataDirectory(path, NODE), await openDataDirectory(copy, NODE)];
    expect(copied.startCounter).toBe(original.startCounter);
    expect(copied.startId).not.toBe(original.startId);
    await original.close();
    await copied.close();
  });

  it('that a peer took for a copy is refused from then on, and not even counted', async () => {
    const directory = await openDataDirectory(path, NODE);
    const error = await directory.condemn('start 3 has been seen');
    await directory.close();
    expect(error).toMatchObject({ kind: 'directory_refused', code: 'invalid' });
    const before = await readFile(join(path, 'starts.json'), 'utf8');
    for (const attempt of [openDataDirectory, checkDataDirectory]) {
      await expect(attempt(path, NODE)).rejects.toMatchObject({
        kind: 'directory_refused',
        message: expect.stringContaining('start 3 has been seen') as string,
      });
    }
    expect(await readFile(join(path, 'starts.json'), 'utf8')).toBe(before);
  });

  it('is held by one process, until that ends', async () => {
    const module = fileURLToPath(new URL('./data-directory.ts', import.meta.url));
    const script = `
      import { openDataDirectory } from ${JSON.stringify(module)};
      await openDataDirectory(${JSON.stringify(path)}, { name: 'n1' });
      process.stdout.write('open');
      setInterval(() => {}, 1000);`;
    const holder = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      await once(holder.stdout, 'data');
      await expect(openDataDirectory(path, NODE)).rejects.toMatchObject({
        kind: 'directory_in_use',
        code: 'conflict',
        message: expect.stringMatching(new RegExp(`process ${holder.pid}.*${path}`)) as string,
      });
    } finally {
      const ended = once(holder, 'exit');
      holder.kill('SIGKILL');
      await ended;
    }
    const directory = await openDataDirectory(path, NODE);
    expect(directory.startCounter).toBe(2);
    await expect(openDataDirectory(path, NODE)).rejects.toMatchObject({ kind: 'directory_in_use' });
    await directory.close();
  });
});
