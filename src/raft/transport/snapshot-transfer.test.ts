import { readdirSync, statSync } from 'node:fs';
import { stat, writeFile, readFile } from 'node:fs/promises';
import { createServer, connect as connectSocket, type Server, type Socket } from 'node:net';
import path from 'node:path';

import * as grpc from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';

import { limits } from '../../lib/limits.ts';
import { VirtualClock } from '../../lib/testing/virtual-clock.ts';
import type { StorageError } from '../storage-error.ts';
import { connect, eventually, GrpcMember, peerOf } from '../testing/grpc-members.ts';
import {
  ALL_BYTES,
  cleanUp,
  directories,
  meta,
  never,
  opened,
  openSnapshots,
  pair,
  reopenSnapshots,
  ROWS,
  snap,
  writeOne,
} from './snapshot-transfer.test-kit.ts';

afterEach(cleanUp);

/** A connection that can be broken in the middle: forwards bytes to `port`, and counts them. */
class Line {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Bytes towards the receiver after which both ends are cut off, once. */
  breakAfter = Number.POSITIVE_INFINITY;
  forwarded = 0;

  constructor(port: number) {
    this.#server = createServer((near) => {
      const far = connectSocket(port, '127.0.0.1');
      for (const socket of [near, far]) {
        this.#sockets.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => {
          this.#sockets.delete(socket);
          near.destroy();
          far.destroy();
        });
      }
      near.on('data', (bytes) => {
        this.forwarded += bytes.byteLength;
        if (this.forwarded > this.breakAfter) {
          this.breakAfter = Number.POSITIVE_INFINITY;
          near.destroy();
        } else far.write(bytes);
      });
      far.on('data', (bytes) => near.write(bytes));
    });
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => {
      this.#server.listen(0, '127.0.0.1', resolve);
    });
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return address.port;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}

/** A first try that breaks off after two megabytes. */
async function brokenLine({ one, two, target, file }: Awaited<ReturnType<typeof pair>>): Promise<Line> {
  const line = new Line(two.port);
  opened.push(line);
  const port = await line.listen();
  two.transport.setPeers([one.peer, two.peer], 0);
  one.transport.setPeers([one.peer, peerOf(2, port)], 0);
  line.breakAfter = 2_000_000;
  await expect(one.transport.sendSnapshot(snap, file.path, never)).rejects.toMatchObject({
    code: grpc.status.UNAVAILABLE,
  });
  expect(await target.list()).toEqual([]);
  await one.ears.until(() => one.ears.resets.length > 0 || one.ears.unreachables.length > 0);
  return line;
}

