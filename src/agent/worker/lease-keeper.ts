/**
 * Hands the lease's deadlines to the watchdog, the newest only, and again until it has answered; and tells the worker when
 * a deadline is there, for the daemon ends what it must on its own, too.
 */
import { Backoff, pause } from '../../lib/backoff.ts';
import { BOOT_TIME_STEP_MS } from '../../lib/boot-time.ts';
import type { Clock } from '../../lib/clock.ts';
import { JarvisError, messageOf } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type { Random } from '../../lib/random.ts';
import { WORKER_LIMITS } from './limits.ts';
import type { WorkerEvent } from './worker-events.ts';

/** The watchdog, as whoever keeps the node's lease. */
export interface LeaseHolder {
  /** Resolves once the deadline is kept, whatever becomes of this process. */
  extendLease(session: number, deadlineMs: number, signal: AbortSignal): Promise<void>;
  /** The newest deadline on record, CLOCK_BOOTTIME, whichever start of the daemon it was for; null: none of this boot. */
  recordedDeadlineMs(): Promise<number | null>;
  /** Where it does not say anything within that time, another takes its place. */
  replaceHung(timeoutMs: number): Promise<void>;
}

/** Of a lease: waiting, killing a watchdog that hangs and starting another must fit into the rest of it. */
const CONFIRM_PART = 4;
/** Of a lease: where it is over, a watchdog that hangs must be found out and replaced within the time to kill. */
const HUNG_PART = 32;
/** The same where it is not known how long the lease was. */
const RECORDED_PATIENCE_MS = 100;

export interface LeaseKeeperOptions {
  readonly lease: LeaseHolder;
  readonly emit: (event: WorkerEvent) => void;
  readonly clock: Clock;
  /** CLOCK_BOOTTIME */
  readonly bootMs: () => number;
  readonly random: Random;
  readonly log: Log;
}

export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions;
  readonly #closing = new AbortController();
  #newest: {
    readonly session: number;
    readonly deadlineMs: number;
    readonly confirmMs: number;
  } | null = null;
  #isHanding = false;
  #cancelDue: () => void = () => {};

  constructor(options: LeaseKeeperOptions) {
    this.#options = options;
  }

  /** What an earlier start of the daemon was granted stands until it is over, and is enforced here as well [RECORD]. */
  async begin(): Promise<void> {
    const deadlineMs = await this.#options.lease.recordedDeadlineMs();
    const isFirst = this.#newest === null && !this.#isHanding && !this.#closing.signal.aborted;
    if (deadlineMs !== null && isFirst) this.#watch(deadlineMs, RECORDED_PATIENCE_MS);
  }

  /** @param leaseMs the length of what was granted, of which a part may be spent on waiting */
  extend(session: number, deadlineMs: number, leaseMs: number): void {
    this.#newest = { session, deadlineMs, confirmMs: leaseMs / CONFIRM_PART };
    this.#watch(deadlineMs, leaseMs / HUNG_PART);
    if (!this.#isHanding) void this.#hand();
  }

  /**
   * The watchdog refuses what names an earlier session, and no heartbeat goes out before it has confirmed the newest
   * deadline [CONFIRM]: one that it has not is handed out in this session, or the node would be silent for ever. It grants
   * nothing new: deadlines are the node's, and the watchdog keeps a confirmed one from one session to the next as well.
   */
  sessionBegan(session: number): void {
    if (this.#newest !== null) this.#newest = { ...this.#newest, session };
  }

  close(): void {
    this.#closing.abort(new JarvisError('unavailable', 'the worker is closed'));
    this.#cancelDue();
  }

  async #hand(): Promise<void> {
    const { lease, emit, clock, random, log } = this.#options;
    const { signal } = this.#closing;
    const backoff = new Backoff({
      minMs: WORKER_LIMITS.driverRetryMinMs,
      maxMs: WORKER_LIMITS.leaseRetryMaxMs,
      random,
    });
    this.#isHanding = true;
    while (!signal.aborted && this.#newest !== null) {
      const { session, deadlineMs, confirmMs } = this.#newest;
      const hung = new AbortController();
      const patience = AbortSignal.any([signal, hung.signal]);
      const cancelPatience = clock.after(confirmMs, () =>
        hung.abort(new JarvisError('timeout', `no confirmation within ${confirmMs} ms`)),
      );
      try {
        await lease.extendLease(session, deadlineMs, patience);
        if (this.#newest.deadlineMs === deadlineMs) this.#newest = null;
        backoff.reset();
        emit({ type: 'leaseConfirmed', deadlineMs });
      } catch (error) {
        if (signal.aborted) break;
        log.warn(
          { session, error: messageOf(error) },
          'the watchdog does not confirm the lease; asking again',
        );
        if (patience.aborted) await lease.replaceHung(confirmMs / 2);
        await pause(clock, backoff.next(), signal);
      } finally {
        cancelPatience();
      }
    }
    this.#isHanding = false;
  }

  /** Asked of the clock itself: a timer may come late, or early by the steps of the clock. */
  #watch(deadlineMs: number, patienceMs: number): void {
    const { clock, bootMs, emit, lease } = this.#options;
    this.#cancelDue();
    const leftMs = Math.max(0, deadlineMs - bootMs() - BOOT_TIME_STEP_MS);
    this.#cancelDue = clock.after(leftMs, () => {
      const nowMs = bootMs() + BOOT_TIME_STEP_MS;
      if (nowMs < deadlineMs) return this.#watch(deadlineMs, patienceMs);
      emit({ type: 'leaseDue', bootMs: nowMs });
      // Nothing is handed to it any more, so nothing else would show that it is stopped: its processes would run on.
      void lease.replaceHung(patienceMs);
    });
  }
}
