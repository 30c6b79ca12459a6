/**
 * Rows that changed since the newest checkpoint, bounded. Two layers: the frozen one is being written by a checkpoint
 * and does not change; the active one takes what is applied meanwhile and hides it.
 */
import { invariant } from '../lib/assert.ts';
import type { EncodedRow } from './codec.ts';
import { createdKeysOf } from './layout.ts';
import type { RowValue } from './replicated-core.ts';

/** What Maps and objects cost beside the bytes: roughly, on the safe side. */
const ENTRY_OVERHEAD_BYTES = 400;

/** Of a row whose bytes are not made yet: more than most have. */
const LATE_BYTES = 1024;

export interface KeptRow {
  readonly row: RowValue;
  /** Null: not yet; see `late-rows.ts`. */
  encoded: EncodedRow | null;
}

export type DirtyRow =
  | KeptRow
  /** Deleted. */
  | { readonly row: null; readonly encoded: null };

function storedBytes({ row, encoded }: DirtyRow): number {
  return row === null ? 0 : (encoded?.stored.byteLength ?? LATE_BYTES);
}

export interface CreatedRow {
  /** Sorts by creation (layout.ts). */
  readonly createdKey: string;
  readonly key: string;
}

export interface OverlayChange {
  readonly name: string;
  readonly key: string;
  readonly dirty: DirtyRow;
  /** Of rows of listed tables that are new, or gone. */
  readonly createdKey: string | null;
  /** The table of a row that is new, where its rows are made in the order of their keys. */
  readonly orderedTable: string | null;
}

/** A row of an ordered table, as of when it was looked at. */
export interface OrderedRow {
  readonly key: string;
  readonly row: RowValue;
}

export class Layer {
  readonly rows = new Map<string, DirtyRow>();
  /** By ordered table: keys of rows that are new in this layer, ascending; some of them may be gone again. */
  readonly ordered = new Map<string, string[]>();
  readonly uncreated = new Set<string>();
  readonly #created: CreatedRow[] = [];
  #sorted = true;
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  /** Index rows that are new in this layer, oldest first. */
  get created(): readonly CreatedRow[] {
    if (!this.#sorted) {
      this.#created.sort((a, b) => (a.createdKey < b.createdKey ? -1 : 1));
      this.#sorted = true;
    }
    return this.#created;
  }

  /** The bytes of a row of this layer are known now. */
  encoded(late: KeptRow, encoded: EncodedRow): void {
    this.#bytes -= storedBytes(late);
    late.encoded = encoded;
    this.#bytes += storedBytes(late);
  }

  put({ name, key, dirty, createdKey, orderedTable }: OverlayChange): void {
    const old = this.rows.get(name);
    if (old === undefined) this.#bytes += ENTRY_OVERHEAD_BYTES + name.length;
    this.#bytes += storedBytes(dirty) - (old === undefined ? 0 : storedBytes(old));
    this.rows.set(name, dirty);
    if (orderedTable !== null) this.#addOrdered(orderedTable, key);
    if (createdKey === null) return;
    if (dirty.row === null) {
      this.uncreated.add(createdKey);
      return;
    }
    this.uncreated.delete(createdKey);
    // Positions in the log rise, so this is an append but for rows made in one command in another order.
    const last = this.#created.at(-1);
    if (last !== undefined && last.createdKey > createdKey) this.#sorted = false;
    this.#created.push({ createdKey, key });
  }

  #addOrdered(table: string, key: string): void {
    const keys = this.ordered.get(table) ?? [];
    invariant((keys.at(-1) ?? '') < key, 'rows of an ordered table are made in the order of their keys');
    keys.push(key);
    this.ordered.set(table, keys);
  }
}

export class Overlay {
  #active = new Layer();
  #frozen: Layer | null = null;

  get bytes(): number {
    return this.#active.bytes + (this.#frozen?.bytes ?? 0);
  }

  get activeBytes(): number {
    return this.#active.bytes;
  }

  /** Newest first. */
  get layers(): readonly Layer[] {
    return this.#frozen === null ? [this.#active] : [this.#active, this.#frozen];
  }

  /** Undefined where the row has not changed since the newest checkpoint: LevelDB has it, or nobody. */
  get(name: string): DirtyRow | undefined {
    return this.#active.rows.get(name) ?? this.#frozen?.rows.get(name);
  }

  put(change: OverlayChange): void {
    this.#active.put(change);
  }

  /** The bytes of a row that was put since the newest checkpoint began. */
  encoded(late: KeptRow, encoded: EncodedRow): void {
    this.#active.encoded(late, encoded);
  }

  /** What changed so far, for a checkpoint to write: the bytes of all of it are known. */
  freeze(): Layer {
    invariant(this.#frozen === null, 'one checkpoint at a time');
    this.#frozen = this.#active;
    this.#active = new Layer();
    return this.#frozen;
  }

  /** The checkpoint is durable: LevelDB has the frozen rows. */
  release(): void {
    this.#frozen = null;
  }

  /**
   * Rows of a list, created since the newest checkpoint and still there, newest first, made before `bound` (all for
   * null). Rows that are made late, in the middle of the list, may stand in either layer.
   */
  *createdBefore(bound: string | null, list: string): Generator<CreatedRow> {
    const layers = this.layers;
    const gone = (key: string): boolean => layers.some((layer) => layer.uncreated.has(key));
    const { gt, lt } = createdKeysOf(list);
    let last = bound ?? lt;
    const end = last;
    const cursors = layers.map(({ created }) => ({
      created,
      at: firstFrom(created, end, ({ createdKey }) => createdKey) - 1,
    }));
    for (;;) {
      let newest: (typeof cursors)[number] | null = null;
      for (const cursor of cursors) {
        const key = cursor.created[cursor.at]?.createdKey ?? '';
        if (key > gt && key > (newest?.created[newest.at]?.createdKey ?? '')) newest = cursor;
      }
      if (newest === null) return;
      const row = newest.created[newest.at];
      newest.at -= 1;
      if (row === undefined || row.createdKey === last || gone(row.createdKey)) continue;
      last = row.createdKey;
      yield row;
    }
  }

  /** Keys of the ordered table's rows that are new since the newest checkpoint, from `from` on, ascending. */
  *newKeysFrom(table: string, from: string): Generator<string> {
    for (const { ordered } of this.layers.toReversed()) {
      const keys = ordered.get(table) ?? [];
      for (let at = firstFrom(keys, from, (key) => key); at < keys.length; at += 1) yield keys[at] ?? '';
    }
  }

  /** Whether every row of the ordered table from that key on is new since the newest checkpoint: all others sort before. */
  isAllNewFrom(table: string, from: string): boolean {
    const first = this.layers.toReversed().flatMap(({ ordered }) => ordered.get(table)?.[0] ?? [])[0];
    return first !== undefined && first <= from;
  }

  isUncreated(createdKey: string): boolean {
    return this.layers.some((layer) => layer.uncreated.has(createdKey));
  }
}

/** Index of the first whose key is not below `from`; the length where all are. */
function firstFrom<T>(sorted: readonly T[], from: string, keyOf: (item: T) => string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const item = sorted[middle];
    if (item !== undefined && keyOf(item) < from) low = middle + 1;
    else high = middle;
  }
  return low;
}
