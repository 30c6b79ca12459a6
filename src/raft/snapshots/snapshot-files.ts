/**
 * The node's snapshot files: one directory, one file per snapshot, the newest two kept. Together with the log behind the
 * older one they are what a node can rebuild its state from alone; LevelDB is never the only copy of anything.
 */
import { join } from 'node:path';

import { invariant } from '../../lib/assert.ts';
import { limits } from '../../lib/limits.ts';
import type { SnapshotMeta } from '../core/types.ts';
import { makeDirectoryDurably } from '../durable-file.ts';
import { nodeFiles, type DurableFiles } from '../durable-files.ts';
import type { Peer, Row, RowStream, SnapshotFile, SnapshotStore } from '../ports.ts';
import { isStorageError, StorageError } from '../storage-error.ts';
import { damaged, snapshotName, snapshotOrigin, type SnapshotOrigin } from './snapshot-format.ts';
import {
  inspectSnapshot,
  readSnapshotBytes,
  readSnapshotRows,
  verifySnapshot,
  type SnapshotInspection,
} from './snapshot-reader.ts';
import { SnapshotReceiver, type IncomingSnapshot } from './snapshot-receiver.ts';
import { writeSnapshot, type RowDigester } from './snapshot-writer.ts';

export interface SnapshotFilesOptions {
  readonly clusterId: string;
  readonly epoch: number;
  readonly newDigester: () => RowDigester;
  /** Told of each file that does not count, whenever it is met. */
  readonly onDamaged: (error: StorageError) => void;
  /** A simulated disk. */
  readonly files?: DurableFiles;
}

type Judged =
  | { readonly type: 'good'; readonly file: SnapshotFile; readonly origin: SnapshotOrigin }
  | { readonly type: 'bad'; readonly error: StorageError };

export class SnapshotFiles implements SnapshotStore {
  readonly #directory: string;
  readonly #options: SnapshotFilesOptions;
  readonly #files: DurableFiles;
  #receiver: SnapshotReceiver | null = null;

  /** Use {@link SnapshotFiles.open}. */
  constructor(directory: string, options: SnapshotFilesOptions) {
    this.#directory = directory;
    this.#options = options;
    this.#files = options.files ?? nodeFiles;
  }

  /** Removes what earlier starts left half-written. */
  static async open(directory: string, options: SnapshotFilesOptions): Promise<SnapshotFiles> {
    const files = options.files ?? nodeFiles;
    await makeDirectoryDurably(directory, files);
    for (const name of await files.names(directory))
      if (name.endsWith('.tmp')) await files.remove(join(directory, name));
    return new SnapshotFiles(directory, options);
  }

