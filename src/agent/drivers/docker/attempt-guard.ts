/**
 * What the docker driver needs of the watchdog: that it ends with the lease what is in an attempt's group, also where this
 * daemon is stopped and the engine, too (docs/leases.md, rules 14 to 16).
 */
import { JarvisError, messageOf } from '../../../lib/errors.ts';
import type { AttemptKey } from '../driver.ts';
import { NoAnswer } from './engine.ts';
import { insist } from './insist.ts';

export interface AttemptGuard {
  /**
   * Resolves once the group is guarded: before anything can be in it.
   * @param key with the session of its start: one that took longer than its session must not run in the next
   * @throws JarvisError `timeout` while the lease is over; `conflict` where it cannot be guarded, or its session has ended
   */
  guard(
    key: AttemptKey & { readonly session: number },
    group: { readonly cgroup: string; readonly isLeased: boolean },
    signal: AbortSignal,
  ): Promise<void>;
  /** Whether it ended what was in the group because the lease was over. */
  isGuardOver(key: AttemptKey, signal: AbortSignal): Promise<boolean>;
  /** The engine has confirmed that the container is gone, and nobody asks for it any more. */
  release(key: AttemptKey, signal: AbortSignal): Promise<void>;
}

/** Asks until it is answered, for as long as the signal lasts; a session that ends meanwhile is followed by another. */
export async function insistOnGuard<T>(signal: AbortSignal, ask: () => Promise<T>): Promise<T> {
  return insist(signal, async () => {
    try {
      return await ask();
    } catch (error) {
      throw new NoAnswer(messageOf(error), { cause: error });
    }
  });
}

/** The same before a start, which belongs to its session. @throws JarvisError `conflict`: nothing may be started */
export async function guardStart(signal: AbortSignal, ask: () => Promise<void>): Promise<void> {
  return insist(signal, async () => {
    try {
      await ask();
    } catch (error) {
      if (error instanceof JarvisError && error.code === 'conflict') throw error;
      throw new NoAnswer(messageOf(error), { cause: error });
    }
  });
}
