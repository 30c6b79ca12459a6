/**
 * The snapshot files of one disk, by the production code above the simulated disk. A file holds one row, which names a
 * state; the states themselves are kept beside it, since all replicas have the same one at an index.
 */
import { basename } from 'node:path';

import type { SnapshotMeta } from '../../src/raft/core/types.ts';
import type { Row, SnapshotFile } from '../../src/raft/ports.ts';
import { SimulatedFiles } from '../../src/raft/simulated-files.test-kit.ts';
import { SnapshotFiles } from '../../src/raft/snapshots/snapshot-files.ts';
import { snapshotOrigin, type SnapshotOrigin } from '../../src/raft/snapshots/snapshot-format.ts';
import type { SimulatedLogFiles } from '../../src/raft/wal/simulated-log-files.test-kit.ts';
import type { Image } from './replica.ts';
import { Violation } from './trace.ts';

const SNAPSHOT_DIRECTORY = '/snapshots';

/** By index: the state of whoever came there first. */
export type Images = Map<number, Image>;

export interface StoredSnapshot {
  readonly path: string;
  readonly meta: SnapshotMeta;
  readonly image: Image;
  readonly origin: SnapshotOrigin;
}

export class StoredSnapshots {
  readonly #files: SnapshotFiles;
  readonly #images: Images;
  /** Newest first, as the directory has them. */
  all: readonly StoredSnapshot[] = [];

  private constructor(files: SnapshotFiles, images: Images) {
    this.#files = files;
    this.#images = images;
  }

  static async open(options: {
    readonly disk: SimulatedLogFiles;
    readonly clusterId: string;
    readonly images: Images;
    /** A file does not count. */
    readonly onDamaged: (error: Error) => void;
  }): Promise<StoredSnapshots> {
    const { disk, clusterId, images, onDamaged } = options;
    const files = new SimulatedFiles(disk);
    const settings = { clusterId, epoch: 1, newDigester, onDamaged, files };
    const opened = new StoredSnapshots(await SnapshotFiles.open(SNAPSHOT_DIRECTORY, settings), images);
    await opened.#refresh();
    for (const { path, meta, image } of opened.all) await opened.#compare({ path, meta, peers: [] }, image);
    return opened;
  }

  newestTakenIndex(): Promise<number> {
    return this.#files.newestTakenIndex();
  }

  async discardUnrecorded(baseIndex: number): Promise<void> {
    await this.#files.discardUnrecorded(baseIndex);
    await this.#refresh();
  }

  async take(meta: SnapshotMeta, image: Image): Promise<void> {
    if (!this.#images.has(meta.index)) this.#images.set(meta.index, image);
    const { digest } = image;
    await this.#files.write(meta, [], {
      index: meta.index,
      rowCount: 1,
      digest,
      rows: rowsOf(digest),
      close: async () => {},
    });
    await this.#refresh();
  }

  async receive(meta: SnapshotMeta, bytes: Buffer, sender: string): Promise<void> {
    const receiver = await this.#files.receive({ meta, fileBytes: bytes.byteLength, sender });
    await receiver.write(receiver.nextOffset, bytes.subarray(receiver.nextOffset));
    await receiver.finish();
    await this.#refresh();
  }

  async keepNewest(count: number): Promise<void> {
    await this.#files.keepNewest(count);
    await this.#refresh();
  }

  async #refresh(): Promise<void> {
    this.all = (await this.#files.list()).map(({ path, meta }) => {
      const image = this.#images.get(meta.index);
      const origin = snapshotOrigin(basename(path));
      if (image === undefined || origin === null) throw new Violation(`nobody wrote the snapshot ${path}`);
      return { path, meta, image, origin };
    });
  }

  async #compare(file: SnapshotFile, { digest }: Image): Promise<void> {
    for await (const { value } of this.#files.rows(file))
      if (Buffer.from(value).toString() !== digest)
        throw new Violation(`the snapshot ${file.path} holds another state`);
  }
}

async function* rowsOf(digest: string) {
  yield { key: 'state', value: Buffer.from(digest) };
}

/** Of the one row, whose value is the digest of the state. */
function newDigester() {
  let digest = '';
  let rowCount = 0;
  return {
    add: ({ value }: Row): void => {
      digest = Buffer.from(value).toString();
      rowCount += 1;
    },
    get rowCount() {
      return rowCount;
    },
    get digest() {
      return digest;
    },
  };
}
