/**
 * The log in memory, above what a snapshot covers: which entries are handed to disk, which are durable, committed, and
 * applied. Positions only move forward, but for a tail that another leader's entries replace (Raft paper, section 5.3).
 *
 *   base < applied <= applying <= min(committed, durable);  durable <= handedOut <= lastIndex
 */
import { invariant } from '../../lib/assert.ts';
import type { Entry, SnapshotMeta } from './types.ts';

export class RaftLog {
  /** What the entries below `#entries[0]` came to. */
  #base: SnapshotMeta;
  #entries: Entry[];
  #committed: number;
  #applying: number;
  #applied: number;
  #handedOut: number;
  #durable: number;
  /** Received, not yet durable: replaces everything, and nothing may be applied before it is. */
  #pendingSnapshot: SnapshotMeta | null = null;
  #snapshotHandedOut = false;

  constructor(base: SnapshotMeta, entries: readonly Entry[], committed: number, applied: number) {
    this.#base = base;
    this.#entries = [...entries];
    this.#committed = Math.max(committed, applied, base.index);
    this.#applied = Math.max(applied, base.index);
    this.#applying = this.#applied;
    this.#handedOut = this.lastIndex;
    this.#durable = this.lastIndex;
    invariant(entries[0] === undefined || entries[0].index === base.index + 1, 'the log joins its snapshot');
    invariant(this.#committed <= this.lastIndex, 'what is committed or applied is in the log');
  }

  get base(): SnapshotMeta {
    return this.#base;
  }

  get firstIndex(): number {
    return this.#base.index + 1;
  }

  get lastIndex(): number {
    return this.#base.index + this.#entries.length;
  }

  get lastTerm(): number {
    return this.#entries.at(-1)?.term ?? this.#base.term;
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

  get pendingSnapshot(): SnapshotMeta | null {
    return this.#pendingSnapshot;
  }

  /** Null below the base (compacted) and above the end. */
  termAt(index: number): number | null {
    if (index === this.#base.index) return this.#base.term;
    return this.#entries[index - this.firstIndex]?.term ?? null;
  }

  matches(index: number, term: number): boolean {
    return this.termAt(index) === term;
  }

  /** Whether a candidate's log is at least as up to date as this one (Raft paper, section 5.4.1). */
  isUpToDate(index: number, term: number): boolean {
    return term > this.lastTerm || (term === this.lastTerm && index >= this.lastIndex);
  }

  /** From `from` up to `maxBytes`, at least one where there is one. */
  slice(from: number, maxBytes: number, to: number = this.lastIndex): readonly Entry[] {
    const start = from - this.firstIndex;
    let end = start;
    let bytes = 0;
    while (end < this.#entries.length && end + this.firstIndex <= to) {
      const entry = this.#entries[end];
      if (entry === undefined) break;
      bytes += entry.data.byteLength;
      if (end > start && bytes > maxBytes) break;
      end += 1;
    }
    return this.#entries.slice(start, end);
  }

  /** Appends, replacing whatever stands from the first entry's index on. */
  append(entries: readonly Entry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    const after = first.index - 1;
    invariant(after >= this.#committed, `entries from ${first.index} would replace committed ones`);
    invariant(after <= this.lastIndex, 'entries leave no gap');
    this.#entries.length = after - this.#base.index;
    for (const entry of entries) this.#entries.push(entry);
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
    for (let at = Math.min(index, this.lastIndex); at > 0; at -= 1) {
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
    this.#base = meta;
    this.#entries = [];
    this.#committed = meta.index;
    this.#handedOut = meta.index;
    this.#durable = meta.index;
  }

  hasUnhanded(): boolean {
    return this.#handedOut < this.lastIndex || (this.#pendingSnapshot !== null && !this.#snapshotHandedOut);
  }

  /** What has not been handed to disk yet; from now on it has. */
  takeUnhanded(): { entries: readonly Entry[]; snapshot: SnapshotMeta | null } {
    const entries = this.#entries.slice(this.#handedOut - this.#base.index);
    const snapshot = this.#snapshotHandedOut ? null : this.#pendingSnapshot;
    this.#handedOut = this.lastIndex;
    this.#snapshotHandedOut = this.#pendingSnapshot !== null;
    return { entries, snapshot };
  }

  /** Up to (index, term) everything is on disk; ignored where the tail has been rewritten since. */
  durableTo(index: number, term: number): void {
    if (index > this.#durable && this.matches(index, term)) this.#durable = index;
  }

  /** The snapshot is durable, and the state machine holds it. */
  snapshotInstalled(index: number): void {
    if (this.#pendingSnapshot?.index !== index) return;
    this.#pendingSnapshot = null;
    this.#snapshotHandedOut = false;
    this.#applied = Math.max(this.#applied, index);
    this.#applying = Math.max(this.#applying, index);
  }

  hasApplicable(): boolean {
    return this.#pendingSnapshot === null && this.#applying < Math.min(this.#committed, this.#durable);
  }

  /** Committed and durable, not handed out before; from now on being applied. */
  takeApplicable(maxBytes: number): readonly Entry[] {
    if (!this.hasApplicable()) return [];
    const entries = this.slice(this.#applying + 1, maxBytes, Math.min(this.#committed, this.#durable));
    this.#applying += entries.length;
    return entries;
  }

  appliedTo(index: number): void {
    if (index <= this.#applied) return;
    invariant(index <= this.#applying, `${index} was never handed out to be applied`);
    this.#applied = index;
  }

  /** Committed configuration changes that are not applied yet make an election under a stale configuration. */
  hasUnappliedConfChange(): boolean {
    for (let at = this.#applied + 1; at <= this.#committed; at += 1) {
      if (this.#entries[at - this.firstIndex]?.type === 'confChange') return true;
    }
    return false;
  }

  /** Drops entries up to a snapshot's index; a snapshot older than the base changes nothing. */
  compact(meta: SnapshotMeta): void {
    if (meta.index <= this.#base.index) return;
    invariant(meta.index <= this.#applied, 'only what is applied is compacted');
    this.#entries = this.#entries.slice(meta.index - this.#base.index);
    this.#base = meta;
  }
}
