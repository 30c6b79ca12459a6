import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { silentLog } from '../lib/log.ts';
import { VirtualClock } from '../lib/testing/virtual-clock.ts';
import { checkDataDirectory, openDataDirectory } from '../raft/data-directory.ts';
import { StorageError } from '../raft/storage-error.ts';
import { hasLostLog, rejoinAnew } from './rejoin.ts';

let dataDir = '';

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'jarvis-rejoin-'));
});

afterEach(async () => {
  await rm(dataDir, { recursive: true });
});

describe('what a node comes back from by itself', () => {
  it('is a log that is damaged or gone, while it is known who the node is', () => {
    const log = join(dataDir, 'log');
    for (const kind of ['log_corrupt', 'log_missing', 'store_lost'] as const)
      expect(hasLostLog(new StorageError(kind, log, 'gone'), { dataDir })).toBe(true);
    const identity = join(dataDir, 'identity.json');
    expect(hasLostLog(new StorageError('store_lost', identity, 'damaged'), { dataDir })).toBe(false);
    for (const kind of ['log_foreign', 'storage_failed', 'directory_refused', 'directory_in_use'] as const)
      expect(hasLostLog(new StorageError(kind, log, 'no'), { dataDir })).toBe(false);
    expect(hasLostLog(new Error('a bug'), { dataDir })).toBe(false);
  });

  it('is nothing where there is nobody to let it in: it says so and keeps what is there', async () => {
    const directory = await openDataDirectory(dataDir, { name: 'n1' });
    const { incarnation } = directory.identity;
    const founders = [{ raftId: 1, name: 'n1', incarnation, address: '127.0.0.1:7101' }];
    await directory.formCluster({ clusterId: 'c', epoch: 1, founders, raftId: 1 });
    await directory.establish();
    await directory.close();
    const names = await readdir(dataDir);
    const address = '127.0.0.1:7101';
    const cause = new StorageError('log_corrupt', join(dataDir, 'log'), 'the batch is damaged');
    await expect(
      rejoinAnew({
        config: { name: 'n1', dataDir, peers: [{ name: 'n1', address }], join: [], advertise: address },
        clock: new VirtualClock(),
        log: silentLog,
        signal: new AbortController().signal,
        cause,
      }),
    ).rejects.toMatchObject({
      code: 'unavailable',
      cause,
      message: expect.stringMatching(
        /^the batch is damaged .*; the node was not let in anew \(there is nobody else\)/,
      ) as string,
    });
    expect(await readdir(dataDir)).toEqual(names);
    expect(await checkDataDirectory(dataDir, { name: 'n1' })).toMatchObject({
      incarnation,
      established: true,
      condemned: null,
      formerStores: null,
    });
  });
});
