/** A receiver of snapshots, and senders of any kind. */
import { readFile, stat } from 'node:fs/promises';

import * as grpc from '@grpc/grpc-js';
import { afterEach, describe, expect, it, vi } from 'vitest';

import { RaftClient, type SnapshotChunk, type SnapshotProgress } from '../../generated/raft.ts';
import { CLUSTER_VERSION } from '../../lib/cluster-version.ts';
import { limits } from '../../lib/limits.ts';
import { VirtualClock } from '../../lib/testing/virtual-clock.ts';
import { SnapshotReceiver } from '../snapshots/snapshot-receiver.ts';
import { CLUSTER_ID, eventually, message } from '../testing/grpc-members.ts';
import { cleanUp, opened, pair, snap } from './snapshot-transfer.test-kit.ts';
import { messageToWire } from './wire.ts';

afterEach(async () => {
  vi.restoreAllMocks();
  await cleanUp();
});

describe('a snapshot', () => {
  it('whose sender falls silent is given up after a while, and what came of it is kept', async () => {
    const clock = new VirtualClock();
    const { one, two, file } = await pair({}, clock);
    two.transport.setPeers([one.peer], 0);
    const client = new RaftClient(two.peer.address, grpc.credentials.createInsecure());
    opened.push(client);
    const { size } = await stat(file.path);
    const data = (await readFile(file.path)).subarray(0, 100_000);
    const silent = speak(client);
    silent.stream.write({ offset: 0, data: Buffer.alloc(0), header: header({ bytes: size }) });
    silent.stream.write({ offset: 0, data, header: undefined });
    await eventually(() => silent.offsets.at(-1) === data.byteLength);
    await clock.advance(limits.snapshotStallMs - 1);
    expect(silent.status()).toBeNull();
    await clock.advance(1);
    await eventually(() => silent.status() !== null);
    expect(silent.status()?.details).toBe(`nothing came of a snapshot for ${limits.snapshotStallMs} ms`);
    const next = speak(client);
    next.stream.write({ offset: 0, data: Buffer.alloc(0), header: header({ bytes: size }) });
    await eventually(() => next.offsets.length > 0);
    expect(next.offsets).toEqual([data.byteLength]);
    // One that says nothing at all is not waited for either.
    const begun = new Promise<void>((resolve) => two.onSnapshotStream(resolve));
    const mute = speak(client);
    await begun;
    await clock.advance(limits.snapshotStallMs);
    await eventually(() => mute.status() !== null && next.status() !== null);
    expect(mute.status()?.details).toBe(next.status()?.details);
  });

  it('is not given up while the receiver verifies it, for a bounded time', async () => {
    const clock = new VirtualClock();
    const { one, two, target, file } = await pair({}, clock);
    two.transport.setPeers([one.peer], 0);
    const client = new RaftClient(two.peer.address, grpc.credentials.createInsecure());
    opened.push(client);
    const data = await readFile(file.path);
    const verified = Promise.withResolvers<void>();
    const verifying = new Promise<void>((resolve) => {
      vi.spyOn(SnapshotReceiver.prototype, 'finish').mockImplementationOnce(async function wait(
        this: SnapshotReceiver,
      ) {
        resolve();
        await verified.promise;
        // Only this once it is not the real one.
        return await this.finish();
      });
    });
    const { stream, offsets, status } = speak(client);
    stream.write({ offset: 0, data: Buffer.alloc(0), header: header({ bytes: data.byteLength }) });
    stream.write({ offset: 0, data, header: undefined });
    await verifying;
    const words = limits.snapshotVerifyMs / limits.snapshotAliveMs;
    await clock.advance(limits.snapshotVerifyMs + limits.snapshotStallMs);
    // The answers to both pieces come before.
    await eventually(() => offsets.length === 2 + words);
    expect(new Set(offsets.slice(1))).toEqual(new Set([data.byteLength]));
    verified.resolve();
    await eventually(() => status() !== null);
    expect(status()?.code).toBe(grpc.status.OK);
    expect(offsets).toHaveLength(2 + words + 1);
    expect(await target.list()).toHaveLength(1);
  });

  it.each([
    ['no header', { offset: 0, data: Buffer.from('x'), header: undefined }],
    [
      'a header without its hello',
      { offset: 0, data: Buffer.alloc(0), header: header({ hello: undefined }) },
    ],
    ['another message', { offset: 0, data: Buffer.alloc(0), header: header({ message: message(1, 2) }) }],
    [
      'a message of another member',
      { offset: 0, data: Buffer.alloc(0), header: header({ message: message(3, 2, { ...snap, from: 3 }) }) },
    ],
  ] as const)('that begins with %s is refused', async (_what, chunk) => {
    const { one, two } = await pair();
    two.transport.setPeers([one.peer], 0);
    const client = new RaftClient(two.peer.address, grpc.credentials.createInsecure());
    opened.push(client);
    const { stream, offsets, status } = speak(client);
    stream.write(chunk);
    await eventually(() => status() !== null);
    expect(status()).toMatchObject({ code: grpc.status.FAILED_PRECONDITION });
    expect(offsets).toEqual([]);
  });
});

/** A sender of any kind. */
function speak(client: RaftClient) {
  const stream = client.installSnapshot();
  const offsets: number[] = [];
  let end: grpc.StatusObject | null = null;
  stream.on('data', (reply: SnapshotProgress) => offsets.push(reply.next_offset));
  stream.on('error', () => {});
  stream.on('status', (status) => (end = status));
  return { stream, offsets, status: (): grpc.StatusObject | null => end };
}

function header(fields: {
  bytes?: number;
  hello?: undefined;
  message?: Parameters<typeof messageToWire>[0];
}): SnapshotChunk['header'] {
  const hello = {
    protocol: 1,
    cluster_id: CLUSTER_ID,
    raft_id: 1,
    incarnation: 'incarnation-1',
    start_counter: 1,
    start_id: 'start-1',
    to: 2,
    name: 'n1',
    address: '127.0.0.1:1',
    keeps_leases: false,
    known_version: CLUSTER_VERSION,
  };
  return {
    hello: 'hello' in fields ? undefined : hello,
    file_name: 'x',
    file_bytes: fields.bytes ?? 10,
    message: messageToWire(fields.message ?? snap),
  };
}
