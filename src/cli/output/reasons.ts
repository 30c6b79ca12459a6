import type { Reason } from '../../generated/cluster.ts';
import { printable } from '../terminal.ts';

/** One line for each, indented. */
export function reasonLines(reasons: readonly Reason[]): readonly string[] {
  return reasons.map(({ filter, excluded, nearest_miss: nearest }) => {
    const nodes = `${excluded} ${excluded === 1 ? 'node' : 'nodes'}`;
    return `  ${filter}: ${excluded === 0 ? '' : `${nodes} excluded; the nearest: `}${printable(nearest)}`;
  });
}
