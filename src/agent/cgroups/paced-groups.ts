/**
 * What many groups use together, at a bounded cost: each look reads as many of them as its share of this thread allows, in turn.
 * The fewer there are the newer is what is known of each; of a few all are read in every look.
 */
import { setImmediate as turn } from 'node:timers/promises';

interface PacedGroupsOptions {
  /** Of its folder; null: it is gone, or nothing is counted there. */
  readonly read: (folder: string) => number | null;
  /** The folders that there are. */
  readonly list: () => Promise<readonly string[]>;
  /** For so long a look keeps this thread at most, but for the first one, which reads them all in pieces of that. */
  readonly budgetMs: number;
  readonly nowMs?: () => number;
}

interface Reading {
  readonly value: number;
  readonly atMs: number;
  /** By how much it grew in a millisecond, up to then. */
  readonly perMs: number;
}

export class PacedGroups {
  readonly #options: PacedGroupsOptions;
  readonly #nowMs: () => number;
  #readings = new Map<string, Reading>();
  /** Those of the present round that are still to be read, the next one last. */
  #left: string[] = [];
  /** When the folders of the present round were listed, and those of the round before. */
  #listedMs: number | null = null;
  #listedBeforeMs: number | null = null;

  constructor(options: PacedGroupsOptions) {
    this.#options = options;
    this.#nowMs = options.nowMs ?? ((): number => performance.now());
  }

  /** @throws what listing or reading does */
  async look(): Promise<void> {
    const { budgetMs } = this.#options;
    const isFirst = this.#listedMs === null;
    if (this.#left.length === 0) await this.#begin();
    this.#readFor(budgetMs);
    if (!isFirst) return;
    while (this.#left.length > 0) {
      await turn();
      this.#readFor(budgetMs);
    }
  }

  /** Of all of them, as each was read last. */
  get total(): number {
    return this.#sum(({ value }) => value);
  }

  /** The growth of all of them in a millisecond, each between its last two readings. */
  get perMs(): number {
    return this.#sum(({ perMs }) => perMs);
  }

  async #begin(): Promise<void> {
    const nowMs = this.#nowMs();
    this.#left = [...(await this.#options.list())].reverse();
    [this.#listedBeforeMs, this.#listedMs] = [this.#listedMs, nowMs];
    const there = new Set(this.#left);
    for (const folder of this.#readings.keys()) if (!there.has(folder)) this.#readings.delete(folder);
  }

  #readFor(budgetMs: number): void {
    const beganMs = this.#nowMs();
    do {
      const folder = this.#left.pop();
      if (folder === undefined) return;
      this.#read(folder);
    } while (this.#nowMs() - beganMs < budgetMs);
  }

  #read(folder: string): void {
    const value = this.#options.read(folder);
    const atMs = this.#nowMs();
    const before = this.#readings.get(folder) ?? this.#begunSinceListed();
    if (value === null) this.#readings.delete(folder);
    else this.#readings.set(folder, { value, atMs, perMs: growth(before, value, atMs) });
  }

  /** What is new was made since the listing before, and has counted from 0; nothing is known of what was there at the first one. */
  #begunSinceListed(): Pick<Reading, 'value' | 'atMs'> | null {
    return this.#listedBeforeMs === null ? null : { value: 0, atMs: this.#listedBeforeMs };
  }

  #sum(of: (reading: Reading) => number): number {
    let sum = 0;
    for (const reading of this.#readings.values()) sum += of(reading);
    return sum;
  }
}

/** A counter that fell counts as one that stood still. */
function growth(before: Pick<Reading, 'value' | 'atMs'> | null, value: number, atMs: number): number {
  if (before === null || atMs <= before.atMs) return 0;
  return Math.max(0, value - before.value) / (atMs - before.atMs);
}
