/**
 * The log in memory, above a base (index, term) that a snapshot covers: which entries are handed to disk, which are
 * durable, committed, being applied and applied. Positions only move forward, but for a tail that another leader's
 * entries replace (Raft paper, section 5.3).
 *
 *   applied <= applying <= committed <= lastIndex;  base <= durable <= handedOut <= lastIndex
 */
import { invariant } from '../../lib/assert.ts';
import type { Entry, SnapshotMeta } from './types.ts';

/** What an entry costs beside its data, in memory and in messages; it makes empty entries count too. */
const ENTRY_OVERHEAD_BYTES = 16;

function entryBytes(entry: Entry): number {
  return entry.data.byteLength + ENTRY_OVERHEAD_BYTES;
}

function bytesOf(entries: readonly Entry[]): number {
  let bytes = 0;
  for (const entry of entries) bytes += entryBytes(entry);
  return bytes;
}

export function payloadBytes(entries: readonly Pick<Entry, 'data'>[]): number {
  let bytes = 0;
  for (const entry of entries) bytes += entry.data.byteLength;
  return bytes;
}

export class RaftLog {
  #baseIndex: number;
  #baseTerm: number;
  #entries: Entry[];
  #bytes: number;
  #snapshot: SnapshotMeta;
  #committed: number;
  #applying: number;
  #applied: number;
  #handedOut: number;
  #durable: number;
  /** Of the entries that are handed out and not applied. */
  #applyingBytes = 0;
  readonly #maxApplyingBytes: number;
  /** Received, not yet durable: replaces everything, and nothing may be applied before it is. */
  #pendingSnapshot: SnapshotMeta | null = null;
  #snapshotHandedOut = false;

