import { invariant } from '../../lib/assert.ts';

/** Every bound of the watchdog and of the daemon's side of it. Bytes and milliseconds. */
export const WATCHDOG_LIMITS = {
  /** One message between daemon and watchdog; an environment of 1 MiB fits, escaped at its worst. */
  maxFrameBytes: 16 * 1024 * 1024,
  /** A page of the list of attempts. */
  maxListPageBytes: 1024 * 1024,
  /** What a daemon may leave unread before its connection is cut. */
  maxUnsentBytes: 64 * 1024 * 1024,
  /** Attempts known at once, ended ones that were not removed included. */
  maxAttempts: 10_000,
  /** Tasks whose highest assignment is remembered after their records are gone. */
  maxTombstones: 16_384,
  /** Requests of one daemon that wait for an answer. */
  maxPendingRequests: 16_384,
  /** Error file, result file and log tail, each. */
  maxTextBytes: 4096,
  /** Output of one attempt that waits for the disk: above it the task's pipe is no longer read. */
  maxUnwrittenLogBytes: 128 * 1024,
  /** How long a pipe may stay silent but open once nothing of the attempt runs. */
  pipeCloseTimeoutMs: 1000,
  /** The same for one that is written to all the time: what was in it is read by then. */
  pipeDrainTimeoutMs: 5000,
  /** The watchdog's own diagnostics; one older file of this size is kept. */
  maxDiagnosticsBytes: 256 * 1024,
  /** Between looks at a group that is held frozen. */
  heldLookMs: 250,
  /** Between looks at the clock of the lease: no timer can be trusted for longer. */
  leaseLookMs: 1000,
  requestTimeoutMs: 10_000,
  /** What a watchdog may take from its start to its first answer before it counts as hung. */
  beginMs: 1000,
  launchTimeoutMs: 15_000,
  /** Longer delays overflow `setTimeout`. */
  maxTimerMs: 0x7fff_ffff,
} as const;

/** How much of an attempt's output is kept. */
export interface LogLimits {
  readonly maxFileBytes: number;
  readonly maxFiles: number;
}

export const DEFAULT_LOG_LIMITS: LogLimits = { maxFileBytes: 10 * 1024 * 1024, maxFiles: 5 };

/** How long a watchdog without a daemon and without a running attempt lives on. */
export const DEFAULT_IDLE_EXIT_MS = 10_000;

invariant(
  WATCHDOG_LIMITS.maxListPageBytes * 2 < WATCHDOG_LIMITS.maxFrameBytes,
  'a page of the list, with its last attempt over the edge, fits into a message',
);
invariant(WATCHDOG_LIMITS.maxFrameBytes < WATCHDOG_LIMITS.maxUnsentBytes, 'one message can be sent');
