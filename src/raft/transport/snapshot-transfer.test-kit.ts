/** Two members on loopback, one of which has a snapshot of a few megabytes. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { systemClock, type Clock } from '../../lib/clock.ts';
import type { SnapshotMeta } from '../core/types.ts';
import type { Row, SnapshotFile } from '../ports.ts';
import { SumDigester } from '../snapshots/snapshot-files.test-kit.ts';
import { SnapshotFiles, type SnapshotFilesOptions } from '../snapshots/snapshot-files.ts';
import type { StorageError } from '../storage-error.ts';
import { CLUSTER_ID, GrpcMember, message, peerOf } from '../testing/grpc-members.ts';

export const ROWS = 400;
const ROW_BYTES = 10_000;
export const ALL_BYTES = ROWS * ROW_BYTES;
export const opened: { close(): unknown }[] = [];
export const directories: string[] = [];

/** After each test: closes what it opened, the newest first, and removes its files. */
export async function cleanUp(): Promise<void> {
  for (const thing of opened.splice(0).reverse()) await thing.close();
  for (const directory of directories.splice(0)) await rm(directory, { recursive: true });
}

export const meta: SnapshotMeta = {
  index: 42,
  term: 3,
  confState: { voters: [1, 2], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false },
};

function rows(): Row[] {
  return Array.from({ length: ROWS }, (_, at) => ({ key: `task/${at}`, value: Buffer.alloc(ROW_BYTES, at) }));
}

async function* streamed(all: readonly Row[]): AsyncGenerator<Row> {
  yield* all;
}

export async function openSnapshots(more: Partial<SnapshotFilesOptions> = {}): Promise<SnapshotFiles> {
  const directory = await mkdtemp(path.join(tmpdir(), 'jarvis-transfer-'));
  directories.push(directory);
  return await reopenSnapshots(directory, more);
}

export async function reopenSnapshots(
  directory: string,
  more: Partial<SnapshotFilesOptions> = {},
): Promise<SnapshotFiles> {
  const files = await SnapshotFiles.open(directory, {
    clusterId: CLUSTER_ID,
    epoch: 1,
    newDigester: () => new SumDigester(),
    onDamaged: (error: StorageError) => {
      throw error;
    },
    ...more,
  });
  opened.push(files);
  return files;
}

export async function writeOne(files: SnapshotFiles): Promise<SnapshotFile> {
  const digester = new SumDigester();
  for (const row of rows()) digester.add(row);
  const { rowCount, digest } = digester;
  const stream = { index: meta.index, rowCount, digest, rows: streamed(rows()), close: async () => {} };
  return await files.write(meta, [peerOf(1, 1), peerOf(2, 2)], stream);
}

export async function pair(ofTarget: Partial<SnapshotFilesOptions> = {}, clock: Clock = systemClock) {
  const [source, target] = [await openSnapshots(), await openSnapshots(ofTarget)];
  const one = await GrpcMember.open({ raftId: 1, snapshots: source });
  const two = await GrpcMember.open({ raftId: 2, snapshots: target, clock });
  opened.push(one, two);
  return { one, two, target, file: await writeOne(source) };
}

export const snap = message(1, 2, { type: 'snap', term: 3, snapshot: meta });
export const never = new AbortController().signal;
