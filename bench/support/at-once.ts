/** Does something `count` times, `width` of them at once. Begins nothing more after a failure or an interruption. */
export async function atOnce(
  { count, width, signal }: { readonly count: number; readonly width: number; readonly signal: AbortSignal },
  work: (at: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  let hasFailed = false;
  const line = async (): Promise<void> => {
    while (next < count && !hasFailed) {
      signal.throwIfAborted();
      const at = next;
      next += 1;
      try {
        await work(at);
      } catch (error) {
        hasFailed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: width }, line));
}
