/** Lines of a log that others can cause again and again: one per kind and interval; those between are counted. */
import type { Clock } from './clock.ts';

/** Whoever invents ever new kinds has one line for all of them. */
const OTHERS = 'others';

export class RepeatedLines {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #intervalMs: number;
  readonly #kindsKept: number;
  readonly #kinds = new Map<string, { writtenMs: number; heldBack: number }>();

  constructor(options: {
    readonly clock: Pick<Clock, 'monotonicMs'>;
    readonly intervalMs: number;
    readonly kindsKept: number;
  }) {
    this.#clock = options.clock;
    this.#intervalMs = options.intervalMs;
    this.#kindsKept = options.kindsKept;
  }

  /** Writes the line, told how many were held back since the last of its kind; or holds it back as well. */
  write(kind: string, line: (heldBack: number) => void): void {
    const nowMs = this.#clock.monotonicMs();
    const known = this.#known(kind, nowMs);
    const last = this.#kinds.get(known);
    if (last !== undefined && nowMs - last.writtenMs < this.#intervalMs) {
      last.heldBack += 1;
      return;
    }
    this.#kinds.set(known, { writtenMs: nowMs, heldBack: 0 });
    line(last?.heldBack ?? 0);
  }

  #known(kind: string, nowMs: number): string {
    if (this.#kinds.has(kind) || this.#kinds.size < this.#kindsKept) return kind;
    for (const [old, { writtenMs, heldBack }] of this.#kinds)
      if (heldBack === 0 && nowMs - writtenMs >= this.#intervalMs) this.#kinds.delete(old);
    return this.#kinds.size < this.#kindsKept ? kind : OTHERS;
  }
}
