/**
 * The replicated state of a node: Raft's `StateMachine`. Decodes committed commands, loads the rows that they name and
 * memory does not hold, lets the core apply them one after the other, and keeps what changed (state-store.ts).
 */
import { invariant } from '../lib/assert.ts';
import type { Clock } from '../lib/clock.ts';
import { JarvisError, messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { Entry, SnapshotMeta } from '../raft/core/types.ts';
import type { Row, RowStream, StateMachine } from '../raft/ports.ts';
import type { StoreBounds } from './bounds.ts';
import type { StepHook } from './directories.ts';
import { StoreDamagedError } from './errors.ts';
import { chunksOf, decodeEntry, type DecodedEntry } from './entries.ts';
import { fillBeside, takePlace, type ExpectedRows, type OpenedStore } from './open-store.ts';
import type { CreatedRow } from './overlay.ts';
import { ReadGate } from './read-gate.ts';
import {
  nameOf,
  type EntryPosition,
  type ReplicatedCore,
  type RowValue,
  type StoredChange,
} from './replicated-core.ts';
import type { OrderedRow } from './overlay.ts';
import { DigestSamples, type DigestSample } from './digest-samples.ts';
import { StateStore } from './state-store.ts';

export interface AppliedCommand<Command, Outcome, Change> {
  readonly index: number;
  readonly term: number;
  readonly command: Command;
  readonly outcome: Outcome;
  readonly changes: readonly Change[];
}

export interface StoredStateMachineOptions<Core> {
  /** LevelDB's own; others beside it begin with its name. */
  readonly directory: string;
  readonly makeCore: () => Core;
  readonly clock: Clock;
  readonly logger: Log;
  readonly bounds: StoreBounds;
  /** Once: the state can be trusted no longer, or not be kept. Also told by the next call that needs it. */
  readonly onFailure: (error: unknown) => void;
  /** Lets the event loop turn once. */
  readonly yieldTurn: () => Promise<void>;
  /** Between the steps of an installation. */
  readonly hook: StepHook;
}

/** Rows that LevelDB had when they were asked for, kept up with what is applied since; null where it had none. */
type ColdRows = Map<string, RowValue | null>;

export class StoredStateMachine<
  Command extends object,
  Outcome,
  Change extends StoredChange,
  Core extends ReplicatedCore<Command, Outcome, Change>,
> implements StateMachine {
  readonly #options: StoredStateMachineOptions<Core>;
  readonly #gate = new ReadGate();
  readonly #listeners = new Set<(applied: AppliedCommand<Command, Outcome, Change>) => void>();
  readonly #installedListeners = new Set<(index: number) => void>();
  #core: Core;
  #store: StateStore;
  #failure: unknown = null;
  #busy = false;
  #closed = false;
  #poisonedCommands = 0;
  readonly #samples = new DigestSamples();
  /** Kept across calls: many short ones in a row hold the event loop as one long one does. */
  #turnStartMs = 0;
  #checkpointedIndex: number;
  #cancelTimer: (() => void) | null = null;

  constructor(opened: OpenedStore<Core>, options: StoredStateMachineOptions<Core>) {
    this.#options = options;
    this.#core = opened.core;
    this.#store = this.#storeOf(opened);
    this.#checkpointedIndex = this.#store.checkpointIndex;
  }

  /** The state in memory. Another object after an installation, and empty at its end: ask again after each await. */
  get core(): Core {
    return this.#core;
  }

  get appliedIndex(): number {
    return this.#store.applied.index;
  }

  get appliedTerm(): number {
    return this.#store.applied.term;
  }

  get checkpointIndex(): number {
    return this.#store.checkpointIndex;
  }

  /** Of all rows as of the applied index; 32 hexadecimal digits, the same on every replica. */
  get digest(): string {
    return this.#store.digest;
  }

  /** At indexes that are the same on every replica; those applied since the start, oldest first. */
  get digestSamples(): readonly DigestSample[] {
    return this.#samples.all;
  }

  get rowCount(): number {
    return this.#store.rowCount;
  }

  /** Commands, since the start, that did not decode or threw: bugs, each of them. */
  get poisonedCommands(): number {
    return this.#poisonedCommands;
  }

  /** Called synchronously after each command, in log order; what it throws is logged and stops nothing. */
  onApplied(listener: (applied: AppliedCommand<Command, Outcome, Change>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** A snapshot has replaced the state: what was learnt from `onApplied` is stale. */
  onInstalled(listener: (index: number) => void): () => void {
    this.#installedListeners.add(listener);
    return () => this.#installedListeners.delete(listener);
  }

  async apply(entries: readonly Entry[]): Promise<readonly Outcome[]> {
    return await this.#changing(async () => {
      const outcomes: Outcome[] = [];
      for (const chunk of chunksOf(entries, this.#options.bounds)) await this.#applyChunk(chunk, outcomes);
      return outcomes;
    });
  }

  noteApplied(index: number, term: number): void {
    this.#throwIfUnusable();
    this.#expectNext(index);
    this.#advance({ index, term }, []);
  }

  async checkpoint(): Promise<number> {
    this.#throwIfUnusable();
    return await this.#reading(() => this.#checkpoint());
  }

  async rows(): Promise<RowStream> {
    return await this.#reading(() => this.#store.rows());
  }

  /** @throws StoreDamagedError where the stream is not what was expected; the state is the old one then */
  async install(
    meta: Pick<SnapshotMeta, 'index' | 'term'>,
    stream: AsyncIterable<Row>,
    expected: ExpectedRows | null = null,
  ): Promise<void> {
    await this.#changing(async () => {
      const { directory, makeCore, hook } = this.#options;
      const source = { position: { index: meta.index, term: meta.term }, rows: stream, expected };
      // Nothing may write to the old store while it makes room.
      this.#checkpointBegun();
      const filled = await fillBeside(directory, makeCore, source, hook);
      await this.#gate.alone(async () => {
        await this.#store.close();
        // Memory has no room for two states. Reads wait; whoever looks at the core meanwhile finds nothing.
        this.#core = makeCore();
        const opened = await takePlace(directory, makeCore, filled, hook);
        this.#core = opened.core;
        this.#store = this.#storeOf(opened);
      });
      this.#checkpointBegun();
    });
    for (const listener of this.#installedListeners) this.#tell(() => listener(meta.index));
  }

  /** One row as of the applied state. @throws StoreDamagedError; JarvisError unavailable once closed */
  async read(table: string, key: string): Promise<RowValue | null> {
    return (await this.readMany(table, [key])).get(key) ?? null;
  }

  /** The rows that exist, by key. */
  async readMany(table: string, keys: readonly string[]): Promise<Map<string, RowValue>> {
    return await this.#reading(async () => {
      const rows = new Map<string, RowValue>();
      const others: string[] = [];
      for (const key of keys) {
        const row = this.#core.inMemory(table, key);
        if (row === null) others.push(key);
        else rows.set(key, row);
      }
      if (others.length === 0) return rows;
      const read = await this.#store.read(others.map((key) => nameOf(table, key)));
      for (const key of others) {
        const row = read.get(nameOf(table, key));
        if (row !== undefined) rows.set(key, row);
      }
      return rows;
    });
  }

  /** See {@link StateStore.createdBefore}. */
  async createdBefore(bound: string | null, count: number, list = ''): Promise<readonly CreatedRow[]> {
    return await this.#reading(() => this.#store.createdBefore(bound, count, list));
  }

  /** See {@link StateStore.rowsInOrder}; with the index that was applied as they were looked for. */
  async rowsInOrder(
    table: string,
    from: string,
    count: number,
  ): Promise<{ readonly rows: readonly OrderedRow[]; readonly appliedIndex: number }> {
    return await this.#reading(async () => {
      const { appliedIndex } = this;
      return { rows: await this.#store.rowsInOrder(table, from, count), appliedIndex };
    });
  }

  /** See {@link StateStore.keysWithPrefix}. */
  async keysWithPrefix(table: string, prefix: string, limit: number): Promise<readonly string[]> {
    return await this.#reading(() => this.#store.keysWithPrefix(table, prefix, limit));
  }

  /** What is applied since the newest checkpoint is in the log; a store that is closed needs no last one. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    await this.#gate.alone(() => this.#store.close());
  }

  async #applyChunk(entries: readonly Entry[], outcomes: Outcome[]): Promise<void> {
    const decoded = entries.map((entry) => decodeEntry<Command>(this.#core, entry));
    const cold: ColdRows = new Map();
    await this.#load(
      decoded.flatMap(({ names }) => this.#missing(names, cold)),
      cold,
    );
    for (const one of decoded) {
      await this.#makeRoom();
      // What was in memory or in the overlay when the chunk was loaded may have left both since.
      for (let names = this.#missing(one.names, cold); names.length > 0;) {
        await this.#load(names, cold);
        names = this.#missing(one.names, cold);
      }
      outcomes.push(this.#applyOne(one, cold));
      this.#considerCheckpoint();
      await this.#turnIfDue();
    }
  }

  /** Rows that are neither in memory nor in the overlay, and have not been loaded. */
  #missing(names: DecodedEntry<Command>['names'], cold: ColdRows): readonly string[] {
    const missing: string[] = [];
    for (const { table, key } of names) {
      if (this.#core.inMemory(table, key) !== null) continue;
      const name = nameOf(table, key);
      if (!cold.has(name) && this.#store.changed(name) === undefined) missing.push(name);
    }
    return missing;
  }

  async #load(names: readonly string[], cold: ColdRows): Promise<void> {
    if (names.length === 0) return;
    const rows = await this.#store.read(names);
    for (const name of names) cold.set(name, rows.get(name) ?? null);
  }

  #advance(position: EntryPosition, changes: readonly Change[]): void {
    this.#store.advance(position, changes);
    this.#samples.applied(position.index, () => this.#store.digest);
  }

  /** Synchronous from the first read of the state to the last change. */
  #applyOne({ entry, command, reason, names }: DecodedEntry<Command>, cold: ColdRows): Outcome {
    const position = { index: entry.index, term: entry.term };
    this.#expectNext(entry.index);
    if (command === null) {
      this.#poisonedCommands += 1;
      this.#options.logger.error({ ...position, reason }, 'an entry is no command; it is refused');
      this.#advance(position, []);
      return this.#core.undecodable(reason);
    }
    const loaded = new Map<string, RowValue>();
    for (const { table, key } of names) {
      if (this.#core.inMemory(table, key) !== null) continue;
      const name = nameOf(table, key);
      // The overlay first: it is newer than what was loaded.
      const changed = this.#store.changed(name);
      const row = changed === undefined ? cold.get(name) : changed;
      if (row !== null && row !== undefined) loaded.set(name, row);
    }
    const { outcome, changes, poisoned } = this.#core.apply(command, position, loaded);
    this.#advance(position, changes);
    for (const { table, key, after } of cold.size === 0 ? [] : changes) {
      const name = nameOf(table, key);
      // A checkpoint may take it out of the overlay before the chunk ends.
      if (cold.has(name)) cold.set(name, after);
    }
    if (poisoned === true) {
      this.#poisonedCommands += 1;
      this.#options.logger.error({ ...position, outcome }, 'a command threw; it has changed nothing');
    }
    const applied = { ...position, command, outcome, changes };
    for (const listener of this.#listeners) this.#tell(() => listener(applied));
    return outcome;
  }

  #expectNext(index: number): void {
    invariant(index === this.appliedIndex + 1, `entry ${index} does not follow ${this.appliedIndex}`);
  }

  /** Back-pressure: what cannot be written yet must not be gathered without end. */
  async #makeRoom(): Promise<void> {
    while (this.#store.overlayBytes > this.#options.bounds.overlayBytes) await this.#checkpoint();
  }

  #considerCheckpoint(): void {
    const { checkpointBytes, checkpointEntries, checkpointIntervalMs } = this.#options.bounds;
    if (this.#store.isCheckpointing) return;
    const entries = this.appliedIndex - this.#checkpointedIndex;
    if (this.#store.gatheredBytes >= checkpointBytes || entries >= checkpointEntries) {
      this.#checkpointAside();
      return;
    }
    this.#cancelTimer ??= this.#options.clock.after(checkpointIntervalMs, () => {
      this.#cancelTimer = null;
      if (!this.#closed && this.#failure === null) this.#checkpointAside();
    });
  }

  async #checkpoint(): Promise<number> {
    this.#checkpointBegun();
    return await this.#store.checkpoint();
  }

  #checkpointAside(): void {
    this.#checkpoint().catch((error: unknown) => this.#fail(error));
  }

  #checkpointBegun(): void {
    this.#checkpointedIndex = this.appliedIndex;
    this.#cancelTimer?.();
    this.#cancelTimer = null;
  }

  async #turnIfDue(): Promise<void> {
    const { clock, bounds, yieldTurn } = this.#options;
    if (clock.monotonicMs() - this.#turnStartMs < bounds.turnMs) return;
    await yieldTurn();
    this.#turnStartMs = clock.monotonicMs();
  }

  #storeOf({ level, loaded }: OpenedStore<Core>): StateStore {
    const { bounds, yieldTurn } = this.#options;
    return new StateStore({
      level,
      loaded,
      bounds,
      yieldTurn,
      // Whichever core there is: a store that held its own would keep the state of before in memory while it is replaced.
      creationOf: (table, row) => this.#core.creationOf(table, row),
      orderedTables: this.#core.orderedTables,
      changingTables: this.#core.changingTables,
      onFailure: (error) => this.#fail(error),
    });
  }

  /** One change at a time, and none after one that failed. */
  async #changing<T>(change: () => Promise<T>): Promise<T> {
    this.#throwIfUnusable();
    invariant(!this.#busy, 'the state is changed by one call at a time');
    this.#busy = true;
    try {
      return await change();
    } catch (error) {
      this.#fail(error);
      throw error;
    } finally {
      this.#busy = false;
    }
  }

  async #reading<T>(read: () => Promise<T>): Promise<T> {
    return await this.#gate.read(async () => {
      if (this.#closed) throw new JarvisError('unavailable', 'the store is closed');
      try {
        return await read();
      } catch (error) {
        // The next reader would meet it again, and only a start rebuilds the store.
        if (error instanceof StoreDamagedError) this.#fail(error);
        throw error;
      }
    });
  }

  #fail(error: unknown): void {
    if (this.#failure !== null) return;
    this.#failure = error;
    this.#options.logger.error({ error: messageOf(error) }, 'the store has failed');
    this.#options.onFailure(error);
  }

  #throwIfUnusable(): void {
    if (this.#closed) throw new JarvisError('unavailable', 'the store is closed');
    if (this.#failure !== null) throw this.#failure;
  }

  /** A listener's fault is not the state's: every replica has applied the command. */
  #tell(notify: () => void): void {
    try {
      notify();
    } catch (error) {
      this.#options.logger.error({ error: messageOf(error) }, 'a listener threw');
    }
  }
}
