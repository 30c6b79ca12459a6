/** How long those are given that make and end instances; whoever asks them waits for a little longer (`../limits.ts`). */
import { invariant } from '../../lib/assert.ts';

/** Of each program of an operator; then it is killed. */
export const PROGRAM_TIMEOUT_MS = 120_000;

/** A node that makes and ends instances on its machine. */
export const HOST_LIMITS = {
  /** With the pull of an image. */
  createMs: 240_000,
  listMs: 10_000,
  /** A node is asked to end first, and its tasks with it. */
  terminateMs: 60_000,
  /** Of a process or container, after SIGTERM. */
  stopGraceMs: 20_000,
  /** On one machine. */
  instances: 32,
} as const;

invariant(
  HOST_LIMITS.stopGraceMs < HOST_LIMITS.terminateMs,
  'what does not stop by itself is killed in time',
);
