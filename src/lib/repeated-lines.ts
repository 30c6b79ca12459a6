/** Lines of a log that others can cause again and again: one per kind and interval; those between are counted. */
import type { Clock } from './clock.ts';

/** Whoever invents ever new kinds has one line for all of them. */
const OTHERS = 'others';

/** Writes it, told how many were held back before. */
type Line = (heldBack: number) => void;

export class RepeatedLines {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #intervalMs: number;
  readonly #kindsKept: number;
  readonly #kinds = new Map<string, { writtenMs: number; heldBack: number; last: Line | null }>();

  constructor(options: {
    readonly clock: Pick<Clock, 'monotonicMs'>;
    readonly intervalMs: number;
    readonly kindsKept: number;
  }) {
    this.#clock = options.clock;
    this.#intervalMs = options.intervalMs;
    this.#kindsKept = options.kindsKept;
  }

  /** Whether there are some that nothing was written of. */
  get isHolding(): boolean {
    return [...this.#kinds.values()].some(({ last }) => last !== null);
  }

  /** Writes the line, told how many were held back since the last of its kind; or holds it back as well. */
  write(kind: string, line: Line): void {
    const nowMs = this.#clock.monotonicMs();
    const known = this.#known(kind, nowMs);
    const last = this.#kinds.get(known);
    if (last !== undefined && nowMs - last.writtenMs < this.#intervalMs) {
      last.heldBack += 1;
      last.last = line;
      return;
    }
    this.#kinds.set(known, { writtenMs: nowMs, heldBack: 0, last: null });
    line(last?.heldBack ?? 0);
  }

  /**
   * Where each counts, also those that no other follows: of what was held back the last line of each kind, once the interval
   * is over.
   * @param options.isEnd also where it is not
   */
  writeHeld({ isEnd = false }: { readonly isEnd?: boolean } = {}): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [kind, { writtenMs, heldBack, last }] of this.#kinds) {
      if (last === null || (!isEnd && nowMs - writtenMs < this.#intervalMs)) continue;
      this.#kinds.set(kind, { writtenMs: nowMs, heldBack: 0, last: null });
      last(heldBack - 1);
    }
  }

  #known(kind: string, nowMs: number): string {
    if (this.#kinds.has(kind) || this.#kinds.size < this.#kindsKept) return kind;
    for (const [old, { writtenMs, heldBack }] of this.#kinds)
      if (heldBack === 0 && nowMs - writtenMs >= this.#intervalMs) this.#kinds.delete(old);
    return this.#kinds.size < this.#kindsKept ? kind : OTHERS;
  }
}
