import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { checkDataDirectory, openDataDirectory, type ClusterRecord } from './data-directory.ts';

const NODE = { name: 'n1' };
const STORES = ['log', 'snapshots', 'state'];
const REASON = 'the batch at offset 4096 is damaged';

let parent = '';
let path = '';

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'jarvis-anew-'));
  path = join(parent, 'n1');
});

afterEach(async () => {
  await rm(parent, { recursive: true });
});

function record(raftId: number): ClusterRecord {
  const founders = [{ raftId: 1, name: 'n1', incarnation: 'i', address: '127.0.0.1:7101' }];
  return { clusterId: 'c', epoch: 1, founders, raftId };
}

/** A member with something in each of its stores. @returns its incarnation */
async function member(): Promise<string> {
  const directory = await openDataDirectory(path, NODE);
  await directory.formCluster(record(1));
  await directory.establish();
  await directory.recordPeerStart('p', 4, 'x');
  for (const store of STORES) await writeFile(join(path, store, 'kept'), store);
  await mkdir(join(path, 'state.new'));
  await writeFile(join(path, 'tasks', 'kept'), 'tasks');
  await directory.close();
  return directory.identity.incarnation;
}

async function rejoin(): Promise<string> {
  const directory = await openDataDirectory(path, NODE);
  const successor = await directory.successor();
  await directory.beginAnew(record(1012), REASON);
  await directory.close();
  return successor;
}

async function identityIn(folder: string): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(join(folder, 'identity.json'), 'utf8')) as Record<string, unknown>;
}

describe('a data directory whose log cannot be trusted', () => {
  it('asks under one new incarnation, however often it is started', async () => {
    const incarnation = await member();
    const first = await openDataDirectory(path, NODE);
    const successor = await first.successor();
    expect(await first.successor()).toBe(successor);
    await first.close();
    const second = await openDataDirectory(path, NODE);
    expect(await second.successor()).toBe(successor);
    expect(second.identity).toMatchObject({ incarnation, cluster: { raftId: 1 }, established: true });
    await second.close();
  });

  it('is that of a new member once it has been let in, with the same peers, tasks and count of starts', async () => {
    await member();
    const successor = await rejoin();
    const directory = await openDataDirectory(path, NODE);
    expect(directory.identity).toMatchObject({
      incarnation: successor,
      cluster: { clusterId: 'c', raftId: 1012 },
      established: false,
      successor: null,
      formerStores: null,
    });
    expect(directory.startCounter).toBe(3);
    expect(directory.peerStartFault('p', 3, 'y')).not.toBeNull();
    for (const store of STORES) expect(await readdir(join(path, store))).toEqual([]);
    expect(await readdir(join(path, 'tasks'))).toEqual(['kept']);
    expect(await readdir(path)).not.toContain('state.new');
    await directory.close();
  });

  it('keeps what it held in a folder that no node can be started with', async () => {
    const incarnation = await member();
    await rejoin();
    const former = join(path, `former-${incarnation}`);
    for (const store of STORES) expect(await readFile(join(former, store, 'kept'), 'utf8')).toBe(store);
    expect(await identityIn(former)).toMatchObject({
      incarnation,
      cluster: { raftId: 1 },
      condemned: REASON,
    });
    await expect(checkDataDirectory(former, NODE)).rejects.toMatchObject({
      kind: 'directory_refused',
      message: expect.stringContaining(REASON) as string,
    });
  });

  it('may come to it more than once', async () => {
    const first = await member();
    const second = await rejoin();
    const third = await rejoin();
    expect(new Set([first, second, third]).size).toBe(3);
    const folders = (await readdir(path)).filter((name) => name.startsWith('former-'));
    expect(folders.sort()).toEqual([`former-${first}`, `former-${second}`].sort());
  });

  it.each([0, 1, 2, 3, 4])('goes on where a crash came after %i of its stores were moved', async (moved) => {
    const incarnation = await member();
    const successor = await rejoin();
    const identity = await identityIn(path);
    const former = `former-${incarnation}`;
    // As it was on disk in between: the identity is changed, some of the stores are still in their old places.
    for (const store of [...STORES, 'state.new'].slice(moved)) {
      await rm(join(path, store), { recursive: true, force: true });
      await rename(join(path, former, store), join(path, store));
    }
    for (const store of STORES.slice(0, moved)) await rm(join(path, store), { recursive: true, force: true });
    await writeFile(join(path, 'identity.json'), JSON.stringify({ ...identity, formerStores: former }));
    const directory = await openDataDirectory(path, NODE);
    expect(directory.identity).toMatchObject({ incarnation: successor, formerStores: null });
    for (const store of STORES) {
      expect(await readdir(join(path, store))).toEqual([]);
      expect(await readFile(join(path, former, store, 'kept'), 'utf8')).toBe(store);
    }
    await directory.close();
  });
});
