/**
 * How much of a container's output has been kept, as far as is needed to go on after it: the engine can only be asked for
 * what came since a whole second. Every entry of the engine's becomes one frame of the log with the same time, so that
 * counting frames per second tells how many of those to pass over. Pure.
 */
const SECONDS_KEPT = 3;

export interface ResumePoint {
  /** Whole seconds since 1970, for the engine. */
  readonly sinceSeconds: number;
  /** Of what comes then so many are known already… */
  readonly skipEntries: number;
  /** … unless they are newer than this: the engine has dropped what was to be skipped. */
  readonly skipUntilMs: number;
}

export class LogPosition {
  readonly #counts = new Map<number, number>();
  #newestMs = 0;

  /** An entry was kept. */
  add(atMs: number): void {
    const second = Math.floor(atMs / 1000);
    this.#counts.set(second, (this.#counts.get(second) ?? 0) + 1);
    if (atMs <= this.#newestMs) return;
    this.#newestMs = atMs;
    for (const known of this.#counts.keys()) if (known <= second - SECONDS_KEPT) this.#counts.delete(known);
  }

  /** Both streams of a container are stamped side by side: an entry may come after one that is a little newer. */
  get resume(): ResumePoint {
    const sinceSeconds = Math.max(0, Math.floor(this.#newestMs / 1000) - 1);
    let skipEntries = 0;
    for (const [second, count] of this.#counts) if (second >= sinceSeconds) skipEntries += count;
    return { sinceSeconds, skipEntries, skipUntilMs: this.#newestMs };
  }
}
