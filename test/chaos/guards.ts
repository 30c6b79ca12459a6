/**
 * When neither the daemon nor the watchdog of a node could act. What runs on then is not covered by the promise (contract,
 * section 4), so that time is not judged; nor the moments behind it, in which they make up for it.
 */
type Guard = 'daemon' | 'watchdog';

interface Window {
  readonly node: string;
  readonly fromMs: number;
  /** Infinite while it lasts. */
  untilMs: number;
}

/** Whoever comes back has this long to end what should not run any more. */
const GRACE_MS = 3000;

export class Guards {
  readonly #away = new Map<string, Set<Guard>>();
  readonly #windows: Window[] = [];

  /** @param atMs of the boot clock */
  away(node: string, guard: Guard, atMs: number): void {
    const away = this.#away.get(node) ?? new Set();
    this.#away.set(node, away.add(guard));
    if (away.size === 2 && this.#open(node) === undefined)
      this.#windows.push({ node, fromMs: atMs, untilMs: Infinity });
  }

  back(node: string, guard: Guard, atMs: number): void {
    this.#away.get(node)?.delete(guard);
    const window = this.#open(node);
    if (window !== undefined) window.untilMs = atMs + GRACE_MS;
  }

  /** Whether nothing of the node could have ended what should not run. */
  isUnguarded(node: string, atMs: number): boolean {
    return this.#windows.some(
      (window) => window.node === node && atMs >= window.fromMs && atMs <= window.untilMs,
    );
  }

  #open(node: string): Window | undefined {
    return this.#windows.find((window) => window.node === node && window.untilMs === Infinity);
  }
}
