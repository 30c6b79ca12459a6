/**
 * Takes what is committed to the state machine, one batch at a time and in log order, installs received snapshots in
 * the same order, and takes snapshots of its own, after which the log below the older of the two newest may go.
 */
import { invariant } from '../lib/assert.ts';
import { messageOf } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { Log } from '../lib/log.ts';
import type { RaftCore } from './core/raft-core.ts';
import type { Entry, RaftId, SnapshotMeta } from './core/types.ts';
import { retention, type Follower } from './log-retention.ts';
import { membershipAfter, type Membership } from './membership.ts';
import type { LogStore, SnapshotStore, StateMachine } from './ports.ts';

const SNAPSHOTS_KEPT = 2;

/** How much is applied between two snapshots, at most. */
export interface SnapshotBounds {
  readonly entries: number;
  readonly logBytes: number;
  /** How much of the log is kept for followers that are behind, beyond what is kept anyway; default: as in `limits`. */
  readonly heldLogBytes?: number;
}

export interface ApplierOptions {
  readonly core: RaftCore;
  readonly log: LogStore;
  readonly stateMachine: StateMachine;
  readonly snapshots: SnapshotStore;
  readonly logger: Log;
  readonly membership: Membership;
  readonly snapshotBounds?: SnapshotBounds;
  /** Whoever may need what is about to be cut; default: nobody. */
  readonly followers?: () => readonly Follower[];
  /** They need what is cut now. */
  readonly onGivenUp?: (followers: readonly RaftId[]) => void;
  /** Once per entry, in log order. */
  readonly onApplied: (index: number, term: number, outcome: unknown) => void;
  /** Also where a change had no effect. */
  readonly onMembership: (membership: Membership) => void;
  /** Once per batch, with the last index applied. */
  readonly onBatch: (index: number) => void;
  readonly onInstalled: (index: number) => void;
  /** The state can be trusted no longer: a failed read, write or install. */
  readonly onFailure: (error: unknown) => void;
}

export class Applier {
  readonly #options: ApplierOptions;
  #membership: Membership;
  /** The end of the work that is queued; the core bounds how much that can be. */
  #tail: Promise<void> = Promise.resolve();
  #stopped = false;
  #snapshotIndex: number;
  #bytesSinceSnapshot = 0;
  /** Whatever the bounds say. */
  #isSnapshotWanted = false;
  #snapshotUnderWay: Promise<void> | null = null;
  /** A large snapshot takes longer to write than a stop may take. */
  readonly #halting = new AbortController();
  readonly #bounds: SnapshotBounds;

