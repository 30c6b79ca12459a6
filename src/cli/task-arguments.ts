/** Commands that take several tasks, or nodes: each is dealt with, also when one of them fails; the exit status tells. */
import { JarvisError, messageOf } from '../lib/errors.ts';
import type { Context } from './context.ts';
import { exitStatusOfError } from './exit-status.ts';
import { clientLimits } from './limits.ts';
import { notify } from './terminal.ts';

/**
 * Runs `operation` for each id, at most a few at a time, and resolves with the tasks it found, in order. With one id its
 * failure is thrown; with several each failure is a line on stderr, and the last one's exit status is kept.
 */
export async function eachTask<T>(
  context: Context,
  ids: readonly string[],
  operation: (id: string) => Promise<T>,
): Promise<T[]> {
  checkIds(ids);
  return await eachNamed(context, ids, operation);
}

/** The same of whatever has names. */
export async function eachNamed<T>(
  context: Context,
  ids: readonly string[],
  operation: (id: string) => Promise<T>,
): Promise<T[]> {
  const [only] = ids;
  if (ids.length === 1 && only !== undefined) return [await operation(only)];
  const results = await mapBounded(ids, clientLimits.concurrentWatches, async (id) => {
    try {
      return await operation(id);
    } catch (error) {
      if (!(error instanceof JarvisError) || context.terminal.interrupted.aborted) throw error;
      context.exitStatus = exitStatusOfError(error);
      await notify(context.terminal, `${id}: ${messageOf(error)}`);
      return null;
    }
  });
  return results.filter((found) => found !== null);
}

export function checkIds(ids: readonly string[]): void {
  if (ids.includes('')) throw new JarvisError('invalid', 'a task id must not be empty');
  if (ids.length > clientLimits.taskArguments)
    throw new JarvisError(
      'too_large',
      `${ids.length} tasks are too many: at most ${clientLimits.taskArguments}`,
    );
}

/** Like `Promise.all` over `map`, with at most `concurrency` of them under way. */
export async function mapBounded<T, R>(
  items: readonly T[],
  concurrency: number,
  map: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const queue = items.entries();
  const worker = async (): Promise<void> => {
    for (const [index, item] of queue) results[index] = await map(item);
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, items.length) }, worker));
  return results;
}
