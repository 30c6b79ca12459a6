/**
 * One store: rows that changed since the newest checkpoint in the overlay, all others in LevelDB, which nothing but
 * checkpoints writes. A checkpoint is one synced batch with the rows, the index, the count and the digest of one
 * moment: power cuts leave holes in a LevelDB that also takes unsynced writes (docs/storage.md).
 */
import { invariant } from '../lib/assert.ts';
import { messageOf } from '../lib/errors.ts';
import type { RowStream } from '../raft/ports.ts';
import { StorageError } from '../raft/storage-error.ts';
import type { StoreBounds } from './bounds.ts';
import { seal, sealed } from './codec.ts';
import { LateRows } from './late-rows.ts';
import {
  META_NAME,
  createdBefore,
  createdKey,
  createdKeyOfName,
  createdName,
  namesOfTable,
  namesWithPrefix,
} from './layout.ts';
import { SCAN_ROWS, reading, type Level } from './level.ts';
import { openIndexRow, openStored, scan, type LoadedStore } from './load.ts';
import { encodeMeta, type CheckpointMeta } from './meta.ts';
import type { NameFilter } from './name-filter.ts';
import { Overlay, type CreatedRow, type Layer, type OrderedRow } from './overlay.ts';
import {
  nameOf,
  type Creation,
  type EntryPosition,
  type RowValue,
  type StoredChange,
} from './replicated-core.ts';
import { openRowStream } from './row-stream.ts';

export interface StateStoreOptions {
  readonly level: Level;
  readonly loaded: LoadedStore;
  readonly bounds: StoreBounds;
  readonly creationOf: (table: string, row: RowValue) => Creation | null;
  readonly orderedTables: ReadonlySet<string>;
  readonly changingTables: ReadonlySet<string>;
  /** Lets the event loop turn once. */
  readonly yieldTurn: () => Promise<void>;
  /** Once: nothing is written any more, and the store ends with this process. */
  readonly onFailure: (error: StorageError) => void;
}

export class StateStore {
  readonly #options: StateStoreOptions;
  readonly #level: Level;
  readonly #overlay = new Overlay();
  readonly #rows: LateRows;
  /** Of every row that LevelDB or the overlay has, or had, but for those of ordered tables. */
  readonly #names: NameFilter;
  #applied: EntryPosition;
  #checkpoint: CheckpointMeta;
  #running: Promise<void> | null = null;
  #failure: StorageError | null = null;

  constructor(options: StateStoreOptions) {
    this.#options = options;
    this.#level = options.level;
    this.#rows = new LateRows(options.loaded.digest, this.#overlay, options.bounds.lateRows);
    this.#names = options.loaded.names;
    this.#checkpoint = options.loaded.meta;
    this.#applied = { index: options.loaded.meta.index, term: options.loaded.meta.term };
  }

  get applied(): EntryPosition {
    return this.#applied;
  }

  get checkpointIndex(): number {
    return this.#checkpoint.index;
  }

  /** Of all rows as of the applied index; 32 hexadecimal digits, the same on every replica. */
  get digest(): string {
    return this.#rows.digest;
  }

  get rowCount(): number {
    return this.#rows.rowCount;
  }

  get overlayBytes(): number {
    return this.#overlay.bytes;
  }

  /** Changed since the newest checkpoint began. */
  get gatheredBytes(): number {
    return this.#overlay.activeBytes;
  }

  get isCheckpointing(): boolean {
    return this.#running !== null;
  }

  /** Takes over what one entry changed: all of it in one turn, so that a checkpoint has all of it or nothing. */
  advance(applied: EntryPosition, changes: readonly StoredChange[]): void {
    for (const { table, key, before, after } of changes) {
      const name = nameOf(table, key);
      if (before === null) this.#addName(table, name);
      const isLate = this.#options.changingTables.has(table);
      const dirty = this.#rows.change({ name, before, after, isLate });
      const orderedTable = before === null && this.#options.orderedTables.has(table) ? table : null;
      const createdKey = this.#createdKeyOf(table, before, after);
      this.#overlay.put({ name, key, dirty, createdKey, orderedTable });
    }
    this.#rows.keepBound();
    this.#applied = applied;
  }

  /** Rows of ordered tables are asked for only where they are known to be: the filter is kept for those that may not be. */
  #addName(table: string, name: string): void {
    if (!this.#options.orderedTables.has(table)) this.#names.add(name);
  }

