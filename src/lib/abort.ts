/**
 * Listeners of abort signals that many wait on at once, such as all the requests of one stream. An EventTarget looks
 * through its listeners for each one that comes or goes; here one listener of the signal's own tells a set of them.
 */
const listenersOf = new WeakMap<AbortSignal, Set<() => void>>();

/** Calls once the signal is aborted; not where it is already. @returns ends that */
export function onAbort(signal: AbortSignal, listener: () => void): () => void {
  let listeners = listenersOf.get(signal);
  if (listeners === undefined) {
    const told = new Set<() => void>();
    listeners = told;
    listenersOf.set(signal, told);
    signal.addEventListener('abort', () => {
      for (const tell of told) tell();
    });
  }
  // A wrapper of its own: the same function may listen twice.
  const own = (): void => listener();
  listeners.add(own);
  return () => listeners.delete(own);
}