describe('a snapshot', () => {
  it('is sent, verified, and only then announced to the receiver', async () => {
    const { one, two, target, file } = await pair();
    await connect(one, two);
    const progress: [takenBytes: number, totalBytes: number][] = [];
    await one.transport.sendSnapshot(snap, file.path, never, (taken, total) => progress.push([taken, total]));
    const { size } = await stat(file.path);
    expect(progress[0]).toEqual([0, size]);
    expect(progress.every(([taken, total]) => taken <= total && total === size)).toBe(true);
    const [received] = await target.list();
    expect(received?.meta).toEqual(meta);
    expect(received?.peers).toEqual(file.peers);
    const keys: string[] = [];
    if (received !== undefined) for await (const row of target.rows(received)) keys.push(row.key);
    expect(keys).toHaveLength(ROWS);
    expect(two.ears.messages.filter(({ type }) => type === 'snap')).toEqual([snap]);
  });

  it('is resumed where the connection broke', async () => {
    const { one, two, target, file } = await pair();
    const line = await brokenLine({ one, two, target, file });
    const before = line.forwarded;
    await retry(() => one.transport.sendSnapshot(snap, file.path, never));
    expect(await target.list()).toHaveLength(1);
    expect(line.forwarded - before).toBeLessThan(ALL_BYTES - 500_000);
  });

  it('is resumed there also by a receiver that was restarted meanwhile', async () => {
    const { one, two, target, file } = await pair();
    const line = await brokenLine({ one, two, target, file });
    two.kill();
    await target.close();
    const again = await reopenSnapshots(directories.at(-1) ?? '');
    const restarted = await GrpcMember.open({ raftId: 2, snapshots: again, port: two.port });
    opened.push(restarted);
    restarted.transport.setPeers([one.peer, restarted.peer], 0);
    const before = line.forwarded;
    await retry(() => one.transport.sendSnapshot(snap, file.path, never));
    expect(await again.list()).toHaveLength(1);
    expect(line.forwarded - before).toBeLessThan(ALL_BYTES - 500_000);
  });

  it('is refused from a stranger, with the reason, and nothing is kept of it', async () => {
    const { one, two, target, file } = await pair();
    one.transport.setPeers([one.peer, two.peer], 0);
    two.transport.setPeers([two.peer], 0);
    await expect(one.transport.sendSnapshot(snap, file.path, never)).rejects.toMatchObject({
      code: grpc.status.FAILED_PRECONDITION,
      details: expect.stringMatching(/removed_member/) as string,
    });
    expect(await target.list()).toEqual([]);
    expect(two.ears.messages).toEqual([]);
  });

  it('for which the receiver has no room is refused with that reason, and counted', async () => {
    const { one, two, target, file } = await pair({ freeBytes: async () => 1_000_000 });
    await connect(one, two);
    await expect(one.transport.sendSnapshot(snap, file.path, never)).rejects.toMatchObject({
      code: grpc.status.RESOURCE_EXHAUSTED,
      details: expect.stringMatching(/^no room for a snapshot of \d+ bytes from another node: /) as string,
    });
    expect(await target.list()).toEqual([]);
    expect(two.unwritable.map(({ kind }) => kind)).toEqual(['snapshot_unwritable']);
    expect(two.transport.refusals()).toEqual(new Map([['snapshot_unwritable', 1]]));
    expect(two.ears.messages.filter(({ type }) => type === 'snap')).toEqual([]);
  });

  it('goes to two followers at once, both under one bound on the bandwidth', async () => {
    const clock = new VirtualClock();
    const snapshotBytesPerSecond = 1_000_000;
    const source = await openSnapshots();
    const one = await GrpcMember.open({ raftId: 1, snapshots: source, clock, snapshotBytesPerSecond });
    const two = await GrpcMember.open({ raftId: 2, snapshots: await openSnapshots() });
    const three = await GrpcMember.open({ raftId: 3, snapshots: await openSnapshots() });
    opened.push(one, two, three);
    await connect(one, two, three);
    const file = await writeOne(source);
    const { size } = await stat(file.path);
    const sends = [2, 3].map((to) => one.transport.sendSnapshot({ ...snap, to }, file.path, never));
    const all = Promise.all(sends);
    const [ofTwo = '', ofThree = ''] = directories.slice(-2);
    // What may have gone: a burst, and what time has let through; a piece of each may still be on its way.
    const pieces = 2 * limits.snapshotChunkBytes;
    let allowed: number = limits.snapshotWindowBytes;
    for (;;) {
      await eventually(() => bytesIn(ofTwo) + bytesIn(ofThree) >= Math.min(allowed - pieces, 2 * size));
      const taken = [bytesIn(ofTwo), bytesIn(ofThree)].sort((a, b) => a - b);
      expect(Number(taken[0]) + Number(taken[1])).toBeLessThanOrEqual(allowed);
      // Neither waits for the other: only of the burst at the beginning may one have had more.
      expect(Number(taken[1]) - Number(taken[0])).toBeLessThanOrEqual(limits.snapshotWindowBytes + pieces);
      if (taken[0] === size) break;
      await clock.advance(100);
      allowed += snapshotBytesPerSecond / 10;
    }
    await all;
    for (const member of [two, three])
      expect(member.ears.messages.filter(({ type }) => type === 'snap')).toHaveLength(1);
  });

  it('to nobody that is known is an error', async () => {
    const { one, file } = await pair();
    await expect(one.transport.sendSnapshot(snap, file.path, never)).rejects.toThrow(/Raft id 2/);
  });

  it('that is damaged on its way does not count', async () => {
    const { one, two, target, file } = await pair();
    await connect(one, two);
    const copy = `${file.path}.copy`;
    await writeFile(copy, Buffer.alloc(300_000, 7));
    await expect(one.transport.sendSnapshot(snap, copy, never)).rejects.toMatchObject({
      kind: 'snapshot_corrupt',
    });
    expect(await target.list()).toEqual([]);
    expect(two.ears.messages.filter(({ type }) => type === 'snap')).toEqual([]);
    await one.transport.sendSnapshot(snap, file.path, never);
    expect(await target.list()).toHaveLength(1);
  });

  it('that was damaged before it was sent is known as such to the sender, which can tell by its own file', async () => {
    const damaged: StorageError[] = [];
    const source = await openSnapshots({ onDamaged: (error) => damaged.push(error) });
    const one = await GrpcMember.open({ raftId: 1, snapshots: source });
    const two = await GrpcMember.open({ raftId: 2, snapshots: await openSnapshots() });
    opened.push(one, two);
    await connect(one, two);
    const file = await writeOne(source);
    const whole = await readFile(file.path);
    await writeFile(file.path, whole.with(whole.byteLength >> 1, 7));
    // Header and trailer are intact.
    expect(await source.list()).toHaveLength(1);
    const sent = one.transport.sendSnapshot(snap, file.path, never);
    await expect(sent).rejects.toMatchObject({ kind: 'snapshot_corrupt', path: file.path });
    expect(await source.discardIfDamaged(file)).toBe(true);
    expect(await source.list()).toEqual([]);
    expect(damaged).toMatchObject([{ kind: 'snapshot_corrupt', path: file.path }]);
    expect(await source.discardIfDamaged(await writeOne(source))).toBe(false);
    expect(await source.list()).toHaveLength(1);
  });

  it('is given up when its sender stops', async () => {
    const { one, two, target, file } = await pair();
    await connect(one, two);
    const stopping = new AbortController();
    const sent = one.transport.sendSnapshot(snap, file.path, stopping.signal);
    stopping.abort();
    await expect(sent).rejects.toMatchObject({ name: 'AbortError' });
    await expect(one.transport.sendSnapshot(snap, file.path, stopping.signal)).rejects.toMatchObject({
      name: 'AbortError',
    });
    const underWay = new AbortController();
    const cancelled = one.transport.sendSnapshot(snap, file.path, underWay.signal);
    two.onSnapshotStream(() => underWay.abort());
    await expect(cancelled).rejects.toMatchObject({ code: grpc.status.CANCELLED });
    expect(await target.list()).toEqual([]);
  });
});

/** Of the one file in there, whole or not. */
function bytesIn(directory: string): number {
  const [name] = readdirSync(directory);
  if (name === undefined) return 0;
  // It may just be getting its name.
  return statSync(path.join(directory, name), { throwIfNoEntry: false })?.size ?? bytesIn(directory);
}

/** The channel needs a moment to connect again. */
async function retry(action: () => Promise<void>): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      await action();
      return;
    } catch (error) {
      if (attempt === 20) throw error;
      await new Promise((resolve) => {
        setTimeout(resolve, 50);
      });
    }
  }
}
