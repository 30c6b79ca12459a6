/**
 * Lets callers share work: those who come while `action` runs share the next run, which begins only after they came. So
 * each may rely on a run that saw everything from before its call.
 */
export function coalesce<T>(action: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | null = null;
  let next: Promise<T> | null = null;

  const begin = (): Promise<T> => {
    const run = action().finally(() => {
      if (next === null) running = null;
    });
    running = run;
    return run;
  };
  const afterThis = async (current: Promise<T>): Promise<T> => {
    // Its failure belongs to those who asked for it.
    await Promise.allSettled([current]);
    next = null;
    return begin();
  };
  return () => {
    if (running === null) return begin();
    next ??= afterThis(running);
    return next;
  };
}
