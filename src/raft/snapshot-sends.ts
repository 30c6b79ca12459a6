/**
 * Snapshot transfers to followers that are too far behind: one per follower at a time, a few at once. One that failed is
 * tried again after a wait that grows while nothing more arrives there: a follower without room for it is not besieged.
 */
import { Backoff, pause } from '../lib/backoff.ts';
import type { Clock } from '../lib/clock.ts';
import { JarvisError, messageOf } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { Log } from '../lib/log.ts';
import type { Random } from '../lib/random.ts';
import type { Message, RaftId } from './core/types.ts';
import type { Peer, SnapshotFile, SnapshotStore, Transport } from './ports.ts';
import { isStorageError } from './storage-error.ts';

/** A transfer under way, or one that failed and is waiting to be tried again. */
export interface SnapshotTransfer {
  /** Index of the snapshot; 0 until a file was chosen. */
  readonly index: number;
  readonly takenBytes: number;
  readonly totalBytes: number;
  /** Tries that failed since the last that was installed, and why the newest did; null where none has. */
  readonly failures: number;
  readonly lastFailure: string | null;
}

/** What is remembered of a follower from its first try until a snapshot is installed. */
class Tries {
  readonly backoff: Backoff;
  phase: 'idle' | 'sending' | 'waiting' = 'idle';
  /** Ends the try that is under way. */
  ending = new AbortController();
  failures = 0;
  lastFailure: string | null = null;
  index = 0;
  takenBytes = 0;
  totalBytes = 0;
  /** The most that the follower has had of the snapshot of `index`, over all tries. */
  #mostBytes = 0;

  constructor(random: Random) {
    this.backoff = new Backoff({
      minMs: limits.snapshotRetryMinMs,
      maxMs: limits.snapshotRetryMaxMs,
      random,
    });
  }

  progressed(index: number, takenBytes: number, totalBytes: number): void {
    if (index !== this.index) this.#mostBytes = 0;
    Object.assign(this, { index, takenBytes, totalBytes });
    // A try that starts over and fails at the same place is no progress.
    if (takenBytes <= this.#mostBytes) return;
    this.#mostBytes = takenBytes;
    this.backoff.reset();
  }
}

export class SnapshotSends {
  readonly #transport: Transport;
  readonly #snapshots: SnapshotStore;
  readonly #logger: Log;
  readonly #finished: (to: RaftId, ok: boolean) => void;
  readonly #onLacking: () => void;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #tries = new Map<RaftId, Tries>();
  readonly #stopping = new AbortController();
  #failedTries = 0;

  constructor(options: {
    transport: Transport;
    snapshots: SnapshotStore;
    logger: Log;
    clock: Clock;
    random: Random;
    finished: (to: RaftId, ok: boolean) => void;
    /** There is no file that would help a follower, or one less than there should be: a new one is to be taken. */
    onLacking: () => void;
  }) {
    this.#transport = options.transport;
    this.#snapshots = options.snapshots;
    this.#logger = options.logger;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#finished = options.finished;
    this.#onLacking = options.onLacking;
  }

  /** Carries out a `snap` message: the core hears of the end through `finished`, and then tries again by itself. */
  begin(message: Message): void {
    const { to } = message;
    const tries = this.#tries.get(to) ?? this.#firstTry(to);
    if (tries.phase !== 'idle') return;
    const underWay = [...this.#tries.values()].filter(({ phase }) => phase === 'sending').length;
    if (underWay >= limits.snapshotSendsAtOnce) {
      // Not from inside the core's own round.
      setImmediate(() => this.#finished(to, false));
      return;
    }
    tries.phase = 'sending';
    void this.#carryOut(message, tries);
  }

  /** Since the start. */
  get failedTries(): number {
    return this.#failedTries;
  }

  /** The transfer to that follower, where there is one. */
  transfer(to: RaftId): SnapshotTransfer | null {
    const tries = this.#tries.get(to);
    if (tries === undefined) return null;
    const { index, takenBytes, totalBytes, failures, lastFailure } = tries;
    return { index, takenBytes, totalBytes, failures, lastFailure };
  }

  /** Those that are members no more are forgotten. */
  keepOnly(peers: readonly Peer[]): void {
    const members = new Set(peers.map(({ raftId }) => raftId));
    for (const id of this.#tries.keys()) if (!members.has(id)) this.#tries.delete(id);
  }

  /** What it has, or will have, is of no use any more: it begins again with the newest. */
  giveUp(to: RaftId): void {
    const tries = this.#tries.get(to);
    if (tries === undefined) return;
    tries.progressed(0, 0, 0);
    const why =
      'it took so long that the log behind the snapshot is kept no longer; the newest is sent instead';
    tries.ending.abort(new JarvisError('unavailable', why));
  }

  stop(): void {
    this.#stopping.abort();
  }

  #firstTry(to: RaftId): Tries {
    const tries = new Tries(this.#random);
    this.#tries.set(to, tries);
    return tries;
  }

  async #carryOut(message: Message, tries: Tries): Promise<void> {
    const { to } = message;
    const { signal } = this.#stopping;
    const failure = await this.#send(message, tries);
    if (failure === null) {
      this.#tries.delete(to);
    } else if (!signal.aborted) {
      tries.failures += 1;
      this.#failedTries += 1;
      tries.lastFailure = messageOf(failure);
      const retryMs = tries.backoff.next();
      this.#logger.warn(
        { to, error: tries.lastFailure, failures: tries.failures, retryMs: Math.round(retryMs) },
        'sending a snapshot failed',
      );
      // Meanwhile others may have their turn; the core hears of it only then, and does not ask again before.
      tries.phase = 'waiting';
      await pause(this.#clock, retryMs, signal);
      tries.phase = 'idle';
    }
    if (!signal.aborted) this.#finished(to, failure === null);
  }

  /** @returns why it failed; null where the follower has it */
  async #send(message: Message, tries: Tries): Promise<unknown> {
    const { to } = message;
    tries.ending = new AbortController();
    const signal = AbortSignal.any([this.#stopping.signal, tries.ending.signal]);
    let file: SnapshotFile | undefined;
    try {
      const wanted = message.snapshot?.index ?? 0;
      const files = await this.#snapshots.list();
      // The newest, so that the least of the log need follow, and all of it is in the log that this node leads with. A try
      // that was interrupted is gone on with.
      const fit = files.filter(({ meta }) => meta.index >= wanted);
      file = fit.find(({ meta }) => meta.index === tries.index) ?? fit[0];
      if (file === undefined) {
        this.#onLacking();
        throw new JarvisError('unavailable', `no snapshot file of index ${wanted} or later`);
      }
      const { index } = file.meta;
      if (index !== tries.index) tries.progressed(index, 0, 0);
      this.#logger.info({ to, index }, 'sending a snapshot');
      await this.#transport.sendSnapshot(
        { ...message, snapshot: file.meta },
        file.path,
        signal,
        (takenBytes, totalBytes) => tries.progressed(index, takenBytes, totalBytes),
      );
      this.#logger.info({ to, index }, 'snapshot installed by the follower');
      return null;
    } catch (error) {
      if (tries.ending.signal.aborted) return tries.ending.signal.reason;
      if (file === undefined || !isStorageError(error, 'snapshot_corrupt')) return error;
      return await this.#judge(file, error);
    }
  }

  /** The follower found the file damaged: was it here already? Sent again, it would never be taken. */
  async #judge(file: SnapshotFile, verdict: unknown): Promise<unknown> {
    try {
      if (await this.#snapshots.discardIfDamaged(file)) this.#onLacking();
      return verdict;
    } catch (error) {
      return error;
    }
  }
}
