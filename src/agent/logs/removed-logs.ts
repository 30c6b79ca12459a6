/**
 * What is remembered of logs that had to go for want of room: up to which end, since when. Bounded, however many went.
 * What went because of its age needs no memory: that follows from when it ended. Pure.
 */
export interface Removal {
  /** Logs that ended by then may have gone… */
  readonly endedUntilMs: number;
  /** … since then. Wall times of the node. */
  readonly atMs: number;
}

const MAX_REMOVALS = 256;
/** Removals that follow one another so soon count as one. */
const TOGETHER_MS = 60_000;

export class RemovedLogs {
  /** Both times rise. */
  #removals: Removal[];

  constructor(removals: readonly Removal[] = []) {
    this.#removals = [...removals];
  }

  /** A log that ended then was removed. @returns whether that says anything new */
  add({ endedUntilMs, atMs }: Removal): boolean {
    const last = this.#removals.at(-1);
    if (last !== undefined && endedUntilMs <= last.endedUntilMs) return false;
    const isSoon = last !== undefined && atMs < last.atMs + TOGETHER_MS;
    if (isSoon) this.#removals[this.#removals.length - 1] = { endedUntilMs, atMs: last.atMs };
    else this.#removals.push({ endedUntilMs, atMs });
    // What is said of the oldest becomes less exact: some of it went earlier than is said then.
    if (this.#removals.length > MAX_REMOVALS) this.#removals.shift();
    return true;
  }

  /** Since when a log that ended then may have been gone; null: it was not removed for want of room. */
  removedAtMs(endedAtMs: number): number | null {
    return this.#removals.find(({ endedUntilMs }) => endedAtMs <= endedUntilMs)?.atMs ?? null;
  }

  get removals(): readonly Removal[] {
    return this.#removals;
  }
}

/** @returns null where it is none of `RemovedLogs.removals` */
export function parseRemovals(value: unknown): readonly Removal[] | null {
  if (!Array.isArray(value) || value.length > MAX_REMOVALS) return null;
  const removals: Removal[] = [];
  for (const one of value as unknown[]) {
    if (typeof one !== 'object' || one === null) return null;
    const { endedUntilMs, atMs } = one as Partial<Record<keyof Removal, unknown>>;
    if (typeof endedUntilMs !== 'number' || typeof atMs !== 'number') return null;
    removals.push({ endedUntilMs, atMs });
  }
  return removals;
}
