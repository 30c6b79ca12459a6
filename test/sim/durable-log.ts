/** What a log has acknowledged as durable, without any disk: what recovery must find again. */
import type { Entry, HardState, SnapshotMeta } from '../../src/raft/core/types.ts';

/** What the node hands to its log, in order. */
export type LogJob =
  | {
      readonly type: 'append';
      readonly hardState: HardState | null;
      readonly entries: readonly Entry[];
      readonly snapshot: SnapshotMeta | null;
      readonly done: () => void;
    }
  | { readonly type: 'compact'; readonly meta: SnapshotMeta; readonly done: () => Promise<void> };

interface FoundLog {
  readonly hardState: HardState;
  readonly snapshot: SnapshotMeta | null;
  readonly entries: readonly Entry[];
}

export class DurableLog {
  hardState: HardState = { term: 0, vote: 0, commit: 0 };
  baseIndex = 0;
  baseTerm = 0;
  /** Terms of the entries behind the base. */
  terms: number[] = [];

  /** What recovery found. */
  static of(found: FoundLog): DurableLog {
    const log = new DurableLog();
    log.hardState = found.hardState;
    log.baseIndex = found.snapshot?.index ?? 0;
    log.baseTerm = found.snapshot?.term ?? 0;
    log.terms = found.entries.map(({ term }) => term);
    return log;
  }

  get lastIndex(): number {
    return this.baseIndex + this.terms.length;
  }

  /** Null for what is not held one by one. */
  termAt(index: number): number | null {
    if (index === this.baseIndex) return this.baseTerm;
    return this.terms[index - this.baseIndex - 1] ?? null;
  }

  /** Whether the entry is here, or a snapshot that holds it. */
  holds(index: number, term: number): boolean {
    return index <= this.baseIndex || this.termAt(index) === term;
  }

  copy(): DurableLog {
    const copy = new DurableLog();
    copy.hardState = this.hardState;
    copy.baseIndex = this.baseIndex;
    copy.baseTerm = this.baseTerm;
    copy.terms = [...this.terms];
    return copy;
  }

  apply(job: LogJob): void {
    if (job.type === 'compact') {
      if (job.meta.index > this.baseIndex) this.#moveBase(job.meta);
      return;
    }
    const { hardState, entries, snapshot } = job;
    if (snapshot !== null) {
      if (this.termAt(snapshot.index) !== snapshot.term) this.terms = [];
      this.#moveBase(snapshot);
    }
    if (hardState !== null) this.hardState = hardState;
    const first = entries[0];
    if (first === undefined) return;
    this.terms.length = Math.min(this.terms.length, first.index - this.baseIndex - 1);
    for (const entry of entries) this.terms.push(entry.term);
  }

  /** In words where the recovered log is another one, else null. */
  differenceTo(found: FoundLog): string | null {
    const { hardState, snapshot, entries } = found;
    const expected = this.hardState;
    if (hardState.term !== expected.term || hardState.vote !== expected.vote)
      return `term ${hardState.term} and vote ${hardState.vote} instead of ${expected.term} and ${expected.vote}`;
    if ((snapshot?.index ?? 0) !== this.baseIndex)
      return `it begins behind ${snapshot?.index ?? 0} instead of ${this.baseIndex}`;
    if (entries.length !== this.terms.length)
      return `it ends at ${this.baseIndex + entries.length} instead of ${this.lastIndex}`;
    const wrong = entries.find((entry, at) => entry.term !== this.terms[at]);
    return wrong === undefined ? null : `entry ${wrong.index} is of term ${wrong.term}`;
  }

  #moveBase(meta: SnapshotMeta): void {
    this.terms = this.terms.slice(meta.index - this.baseIndex);
    this.baseIndex = meta.index;
    this.baseTerm = meta.term;
  }
}
