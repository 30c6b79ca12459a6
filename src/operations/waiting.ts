/** Waiting that ends when the caller has gone. */
import { onAbort } from '../lib/abort.ts';
import type { Clock } from '../lib/clock.ts';
import { JarvisError } from '../lib/errors.ts';

/** Why a request is given up: the signal's own JarvisError, else timeout. */
export function abortError(signal: AbortSignal): JarvisError {
  const cause: unknown = signal.reason;
  return cause instanceof JarvisError ? cause : new JarvisError('timeout', 'the caller has gone', { cause });
}

/** @throws JarvisError as {@link abortError} */
export function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw abortError(signal);
}

/** What the promise comes to, or the error once the signal is aborted; the promise itself goes on unheard. */
export async function orAborted<T>(
  promise: Promise<T>,
  signal: AbortSignal,
  error: () => JarvisError,
): Promise<T> {
  // Whatever it comes to after the caller has gone is nobody's.
  promise.catch(() => undefined);
  if (signal.aborted) throw error();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const stopListening = onAbort(signal, () => reject(error()));
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    stopListening();
  }
}

/**
 * Resolves at the first of: `delayMs` have passed, or something that `subscribe` announces.
 * @throws JarvisError as {@link abortError}
 */
export async function pause(
  clock: Clock,
  delayMs: number,
  signal: AbortSignal,
  subscribe: (wake: () => void) => () => void = () => () => undefined,
): Promise<void> {
  throwIfAborted(signal);
  const { promise, resolve } = Promise.withResolvers<void>();
  const unsubscribe = subscribe(resolve);
  const cancel = clock.after(delayMs, resolve);
  try {
    await orAborted(promise, signal, () => abortError(signal));
  } finally {
    cancel();
    unsubscribe();
  }
}