  constructor(options: ApplierOptions) {
    this.#options = options;
    this.#membership = options.membership;
    // What the log begins behind, not what is applied: else a node that restarts often would never take one.
    this.#snapshotIndex = options.core.status().firstIndex - 1;
    this.#bounds = options.snapshotBounds ?? {
      entries: limits.snapshotEntries,
      logBytes: limits.snapshotLogBytes,
    };
  }

  get appliedIndex(): number {
    return this.#options.stateMachine.appliedIndex;
  }

  get membership(): Membership {
    return this.#membership;
  }

  apply(entries: readonly Entry[]): void {
    this.#enqueue(() => this.#applyAll(entries)).catch(this.#options.onFailure);
  }

  /** Replaces the state by the snapshot file once the log has recorded it; resolves when both are durable. */
  install(meta: SnapshotMeta, logged: Promise<void>): Promise<void> {
    // Its failure may come while what is before it is still being applied: it is heard of in its turn.
    logged.catch(() => {});
    return this.#enqueue(async () => {
      await logged;
      await this.#install(meta);
    });
  }

  /** Takes a snapshot as soon as that can be done: one that should be there is not. */
  takeSnapshot(): void {
    this.#isSnapshotWanted = true;
    this.#considerSnapshot();
  }

  /** What is queued is dropped; what is being applied is finished, and a snapshot that is being written is given up. */
  halt(): void {
    this.#stopped = true;
    this.#halting.abort();
  }

  /** Halts, and resolves when nothing is under way any more. */
  async stop(): Promise<void> {
    this.halt();
    await this.#tail;
    await this.#snapshotUnderWay;
  }

  #enqueue(work: () => Promise<void>): Promise<void> {
    const done = this.#after(this.#tail, work);
    this.#tail = done.catch(() => {
      // Whoever queued it hears of the failure; nothing may be applied after it.
      this.#stopped = true;
    });
    return done;
  }

  async #after(earlier: Promise<void>, work: () => Promise<void>): Promise<void> {
    await earlier;
    if (!this.#stopped) await work();
  }

  async #applyAll(entries: readonly Entry[]): Promise<void> {
    let start = 0;
    while (start < entries.length) {
      let end = start;
      while (end < entries.length && isCommand(entries[end])) end += 1;
      if (end > start) await this.#applyCommands(entries.slice(start, end));
      const other = entries[end];
      if (other !== undefined) this.#pass(other);
      start = end + 1;
    }
    const last = entries.at(-1);
    invariant(last?.index === this.appliedIndex, 'the state machine has applied what it was given');
    this.#options.onBatch(last.index);
    this.#considerSnapshot();
  }

  async #applyCommands(entries: readonly Entry[]): Promise<void> {
    const outcomes = await this.#options.stateMachine.apply(entries);
    entries.forEach((entry, position) => {
      this.#bytesSinceSnapshot += entry.data.byteLength;
      this.#options.onApplied(entry.index, entry.term, outcomes[position]);
    });
  }

  /** Entries that are Raft's own: a new leader's empty one, and changes of the configuration. */
  #pass(entry: Entry): void {
    const { core, stateMachine, onApplied, onMembership } = this.#options;
    if (entry.type === 'confChange') {
      const confState = core.applyConfChange(entry);
      this.#membership = membershipAfter(this.#membership, entry, confState);
      onMembership(this.#membership);
    }
    stateMachine.noteApplied(entry.index, entry.term);
    onApplied(entry.index, entry.term, undefined);
  }

  async #install(meta: SnapshotMeta): Promise<void> {
    const { log, snapshots, stateMachine, logger, onInstalled, onMembership } = this.#options;
    await this.#snapshotUnderWay;
    const file = (await snapshots.list()).find((candidate) => candidate.meta.index === meta.index);
    invariant(file !== undefined, `the snapshot of index ${meta.index} was received before it was announced`);
    await stateMachine.install(meta, snapshots.rows(file));
    // The log begins behind it already; now also who was a member there hangs on the file no more.
    await log.compact({ ...meta, peers: file.peers });
    this.#membership = { index: meta.index, confState: meta.confState, peers: file.peers };
    onMembership(this.#membership);
    this.#snapshotIndex = meta.index;
    this.#bytesSinceSnapshot = 0;
    // Newer ones may have been received meanwhile; until the log has recorded them, a crash discards them.
    await snapshots.keepNewest(compactionPoint(await snapshots.list(), meta.index).keep);
    logger.info({ index: meta.index }, 'installed a snapshot');
    onInstalled(meta.index);
  }

  #considerSnapshot(): void {
    if (this.#snapshotUnderWay !== null || this.#stopped) return;
    if (!this.#isSnapshotDue() && !this.#isSnapshotWanted) return;
    this.#snapshotIndex = this.appliedIndex;
    this.#bytesSinceSnapshot = 0;
    this.#snapshotUnderWay = this.#takeSnapshot()
      .catch((error: unknown) => {
        if (error === this.#halting.signal.reason) return;
        this.#options.logger.error({ error: messageOf(error) }, 'taking a snapshot failed');
        this.#options.onFailure(error);
      })
      .finally(() => {
        this.#snapshotUnderWay = null;
        // So much may have been applied meanwhile, and nothing more may come.
        if (this.#isSnapshotDue()) this.#considerSnapshot();
      });
  }

  #isSnapshotDue(): boolean {
    const entries = this.appliedIndex - this.#snapshotIndex;
    return entries >= this.#bounds.entries || this.#bytesSinceSnapshot >= this.#bounds.logBytes;
  }

  async #takeSnapshot(): Promise<void> {
    const { core, log, stateMachine, snapshots, logger } = this.#options;
    await stateMachine.checkpoint();
    const stream = await stateMachine.rows();
    try {
      const term = core.termAt(stream.index);
      // A configuration changed since the rows were taken, or they are older than the log: the next one will do.
      if (term === null || stream.index < this.#membership.index) return;
      const meta: SnapshotMeta = { index: stream.index, term, confState: this.#membership.confState };
      await snapshots.write(meta, this.#membership.peers, stream, this.#halting.signal);
      this.#isSnapshotWanted = false;
      logger.info({ index: meta.index, rows: stream.rowCount }, 'took a snapshot');
    } finally {
      await stream.close();
    }
    const files = await snapshots.list();
    const { base, keep } = compactionPoint(files, stream.index);
    if (base === null || this.#stopped) return;
    const file = files.find(({ meta }) => meta === base);
    invariant(file !== undefined, 'the log is cut to one of the files');
    await log.compact({ ...base, peers: file.peers });
    this.#cutMemory(base);
    // Last: a log that began behind a file which is gone could help no follower that needs what it no longer has.
    await snapshots.keepNewest(keep);
  }

  /** In memory, where followers are sent it from, more may stay than on disk. */
  #cutMemory(base: SnapshotMeta): void {
    const { core, followers, onGivenUp } = this.#options;
    const { firstIndex } = core.status();
    if (base.index < firstIndex) return core.compact(base);
    const log = core.entriesFrom(firstIndex).slice(0, base.index - firstIndex + 1);
    const maxBytes = this.#bounds.heldLogBytes ?? limits.heldLogBytes;
    const { through, givenUp } = retention(log, followers?.() ?? [], maxBytes);
    core.compact(base, through);
    if (givenUp.length > 0) onGivenUp?.(givenUp);
  }
}

/**
 * Behind which snapshot the log may begin once one of `takenIndex` is taken or installed, and how many files stay. The log is never cut
 * to a single file: one that proves damaged later must leave a way to rebuild. Files above `takenIndex` were received and
 * are not installed: the state does not hold them, the log need not, and a crash discards them, so they count for nothing.
 */
export function compactionPoint(
  newestFirst: readonly { readonly meta: SnapshotMeta }[],
  takenIndex: number,
): { readonly base: SnapshotMeta | null; readonly keep: number } {
  const held = newestFirst.filter(({ meta }) => meta.index <= takenIndex);
  const base = held[SNAPSHOTS_KEPT - 1]?.meta ?? null;
  return { base, keep: newestFirst.length - held.length + SNAPSHOTS_KEPT };
}

function isCommand(entry: Entry | undefined): boolean {
  return entry !== undefined && entry.type === 'normal' && entry.data.byteLength > 0;
}
