import { afterEach, describe, expect, it } from 'vitest';

import { LastWordsService } from '../generated/last_words.ts';
import { silentLog } from '../lib/log.ts';
import { VirtualClock } from '../lib/testing/virtual-clock.ts';
import type { DiskError } from '../operations/insight.ts';
import type { Peer } from '../raft/ports.ts';
import { ChannelPool } from '../rpc/channel.ts';
import { unaryCall } from '../rpc/client.ts';
import { createServer } from '../rpc/server.ts';
import { LastWords } from './last-words.ts';

const opened: { close(graceMs: number): unknown }[] = [];

afterEach(async () => {
  for (const thing of opened.splice(0).reverse()) await thing.close(0);
});

const ERROR = { kind: 'storage_failed', path: '/log', message: 'EIO', atMs: 5 };

/** Members 1 and 2, which reach each other, and 3, which nobody reaches. */
async function members() {
  const pool = new ChannelPool();
  opened.push(pool);
  const clock = new VirtualClock();
  const peers: Peer[] = [];
  const failed: DiskError[] = [];
  const words = [1, 2].map(
    (raftId) =>
      new LastWords({
        cluster: { clusterId: 'c-1', raftId, founders: [] },
        name: `n${raftId}`,
        diskErrors: { list: () => failed },
        pool,
        clock,
        log: silentLog,
      }),
  );
  for (const [at, one] of words.entries()) {
    const server = await createServer({ listen: '127.0.0.1:0', services: [one.service()] });
    opened.push(server);
    one.follow(() => peers);
    peers.push({ raftId: at + 1, name: `n${at + 1}`, incarnation: '', address: server.address });
  }
  peers.push({ raftId: 3, name: 'n3', incarnation: '', address: '127.0.0.1:1' });
  const [one, two] = words;
  if (one === undefined || two === undefined) throw new Error('there are two members');
  return { one, two, failed, clock, pool, peers };
}

describe('the last word of a member', () => {
  it('is heard by those that can be reached, and kept until the member is heard of again', async () => {
    const { one, two, failed, clock } = await members();
    failed.push(ERROR);
    one.say();
    await one.said;
    expect(two.of(1, 0)).toEqual([ERROR]);
    expect(two.of(2, null)).toEqual([]);
    await clock.advance(60_000);
    expect(two.of(1, 60_010)).toEqual([ERROR]);
    expect(two.of(1, null)).toEqual([ERROR]);
    expect(two.of(1, 20)).toEqual([]);
    // For good, also when it falls silent again.
    expect(two.of(1, 61_000)).toEqual([]);
  });

  it('is not said where nothing of the disk has failed', async () => {
    const { one, two } = await members();
    one.say();
    await one.said;
    expect(two.of(1, 0)).toEqual([]);
  });

  it('is bounded, and taken from members of the cluster only', async () => {
    const { two, pool, peers } = await members();
    const say = (word: { cluster_id?: string; raft_id?: number; name?: string }): Promise<object> =>
      unaryCall({
        pool,
        address: peers[1]?.address ?? '',
        method: LastWordsService.say,
        request: {
          cluster_id: 'c-1',
          raft_id: 1,
          name: 'n1',
          disk_errors: Array.from({ length: 50 }, () => ({
            kind: 'log_corrupt',
            path: '/log',
            message: 'x'.repeat(5000),
            at: 'some day',
          })),
          ...word,
        },
        signal: new AbortController().signal,
        timeoutMs: 5000,
        write: true,
      });
    await expect(say({ cluster_id: 'c-2' })).rejects.toMatchObject({ code: 'invalid' });
    await expect(say({ raft_id: 9 })).rejects.toMatchObject({ code: 'invalid' });
    await expect(say({ name: 'n2' })).rejects.toMatchObject({ code: 'forbidden' });
    expect(two.of(1, 0)).toEqual([]);
    await say({});
    const heard = two.of(1, 0);
    expect(heard).toHaveLength(16);
    expect(heard[0]).toEqual({ kind: 'log_corrupt', path: '/log', message: 'x'.repeat(1024), atMs: 0 });
  });
});
