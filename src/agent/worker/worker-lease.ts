/**
 * Until when this node may run tasks. The leader grants from when a heartbeat was *sent*, so what matters is that time on
 * the node's own clock, CLOCK_BOOTTIME, which goes on while the machine is suspended [SENT]. Deadlines only rise, also
 * from one session to the next: the leader counts the silence of the node, whatever its session.
 */

/** Heartbeats whose answers are still worth something; an older one grants less than what is there. */
const REMEMBERED = 64;

export class WorkerLease {
  /** Of this session's heartbeats, by number; oldest first. */
  readonly #sentMs = new Map<number, number>();
  #deadlineMs = Number.NEGATIVE_INFINITY;
  #confirmedMs = Number.NEGATIVE_INFINITY;

  /** Before the heartbeat is handed to the transport. */
  sent(number: number, bootMs: number): void {
    this.#sentMs.set(number, bootMs);
    const [oldest] = this.#sentMs.keys();
    if (this.#sentMs.size > REMEMBERED && oldest !== undefined) this.#sentMs.delete(oldest);
  }

  /** @returns the new deadline, for the watchdog; null where it brings nothing */
  granted(number: number, leaseMs: number): number | null {
    const sentMs = this.#sentMs.get(number);
    if (sentMs === undefined) return null;
    this.#sentMs.delete(number);
    if (leaseMs <= 0 || sentMs + leaseMs <= this.#deadlineMs) return null;
    this.#deadlineMs = sentMs + leaseMs;
    return this.#deadlineMs;
  }

  confirmed(deadlineMs: number): void {
    this.#confirmedMs = Math.max(this.#confirmedMs, deadlineMs);
  }

  /**
   * Whether the watchdog keeps the newest deadline. Without that no heartbeat goes out: a leader that hears of a node
   * believes that what it grants will be kept [CONFIRM].
   */
  get isConfirmed(): boolean {
    return this.#confirmedMs >= this.#deadlineMs;
  }

  /** CLOCK_BOOTTIME; -Infinity before anything was granted. */
  get deadlineMs(): number {
    return this.#deadlineMs;
  }

  isOver(bootMs: number): boolean {
    return bootMs >= this.#deadlineMs;
  }

  /** Another session: answers to the heartbeats of earlier ones count no more. */
  forgetSent(): void {
    this.#sentMs.clear();
  }
}