  /** Those with an intact header and trailer, newest first; their rows are verified when they are read. */
  async list(): Promise<readonly SnapshotFile[]> {
    return (await this.#listGood()).map(({ file }) => file);
  }

  /**
   * Index of the newest file that was taken here, 0 where there is none: the log must reach it. One that was received
   * says nothing of the log, which records it only later.
   */
  async newestTakenIndex(): Promise<number> {
    const taken = (await this.#listGood()).find(({ origin }) => origin === 'taken');
    return taken?.file.meta.index ?? 0;
  }

  /**
   * Deletes what was received and the log did not record before a crash: recorded ones are at or below `baseIndex`,
   * where the log begins. The log may hold other entries at that index, so such a file must not become the state.
   */
  async discardUnrecorded(baseIndex: number): Promise<void> {
    for (const { file, origin } of await this.#listGood())
      if (origin === 'received' && file.meta.index > baseIndex) await this.#files.remove(file.path);
    await this.#files.syncDirectory(this.#directory);
  }

  async write(meta: SnapshotMeta, peers: readonly Peer[], stream: RowStream): Promise<SnapshotFile> {
    invariant(stream.index === meta.index, `rows of index ${stream.index} for a snapshot of ${meta.index}`);
    const path = join(this.#directory, snapshotName(meta, 'taken'));
    const { clusterId, epoch, newDigester } = this.#options;
    const { index, term, confState } = meta;
    const header = {
      clusterId,
      epoch,
      meta: {
        index,
        term,
        confState: {
          voters: [...confState.voters],
          votersOutgoing: [...confState.votersOutgoing],
          learners: [...confState.learners],
          learnersNext: [...confState.learnersNext],
          autoLeave: confState.autoLeave,
        },
      },
      peers: peers.map(({ raftId, name, incarnation, address }) => ({ raftId, name, incarnation, address })),
    };
    await writeSnapshot(this.#files, path, header, stream, newDigester());
    return { path, meta: header.meta, peers: header.peers };
  }

  rows(file: SnapshotFile): AsyncIterable<Row> {
    return readSnapshotRows(file.path, this.#files);
  }

  /** Header and trailer of a file. @throws StorageError snapshot_corrupt, format_unknown */
  inspect(file: SnapshotFile): Promise<SnapshotInspection> {
    return inspectSnapshot(file.path, this.#files);
  }

  /** Reads all of it. @throws StorageError snapshot_corrupt, format_unknown */
  async verify(file: SnapshotFile): Promise<void> {
    await verifySnapshot(file.path, this.#files);
  }

  /** Deletes older files, and those that are damaged; never what another version or cluster wrote. */
  async keepNewest(count: number): Promise<void> {
    const kept = new Set<number>();
    let deleted = 0;
    for (const name of await this.#names()) {
      const judged = await this.#judge(name);
      if (judged.type === 'good') {
        const { index } = judged.file.meta;
        if (kept.size < count && !kept.has(index)) {
          kept.add(index);
          continue;
        }
      } else {
        this.#options.onDamaged(judged.error);
        if (judged.error.kind !== 'snapshot_corrupt') continue;
      }
      await this.#files.remove(join(this.#directory, name));
      deleted += 1;
    }
    if (deleted > 0) await this.#files.syncDirectory(this.#directory);
  }

  /** The file's bytes for another node, from where it wants them. */
  bytes(
    file: SnapshotFile,
    fromOffset: number,
  ): AsyncIterable<{ readonly offset: number; readonly bytes: Buffer }> {
    return readSnapshotBytes(file.path, fromOffset, limits.snapshotChunkBytes, this.#files);
  }

  /**
   * Begins to receive a file, or goes on where the same one from the same sender was interrupted (`nextOffset` says
   * where). One at a time: another one that is half received is discarded.
   */
  async receive(incoming: Omit<IncomingSnapshot, 'clusterId'>): Promise<SnapshotReceiver> {
    const wanted = { ...incoming, clusterId: this.#options.clusterId };
    if (this.#receiver?.isOpen === true) {
      if (isSame(this.#receiver.incoming, wanted)) return this.#receiver;
      await this.#receiver.discard();
    }
    this.#receiver = await SnapshotReceiver.begin(
      this.#files,
      wanted,
      join(this.#directory, snapshotName(incoming.meta, 'received')),
    );
    return this.#receiver;
  }

  async close(): Promise<void> {
    if (this.#receiver?.isOpen === true) await this.#receiver.discard();
  }

  async #listGood(): Promise<readonly Extract<Judged, { type: 'good' }>[]> {
    const good: Extract<Judged, { type: 'good' }>[] = [];
    for (const name of await this.#names()) {
      const judged = await this.#judge(name);
      if (judged.type === 'good') good.push(judged);
      else this.#options.onDamaged(judged.error);
    }
    return good;
  }

  async #names(): Promise<readonly string[]> {
    const names = await this.#files.names(this.#directory);
    return names
      .filter((name) => snapshotOrigin(name) !== null)
      .sort()
      .reverse();
  }

  async #judge(name: string): Promise<Judged> {
    const path = join(this.#directory, name);
    try {
      const { header } = await inspectSnapshot(path, this.#files);
      const { meta, peers, clusterId } = header;
      const origin = snapshotOrigin(name);
      if (origin === null || snapshotName(meta, origin) !== name)
        throw damaged(path, 'its name is that of another');
      if (clusterId === this.#options.clusterId) return { type: 'good', file: { path, meta, peers }, origin };
      const why = `a snapshot of another cluster, ${clusterId}`;
      return { type: 'bad', error: new StorageError('log_foreign', path, why) };
    } catch (error) {
      if (isStorageError(error)) return { type: 'bad', error };
      throw error;
    }
  }
}

function isSame(a: IncomingSnapshot, b: IncomingSnapshot): boolean {
  return (
    a.sender === b.sender &&
    a.fileBytes === b.fileBytes &&
    a.meta.index === b.meta.index &&
    a.meta.term === b.meta.term &&
    a.clusterId === b.clusterId
  );
}
