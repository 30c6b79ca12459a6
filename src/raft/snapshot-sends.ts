/** Snapshot transfers to followers that are too far behind: one per follower at a time, a few at once. */
import { JarvisError, messageOf } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { Log } from '../lib/log.ts';
import type { Message, RaftId } from './core/types.ts';
import type { SnapshotStore, Transport } from './ports.ts';

/** A transfer under way. */
export interface SnapshotTransfer {
  /** Index of the snapshot; 0 until a file was chosen. */
  readonly index: number;
  readonly takenBytes: number;
  readonly totalBytes: number;
}

export class SnapshotSends {
  readonly #transport: Transport;
  readonly #snapshots: SnapshotStore;
  readonly #logger: Log;
  readonly #finished: (to: RaftId, ok: boolean) => void;
  readonly #underWay = new Map<RaftId, SnapshotTransfer>();
  readonly #stopping = new AbortController();

  constructor(options: {
    transport: Transport;
    snapshots: SnapshotStore;
    logger: Log;
    finished: (to: RaftId, ok: boolean) => void;
  }) {
    this.#transport = options.transport;
    this.#snapshots = options.snapshots;
    this.#logger = options.logger;
    this.#finished = options.finished;
  }

  /** Carries out a `snap` message: the core hears of the end through `finished`, and then tries again by itself. */
  begin(message: Message): void {
    const { to } = message;
    if (this.#underWay.has(to)) return;
    if (this.#underWay.size >= limits.snapshotSendsAtOnce) {
      // Not from inside the core's own round.
      setImmediate(() => this.#finished(to, false));
      return;
    }
    this.#underWay.set(to, { index: 0, takenBytes: 0, totalBytes: 0 });
    void this.#carryOut(message);
  }

  /** The transfer to that follower, where there is one. */
  transfer(to: RaftId): SnapshotTransfer | null {
    return this.#underWay.get(to) ?? null;
  }

  stop(): void {
    this.#stopping.abort();
  }

  async #carryOut(message: Message): Promise<void> {
    const ok = await this.#send(message);
    this.#underWay.delete(message.to);
    if (!this.#stopping.signal.aborted) this.#finished(message.to, ok);
  }

  async #send(message: Message): Promise<boolean> {
    const { to } = message;
    try {
      const wanted = message.snapshot?.index ?? 0;
      const files = await this.#snapshots.list();
      // Where the very file is gone or damaged a newer one helps as well: it is all in the log that this node leads with.
      const file = files.findLast(({ meta }) => meta.index >= wanted);
      if (file === undefined)
        throw new JarvisError('unavailable', `no snapshot file of index ${wanted} or later`);
      this.#logger.info({ to, index: file.meta.index }, 'sending a snapshot');
      await this.#transport.sendSnapshot(
        { ...message, snapshot: file.meta },
        file.path,
        this.#stopping.signal,
        (takenBytes, totalBytes) => {
          this.#underWay.set(to, { index: file.meta.index, takenBytes, totalBytes });
        },
      );
      this.#logger.info({ to, index: file.meta.index }, 'snapshot installed by the follower');
      return true;
    } catch (error) {
      this.#logger.warn({ to, error: messageOf(error) }, 'sending a snapshot failed');
      return false;
    }
  }
}