  #mayHold(name: string): boolean {
    return this.#names.mayHold(name) || this.#options.orderedTables.has(name.slice(0, name.indexOf('/')));
  }

  #createdKeyOf(table: string, before: RowValue | null, after: RowValue | null): string | null {
    const row = before === null ? after : after === null ? before : null;
    const creation = row === null ? null : this.#options.creationOf(table, row);
    return creation === null ? null : createdKey(creation);
  }

  /** Undefined where the row has not changed since the newest checkpoint, null where it is gone. */
  changed(name: string): RowValue | null | undefined {
    return this.#overlay.get(name)?.row;
  }

  /** The rows that exist, of those that were asked for. @throws StoreDamagedError */
  async read(names: readonly string[]): Promise<Map<string, RowValue>> {
    const found = new Map<string, RowValue>();
    const cold: string[] = [];
    for (const name of names) {
      const row = this.changed(name);
      if (row === undefined && this.#mayHold(name)) cold.push(name);
      else if (row !== undefined && row !== null) found.set(name, row);
    }
    for (let start = 0; start < cold.length; start += SCAN_ROWS) {
      const some = cold.slice(start, start + SCAN_ROWS);
      const values = await reading(this.#level, () => this.#level.getMany(some));
      for (const [position, name] of some.entries()) {
        const stored = values[position];
        if (stored === undefined) continue;
        found.set(name, openStored(this.#level, name, stored));
      }
    }
    return found;
  }

  /**
   * Rows of a list by age, newest first, made before the bound (all for null); fewer than `count` only at the end. Rows of
   * a group are made later than their place in the list says: the overlay is not all newer than LevelDB.
   */
  async createdBefore(bound: string | null, count: number, list: string): Promise<readonly CreatedRow[]> {
    // As of now: a checkpoint may move rows to LevelDB meanwhile, where they are found as well.
    const changed = this.#overlay.createdBefore(bound, list);
    let next = changed.next();
    const recent: CreatedRow[] = [];
    for (; recent.length < count && next.done !== true; next = changed.next()) recent.push(next.value);
    const stored = await reading(this.#level, async () => {
      const rows: CreatedRow[] = [];
      for await (const entries of scan(this.#level, { ...createdBefore(bound, list), reverse: true })) {
        for (const [name, value] of entries) {
          const key = createdKeyOfName(name);
          if (this.#overlay.isUncreated(key)) continue;
          rows.push({ createdKey: key, key: openIndexRow(this.#level, name, value) });
          if (rows.length === count) return rows;
        }
        // As many are newer than all that would follow.
        const oldest = rows.at(-1)?.createdKey ?? '';
        if (recent.length === count && (recent.at(-1)?.createdKey ?? '') >= oldest) return rows;
      }
      return rows;
    });
    return newestOf(recent, stored, count);
  }

  /**
   * Rows of the ordered table by key, from `from` on; fewer than `count` only where there are no more as of
   * {@link applied}, as it is when this is called. Costs as much as it returns, however many rows there are or were.
   */
  async rowsInOrder(table: string, from: string, count: number): Promise<readonly OrderedRow[]> {
    const fresh: OrderedRow[] = [];
    let firstFresh: string | null = null;
    for (const key of this.#overlay.newKeysFrom(table, from)) {
      firstFresh ??= key;
      const row = this.changed(nameOf(table, key));
      if (row !== null && row !== undefined) fresh.push({ key, row });
      if (fresh.length === count) break;
    }
    if (this.#overlay.isAllNewFrom(table, from)) return fresh;
    const keyStart = nameOf(table, '').length;
    const end = firstFresh === null ? namesOfTable(table).lt : nameOf(table, firstFresh);
    const rows: OrderedRow[] = [];
    await reading(this.#level, async () => {
      for await (const entries of scan(this.#level, { gte: nameOf(table, from), lt: end })) {
        for (const [name, stored] of entries) {
          const changed = this.changed(name);
          if (changed === null) continue;
          rows.push({ key: name.slice(keyStart), row: changed ?? openStored(this.#level, name, stored) });
          if (rows.length === count) return;
        }
      }
    });
    return [...rows, ...fresh].slice(0, count);
  }

  /** Keys of the listed table that begin so, sorted, at most `limit`. */
  async keysWithPrefix(table: string, prefix: string, limit: number): Promise<readonly string[]> {
    const keys = new Set<string>();
    for (const { key } of this.#overlay.createdBefore(null, table === 'task' ? '' : table)) {
      if (key.startsWith(prefix) && this.changed(nameOf(table, key)) !== undefined) keys.add(key);
    }
    await reading(this.#level, async () => {
      let stored = 0;
      for await (const entries of scan(this.#level, namesWithPrefix(nameOf(table, prefix)))) {
        for (const [name] of entries) {
          if (this.changed(name) === null) continue;
          keys.add(name.slice(nameOf(table, '').length));
          stored += 1;
          if (stored === limit) return;
        }
      }
    });
    return [...keys].sort().slice(0, limit);
  }

  /** The rows as of the newest checkpoint. */
  async rows(): Promise<RowStream> {
    return await openRowStream(this.#level);
  }

  /**
   * Resolves when a durable checkpoint holds what is applied at the moment of the call, with the checkpoint's index.
   * @throws StorageError storage_failed: after one failed write LevelDB acknowledges writes that it loses, so there is
   *   never a second try on the same handle.
   */
  async checkpoint(): Promise<number> {
    const { index } = this.#applied;
    while (this.#running !== null) await this.#running;
    if (this.#failure !== null) throw this.#failure;
    if (this.#checkpoint.index < index) {
      this.#running = this.#write().finally(() => {
        this.#running = null;
      });
      await this.#running;
    }
    return this.#checkpoint.index;
  }

  async #write(): Promise<void> {
    const meta: CheckpointMeta = {
      ...this.#applied,
      rowCount: this.#rows.rowCount,
      digest: this.#rows.digest,
    };
    const layer = this.#overlay.freeze();
    try {
      await this.#writeLayer(layer, meta);
    } catch (error) {
      const failure = new StorageError(
        'storage_failed',
        this.#level.location,
        `a checkpoint failed: ${messageOf(error)}`,
        {
          cause: error,
        },
      );
      this.#failure = failure;
      this.#options.onFailure(failure);
      throw failure;
    }
    this.#checkpoint = meta;
    this.#overlay.release();
  }

  async #writeLayer(layer: Layer, meta: CheckpointMeta): Promise<void> {
    const { yieldTurn, bounds } = this.#options;
    const batch = this.#level.batch();
    let rows = 0;
    let bytes = 0;
    const put = (name: string, stored: Uint8Array): void => {
      batch.put(name, stored);
      rows += 1;
      bytes += stored.byteLength;
    };
    const turn = async (): Promise<void> => {
      rows = 0;
      bytes = 0;
      await yieldTurn();
    };
    const isTurnDue = (): boolean => rows >= bounds.sliceRows || bytes >= bounds.sliceBytes;
    for (const [name, { row, encoded }] of layer.rows) {
      if (row === null) {
        batch.del(name);
        rows += 1;
      } else {
        invariant(encoded !== null, `the digest of the checkpoint has ${name} in it`);
        seal(name, encoded.stored);
        put(name, encoded.stored);
      }
      if (isTurnDue()) await turn();
    }
    for (const { createdKey, key } of layer.created) {
      const name = createdName(createdKey);
      put(name, sealed(name, Buffer.from(key)));
      if (isTurnDue()) await turn();
    }
    for (const createdKey of layer.uncreated) {
      batch.del(createdName(createdKey));
      rows += 1;
      if (isTurnDue()) await turn();
    }
    batch.put(META_NAME, encodeMeta(meta));
    await batch.write({ sync: true });
  }

  /** Resolves when no checkpoint is under way; how it ended is told elsewhere. */
  async settled(): Promise<void> {
    while (this.#running !== null) await Promise.allSettled([this.#running]);
  }

  /** What is in the overlay only is in the log as well. */
  async close(): Promise<void> {
    await this.settled();
    await this.#level.close();
    invariant(this.#level.status === 'closed', 'a closed store holds no lock');
  }
}

/** Of both, which are sorted; what stands in both counts once. */
function newestOf(
  one: readonly CreatedRow[],
  other: readonly CreatedRow[],
  count: number,
): readonly CreatedRow[] {
  const rows: CreatedRow[] = [];
  let [i, j] = [0, 0];
  while (rows.length < count) {
    const [a, b] = [one[i], other[j]];
    const next = b === undefined || (a !== undefined && a.createdKey >= b.createdKey) ? a : b;
    if (next === undefined) break;
    if (next === a) i += 1;
    if (next.createdKey === b?.createdKey) j += 1;
    rows.push(next);
  }
  return rows;
}