  constructor(recovered: {
    snapshot: SnapshotMeta;
    entries: readonly Entry[];
    committed: number;
    applied: number;
    maxApplyingBytes: number;
  }) {
    const { snapshot, entries, committed, applied, maxApplyingBytes } = recovered;
    this.#baseIndex = snapshot.index;
    this.#baseTerm = snapshot.term;
    this.#snapshot = snapshot;
    this.#entries = [...entries];
    this.#bytes = bytesOf(this.#entries);
    this.#maxApplyingBytes = maxApplyingBytes;
    this.#applied = Math.max(applied, snapshot.index);
    this.#applying = this.#applied;
    // The stored commit index may be older than what was applied: it is written along with other things.
    this.#committed = Math.max(committed, this.#applied);
    this.#handedOut = this.lastIndex;
    this.#durable = this.lastIndex;
    this.#checkJoined(entries);
    invariant(this.#committed <= this.lastIndex, 'what is committed or applied is in the log');
  }

  get firstIndex(): number {
    return this.#baseIndex + 1;
  }

  get lastIndex(): number {
    return this.#baseIndex + this.#entries.length;
  }

  /** What the entries take in memory. */
  get bytes(): number {
    return this.#bytes;
  }

  get lastTerm(): number {
    return this.#entries.at(-1)?.term ?? this.#baseTerm;
  }

  get committed(): number {
    return this.#committed;
  }

  get applied(): number {
    return this.#applied;
  }

  get durable(): number {
    return this.#durable;
  }

  /** The newest one that can be sent. */
  get snapshot(): SnapshotMeta {
    return this.#snapshot;
  }

  get pendingSnapshot(): SnapshotMeta | null {
    return this.#pendingSnapshot;
  }

  /** Null below the base (compacted) and above the end. */
  termAt(index: number): number | null {
    if (index === this.#baseIndex) return this.#baseTerm;
    return this.#entries[index - this.firstIndex]?.term ?? null;
  }

  matches(index: number, term: number): boolean {
    return this.termAt(index) === term;
  }

  /** Whether a candidate's log is at least as up to date as this one (Raft paper, section 5.4.1). */
  isUpToDate(index: number, term: number): boolean {
    return term > this.lastTerm || (term === this.lastTerm && index >= this.lastIndex);
  }

  /** From `from` to `to` (both included) as far as `maxBytes` go, and at least one where there is one. */
  slice(from: number, to: number, maxBytes: number): readonly Entry[] {
    invariant(from >= this.firstIndex, `entry ${from} is compacted`);
    const start = from - this.firstIndex;
    const stop = Math.min(to, this.lastIndex) - this.#baseIndex;
    let end = start;
    let bytes = 0;
    while (end < stop) {
      const entry = this.#entries[end];
      if (entry === undefined) break;
      bytes += entryBytes(entry);
      if (end > start && bytes > maxBytes) break;
      end += 1;
    }
    return this.#entries.slice(start, end);
  }

  /** Everything held from `index` on. */
  entriesFrom(index: number): readonly Entry[] {
    return this.#entries.slice(Math.max(0, index - this.firstIndex));
  }

  /** Appends, replacing whatever stands from the first entry's index on. */
  append(entries: readonly Entry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    const after = first.index - 1;
    invariant(after >= this.#committed, `entries from ${first.index} would replace committed ones`);
    invariant(after <= this.lastIndex, 'entries leave no gap');
    if (after < this.lastIndex) this.#bytes -= bytesOf(this.#entries.splice(after - this.#baseIndex));
    for (const entry of entries) this.#entries.push(entry);
    this.#bytes += bytesOf(entries);
    this.#handedOut = Math.min(this.#handedOut, after);
    this.#durable = Math.min(this.#durable, after);
  }

  /**
   * A leader's entries after (index, term); conflicting ones are replaced, known ones left alone.
   * @returns the last index that is known to match the leader's log, or null where (index, term) is not in the log
   */
  maybeAppend(index: number, term: number, entries: readonly Entry[], committed: number): number | null {
    if (!this.matches(index, term)) return null;
    const lastNew = index + entries.length;
    const conflict = entries.findIndex((entry) => !this.matches(entry.index, entry.term));
    if (conflict >= 0) this.append(entries.slice(conflict));
    this.commitTo(Math.min(committed, lastNew));
    return lastNew;
  }

  /** The last index at or below `index` whose term is at most `term`: where two logs may still agree. */
  findConflictByTerm(index: number, term: number): { index: number; term: number } {
    for (let at = index; at > 0; at -= 1) {
      const ours = this.termAt(at);
      if (ours === null) return { index: at, term: 0 };
      if (ours <= term) return { index: at, term: ours };
    }
    return { index: 0, term: 0 };
  }

  commitTo(index: number): void {
    if (index <= this.#committed) return;
    invariant(index <= this.lastIndex, `commit ${index} is beyond the log, which ends at ${this.lastIndex}`);
    this.#committed = index;
  }

  /** Replaces everything by a snapshot that is not durable yet. */
  restore(meta: SnapshotMeta): void {
    this.#pendingSnapshot = meta;
    this.#snapshotHandedOut = false;
    this.#snapshot = meta;
    this.#baseIndex = meta.index;
    this.#baseTerm = meta.term;
    this.#entries = [];
    this.#bytes = 0;
    this.#committed = meta.index;
    this.#handedOut = meta.index;
    this.#durable = meta.index;
  }

  hasUnhanded(): boolean {
    return this.#handedOut < this.lastIndex || (this.#pendingSnapshot !== null && !this.#snapshotHandedOut);
  }

  /** What has not been handed to disk yet; from now on it has. */
  takeUnhanded(): { entries: readonly Entry[]; snapshot: SnapshotMeta | null } {
    const entries = this.#entries.slice(this.#handedOut - this.#baseIndex);
    const snapshot = this.#snapshotHandedOut ? null : this.#pendingSnapshot;
    this.#handedOut = this.lastIndex;
    this.#snapshotHandedOut = this.#pendingSnapshot !== null;
    return { entries, snapshot };
  }

  /** Up to (index, term) everything is on disk; ignored where the tail has been rewritten since. */
  durableTo(index: number, term: number): void {
    if (index > this.#durable && index <= this.#handedOut && this.matches(index, term)) this.#durable = index;
  }

  /** The snapshot is durable, and the state machine holds it. */
  snapshotInstalled(index: number): void {
    if (this.#pendingSnapshot?.index === index) {
      this.#pendingSnapshot = null;
      this.#snapshotHandedOut = false;
    }
    this.#applied = Math.max(this.#applied, index);
    this.#applying = Math.max(this.#applying, index);
    if (this.#applied === this.#applying) this.#applyingBytes = 0;
  }

  /** @param beyondDurable also what is only handed to disk */
  hasApplicable(beyondDurable: boolean): boolean {
    return (
      this.#pendingSnapshot === null &&
      this.#applyingBytes < this.#maxApplyingBytes &&
      this.#applying < this.#applicable(beyondDurable)
    );
  }

  /** Committed and durable, not handed out before; from now on being applied. */
  takeApplicable(beyondDurable: boolean): readonly Entry[] {
    if (!this.hasApplicable(beyondDurable)) return [];
    const room = this.#maxApplyingBytes - this.#applyingBytes;
    const entries = this.slice(this.#applying + 1, this.#applicable(beyondDurable), room);
    this.#applying += entries.length;
    for (const entry of entries) this.#applyingBytes += entryBytes(entry);
    return entries;
  }

  /** @returns the payload of what is newly applied, in bytes */
  appliedTo(index: number): number {
    if (index <= this.#applied) return 0;
    invariant(index <= this.#applying, `${index} was never handed out to be applied`);
    let payload = 0;
    for (let at = this.#applied + 1; at <= index; at += 1) {
      const entry = this.#entries[at - this.firstIndex];
      if (entry === undefined) continue;
      payload += entry.data.byteLength;
      this.#applyingBytes -= entryBytes(entry);
    }
    this.#applied = index;
    if (this.#applied === this.#applying) this.#applyingBytes = 0;
    return payload;
  }

  /** An election under a configuration that a committed change is about to replace could elect a second leader. */
  hasUnappliedConfChange(): boolean {
    for (let at = this.#applied + 1; at <= this.#committed; at += 1) {
      if (this.#entries[at - this.firstIndex]?.type === 'confChange') return true;
    }
    return false;
  }

  /**
   * There is a snapshot of `meta.index`, and entries up to `through` are dropped. Later ones below the snapshot stay
   * for followers that are a little behind.
   */
  compact(meta: SnapshotMeta, through: number): void {
    invariant(through <= meta.index, 'a snapshot covers what is dropped');
    invariant(meta.index <= this.#applying, 'only what was handed out to be applied is in a snapshot');
    if (meta.index >= this.#snapshot.index) this.#snapshot = meta;
    if (through <= this.#baseIndex) return;
    const term = this.termAt(through);
    invariant(term !== null && through <= this.#durable, 'only what is durable is dropped');
    const dropped = through - this.#baseIndex;
    this.#bytes -= bytesOf(this.#entries.slice(0, dropped));
    this.#entries = this.#entries.slice(dropped);
    this.#baseIndex = through;
    this.#baseTerm = term;
  }

  #applicable(beyondDurable: boolean): number {
    return beyondDurable ? this.#committed : Math.min(this.#committed, this.#durable);
  }

  #checkJoined(entries: readonly Entry[]): void {
    let index = this.#baseIndex;
    let term = this.#baseTerm;
    for (const entry of entries) {
      index += 1;
      invariant(entry.index === index && entry.term >= term, `the log is joined at entry ${index}`);
      term = entry.term;
    }
  }
}
