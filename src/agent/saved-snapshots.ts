/** The state of this node as a file that is given away, piece by piece, and not kept. */
import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import path from 'node:path';

import type { SnapshotPiece } from '../generated/cluster.ts';
import { JarvisError } from '../lib/errors.ts';
import type { SnapshotSource } from '../operations/node-port.ts';
import type { RaftNode } from '../raft/node.ts';
import type { SnapshotFile } from '../raft/ports.ts';
import { SnapshotFiles } from '../raft/snapshots/snapshot-files.ts';
import type { SchedulerMachine } from '../store/scheduler-machine.ts';
import { newDigester } from './recovery.ts';

/** The membership may change, or the log be cut, between the rows and their description. */
const TRIES = 5;

export interface SavedSnapshotsOptions {
  readonly raft: RaftNode;
  readonly machine: SchedulerMachine;
  /** Of the node. */
  readonly dataDirectory: string;
}

export class SavedSnapshots implements SnapshotSource {
  readonly #options: SavedSnapshotsOptions;
  readonly #directory: string;
  #isBusy = false;

  constructor(options: SavedSnapshotsOptions) {
    this.#options = options;
    this.#directory = path.join(options.dataDirectory, 'saving');
  }

  /** Removes what an earlier start left. */
  async clear(): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true });
  }

  async *save(signal: AbortSignal): AsyncGenerator<SnapshotPiece, void> {
    if (this.#isBusy) throw new JarvisError('too_many', 'a snapshot is being saved already; one at a time');
    this.#isBusy = true;
    try {
      const files = await this.#open();
      const file = await this.#write(files);
      for await (const { bytes } of files.bytes(file, 0)) {
        signal.throwIfAborted();
        yield { data: bytes };
      }
    } finally {
      await this.clear();
      this.#isBusy = false;
    }
  }

  async #open(): Promise<SnapshotFiles> {
    const { cluster } = this.#options.machine.core.state;
    if (cluster === null) throw new JarvisError('unavailable', 'the cluster is still being formed');
    const { clusterId, epoch } = cluster;
    return await SnapshotFiles.open(path.join(this.#directory, randomUUID()), {
      clusterId,
      epoch,
      newDigester,
      onDamaged: (error) => {
        throw error;
      },
    });
  }

  async #write(files: SnapshotFiles): Promise<SnapshotFile> {
    const { raft, machine } = this.#options;
    for (let tries = 0; tries < TRIES; tries += 1) {
      await machine.checkpoint();
      const stream = await machine.rows();
      try {
        const described = raft.describe(stream.index);
        if (described !== null) return await files.write(described.meta, described.peers, stream);
      } finally {
        await stream.close();
      }
    }
    throw new JarvisError('unavailable', `the members changed ${TRIES} times meanwhile: try again`);
  }
}
