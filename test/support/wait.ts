/** Waiting for conditions of the outside world, always with a deadline. */
import { setTimeout as delay } from 'node:timers/promises';

import { messageOf } from '../../src/lib/errors.ts';

export interface WaitOptions {
  readonly timeoutMs?: number;
  readonly intervalMs?: number;
}

/** Generous: the machine may be busy with other things, and a test that passes does not wait for it. */
const TIMEOUT_MS = 45_000;
const INTERVAL_MS = 50;

/**
 * Probes until the answer is something; a probe that throws is asked again.
 * @throws Error naming `what`, with the last failure of the probe, where it has not come in time
 */
export async function waitFor<T>(
  what: string,
  probe: () => Promise<T | null | false> | T | null | false,
  options: WaitOptions = {},
): Promise<T> {
  const { timeoutMs = TIMEOUT_MS, intervalMs = INTERVAL_MS } = options;
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    let failure: unknown = null;
    try {
      const found = await probe();
      if (found !== null && found !== false) return found;
    } catch (error) {
      failure = error;
    }
    if (performance.now() > deadlineMs) {
      const why = failure === null ? '' : `: ${messageOf(failure)}`;
      throw new Error(`${what}: not within ${timeoutMs} ms${why}`, { cause: failure });
    }
    await delay(intervalMs);
  }
}

/** @returns what it resolves to, or `late` after `limitMs` */
export async function within<T, L>(promise: Promise<T>, limitMs: number, late: L): Promise<T | L> {
  const scope = new AbortController();
  const expiry = delay(limitMs, late, { signal: scope.signal }).catch(() => late);
  try {
    return await Promise.race([promise, expiry]);
  } finally {
    scope.abort();
  }
}
