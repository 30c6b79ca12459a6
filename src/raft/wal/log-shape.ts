/** What the front of the log knows of its contents: enough to say what a request truncates or drops. */
import { invariant } from '../../lib/assert.ts';
import type { Entry, HardState, SnapshotMeta } from '../core/types.ts';
import type { LogBase } from '../ports.ts';
import type { LogRecord } from './batch-format.ts';

export class LogShape {
  #baseIndex: number;
  #lastIndex: number;
  #namesPeers: boolean;
  /** Where each term begins, by rising index; the first may have begun earlier. */
  #runs: { readonly index: number; readonly term: number }[] = [];

  constructor(base: LogBase | null, entries: readonly Entry[]) {
    this.#baseIndex = base?.index ?? 0;
    this.#lastIndex = this.#baseIndex;
    this.#namesPeers = base?.peers !== undefined;
    if (base !== null) this.#runs.push({ index: base.index, term: base.term });
    for (const entry of entries) this.#add(entry);
  }

  get baseIndex(): number {
    return this.#baseIndex;
  }

  get lastIndex(): number {
    return this.#lastIndex;
  }

  /** The records of one append, in the order in which recovery replays them. */
  append(request: {
    readonly hardState: HardState | null;
    readonly entries: readonly Entry[];
    readonly snapshot: SnapshotMeta | null;
  }): LogRecord[] {
    const records: LogRecord[] = [];
    if (request.snapshot !== null) records.push(this.#install(request.snapshot));
    if (request.hardState !== null) records.push({ type: 'hardState', hardState: request.hardState });
    const first = request.entries[0];
    if (first === undefined) return records;
    invariant(
      first.index > this.#baseIndex && first.index <= this.#lastIndex + 1,
      `entry ${first.index} does not follow a log of ${this.#baseIndex} to ${this.#lastIndex}`,
    );
    if (first.index <= this.#lastIndex) {
      records.push({ type: 'truncate', fromIndex: first.index });
      this.#truncate(first.index);
    }
    for (const entry of request.entries) {
      this.#add(entry);
      records.push({ type: 'entry', entry });
    }
    return records;
  }

  /** The record of a compaction, or null where the log begins behind `meta` already, and knows who was a member there. */
  compact(meta: LogBase): LogRecord | null {
    const addsPeers = meta.index === this.#baseIndex && meta.peers !== undefined && !this.#namesPeers;
    if (meta.index <= this.#baseIndex && !addsPeers) return null;
    invariant(
      this.#termAt(meta.index) === meta.term,
      `a snapshot of entry ${meta.index} of term ${meta.term}, which is not in the log`,
    );
    this.#moveBase(meta);
    return { type: 'base', meta, dropsAll: false };
  }

  #install(meta: SnapshotMeta): LogRecord {
    invariant(meta.index > this.#baseIndex, `snapshot ${meta.index} is not newer than ${this.#baseIndex}`);
    // What follows the snapshot's last entry stays only if the log holds that very entry (Raft paper, figure 13).
    const dropsAll = this.#termAt(meta.index) !== meta.term;
    if (dropsAll) {
      this.#runs = [];
      this.#lastIndex = meta.index;
    }
    this.#moveBase(meta);
    return { type: 'base', meta, dropsAll };
  }

  #add(entry: Entry): void {
    invariant(entry.index === this.#lastIndex + 1, `entry ${entry.index} follows ${this.#lastIndex}`);
    const term = this.#runs.at(-1)?.term ?? 0;
    invariant(entry.term >= term, `entry ${entry.index} of term ${entry.term} follows one of term ${term}`);
    if (entry.term > term) this.#runs.push({ index: entry.index, term: entry.term });
    this.#lastIndex = entry.index;
  }

  #truncate(fromIndex: number): void {
    this.#lastIndex = fromIndex - 1;
    while ((this.#runs.at(-1)?.index ?? 0) >= fromIndex) this.#runs.pop();
  }

  #moveBase(meta: LogBase): void {
    this.#baseIndex = meta.index;
    this.#namesPeers = meta.peers !== undefined;
    this.#runs = [
      { index: meta.index, term: meta.term },
      ...this.#runs.filter((run) => run.index > meta.index),
    ];
  }

  #termAt(index: number): number | null {
    if (index > this.#lastIndex) return null;
    return this.#runs.findLast((run) => run.index <= index)?.term ?? null;
  }
}
