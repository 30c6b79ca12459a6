import type { LogSpan } from '../../model/log-holder.ts';
import type { Attempt } from '../../model/task.ts';
import type { StateView } from './state-view.ts';

/** Who has the output of an attempt, where that is another node than the one that it ran on; else null. */
export function logHolderOf(
  { logHolders }: Pick<StateView, 'logHolders'>,
  { node, assignment }: Pick<Attempt, 'node' | 'assignment'>,
): LogSpan | null {
  const span = logHolders.get(node)?.spans.find(({ upTo }) => assignment <= upTo) ?? null;
  // It has come back to where it ran, under way of others.
  return span?.holder === node ? null : span;
}
