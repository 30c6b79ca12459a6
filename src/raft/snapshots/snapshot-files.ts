/**
 * The node's snapshot files: one directory, one file per snapshot, the newest two kept. Together with the log behind the
 * older one they are what a node can rebuild its state from alone; LevelDB is never the only copy of anything.
 */
import { join } from 'node:path';

import { invariant } from '../../lib/assert.ts';
import { systemClock } from '../../lib/clock.ts';
import { isErrno } from '../../lib/errno.ts';
import { JarvisError } from '../../lib/errors.ts';
import { limits } from '../../lib/limits.ts';
import type { SnapshotMeta } from '../core/types.ts';
import { makeDirectoryDurably } from '../durable-file.ts';
import { nodeFiles, type DurableFiles } from '../durable-files.ts';
import type { Peer, Row, RowStream, SnapshotFile, SnapshotStore } from '../ports.ts';
import { isStorageError, StorageError } from '../storage-error.ts';
import {
  keepNewestPartial,
  partialName,
  removeOvertaken,
  removePartials,
  type IncomingSnapshot,
} from './partial-files.ts';
import { damaged, snapshotName, snapshotOrigin, type SnapshotOrigin } from './snapshot-format.ts';
import {
  inspectSnapshot,
  readSnapshotBytes,
  readSnapshotRows,
  verifySnapshot,
  type SnapshotInspection,
} from './snapshot-reader.ts';
import { SnapshotReceiver } from './snapshot-receiver.ts';
import { writeSnapshot, type RowDigester } from './snapshot-writer.ts';

export interface SnapshotFilesOptions {
  readonly clusterId: string;
  readonly epoch: number;
  readonly newDigester: () => RowDigester;
  /** Told of each file that does not count, whenever it is met. */
  readonly onDamaged: (error: StorageError) => void;
  /** A simulated disk. */
  readonly files?: DurableFiles;
  /** What is free where a directory is; default: what the system says. */
  readonly freeBytes?: (directory: string) => Promise<number>;
  /** Default: the system's. */
  readonly wallMs?: () => number;
}

interface Good {
  readonly type: 'good';
  readonly file: SnapshotFile;
  readonly origin: SnapshotOrigin;
}

type Judged =
  | Good
  | { readonly type: 'bad'; readonly error: StorageError }
  /** Deleted since its name was read. */
  | { readonly type: 'gone' };

/** Of a directory whose files change meanwhile; each change takes a snapshot that was written or received. */
const MOST_LISTINGS = 10;

export class SnapshotFiles implements SnapshotStore {
  readonly #directory: string;
  readonly #options: SnapshotFilesOptions;
  readonly #files: DurableFiles;
  #receiver: SnapshotReceiver | null = null;
  /** Receptions begin one after the other. */
  #beginning: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  /** Use {@link SnapshotFiles.open}. */
  constructor(directory: string, options: SnapshotFilesOptions) {
    this.#directory = directory;
    this.#options = options;
    this.#files = options.files ?? nodeFiles;
  }

  /** Removes what earlier starts left half-written, save one snapshot that was being received. */
  static async open(directory: string, options: SnapshotFilesOptions): Promise<SnapshotFiles> {
    const files = options.files ?? nodeFiles;
    await makeDirectoryDurably(directory, files);
    for (const name of await files.names(directory))
      if (name.endsWith('.tmp')) await files.remove(join(directory, name));
    await keepNewestPartial(files, directory, (options.wallMs ?? systemWallMs)());
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

  async write(
    meta: SnapshotMeta,
    peers: readonly Peer[],
    stream: RowStream,
    signal?: AbortSignal,
  ): Promise<SnapshotFile> {
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
    await writeSnapshot(this.#files, path, header, stream, newDigester(), signal);
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

  async discardIfDamaged(file: SnapshotFile): Promise<boolean> {
    try {
      await this.verify(file);
      return false;
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return true;
      const fault = isErrno(error, 'EIO') ? damaged(file.path, 'the disk does not give it back') : error;
      if (!isStorageError(fault, 'snapshot_corrupt')) throw error;
      this.#options.onDamaged(fault);
      await this.#files.remove(file.path);
      await this.#files.syncDirectory(this.#directory);
      return true;
    }
  }

  /** Deletes older files, and those that are damaged; never what another version or cluster wrote. */
  async keepNewest(count: number): Promise<void> {
    const kept = new Set<number>();
    let deleted = 0;
    for (const name of await this.#names()) {
      const judged = await this.#judge(name);
      if (judged.type === 'gone') continue;
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
    await removeOvertaken(this.#files, this.#directory, Math.max(0, ...kept), this.#receiving());
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
   * where), also before a restart. One at a time: another one that is half received is discarded.
   * @throws StorageError snapshot_unwritable, where there is no room for it as well; JarvisError conflict, unavailable
   */
  async receive(incoming: Omit<IncomingSnapshot, 'clusterId'>): Promise<SnapshotReceiver> {
    const wanted = { ...incoming, clusterId: this.#options.clusterId };
    const begun = this.#beginning.then(() => this.#begin(wanted));
    // Whoever asked hears of a failure; the next one begins all the same.
    this.#beginning = begun.catch(() => undefined);
    return await begun;
  }

  /** What is half received stays for the next start. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#beginning;
    await this.#receiver?.suspend();
  }

  async #begin(wanted: IncomingSnapshot): Promise<SnapshotReceiver> {
    if (this.#isClosed) throw new JarvisError('unavailable', 'this node is stopping');
    if (this.#receiver?.isOpen === true) {
      if (isSame(this.#receiver.incoming, wanted)) return this.#receiver;
      await this.#receiver.discard();
    }
    await removePartials(this.#files, this.#directory, partialName(wanted));
    const receiver = await SnapshotReceiver.open(this.#files, wanted, this.#directory);
    this.#receiver = receiver;
    try {
      await this.#checkRoom(wanted.fileBytes, receiver.nextOffset);
    } catch (error) {
      await receiver.discard();
      throw error;
    }
    return receiver;
  }

  /** A disk that a snapshot fills up would stop the log, and with it the node. */
  async #checkRoom(fileBytes: number, heldBytes: number): Promise<void> {
    const freeBytes = this.#options.freeBytes ?? ((path: string) => this.#files.freeBytes(path));
    const neededBytes = 2 * fileBytes + limits.snapshotRoomBytes;
    if ((await freeBytes(this.#directory)) >= neededBytes - heldBytes) return;
    throw new StorageError(
      'snapshot_unwritable',
      this.#directory,
      `no room for a snapshot of ${fileBytes} bytes from another node: ${neededBytes} bytes must be free for it, ` +
        'for the state that is made of it, and for the log',
    );
  }

  #receiving(): string | null {
    return this.#receiver?.isOpen === true ? partialName(this.#receiver.incoming) : null;
  }

  /** Deleting one may have gone before: what has taken its place is not among the names that were read then. */
  async #listGood(): Promise<readonly Good[]> {
    for (let listings = 0; listings < MOST_LISTINGS; listings += 1) {
      const judged: Judged[] = [];
      for (const name of await this.#names()) judged.push(await this.#judge(name));
      if (judged.some(({ type }) => type === 'gone')) continue;
      for (const one of judged) if (one.type === 'bad') this.#options.onDamaged(one.error);
      return judged.filter((one) => one.type === 'good');
    }
    throw new JarvisError('unavailable', `the snapshots in ${this.#directory} do not stay for long enough`);
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
      if (isErrno(error, 'ENOENT')) return { type: 'gone' };
      throw error;
    }
  }
}

function systemWallMs(): number {
  return systemClock.wallMs();
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
