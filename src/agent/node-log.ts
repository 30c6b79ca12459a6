/** What a node logs through: pino, JSON. Which lines are written may change while it runs (src/lib/log-levels.ts). */
import { pino, type DestinationStream, type Logger } from 'pino';

import type { LogLevels } from '../lib/log-levels.ts';
import { withoutTokens } from '../lib/token-text.ts';

export interface NodeLogOptions {
  readonly node: string;
  readonly levels: LogLevels;
  /** False: nothing is written at all. */
  readonly enabled: boolean;
  /** Absent: stdout. */
  readonly destination?: DestinationStream;
}

export function createNodeLog({ node, levels, enabled, destination }: NodeLogOptions): Logger {
  return pino(
    {
      enabled,
      // A child of pino's keeps the level that its parent had when it was made: so all of them let everything pass, and
      // which lines are written is asked line by line.
      level: 'trace',
      base: { node },
      formatters: { level: (level) => ({ level }) },
      hooks: {
        logMethod(args, method, level) {
          if (levels.permits(pino.levels.labels[level] ?? '')) method.apply(this, args);
        },
        // Whatever a line repeats of what somebody has sent.
        streamWrite: withoutTokens,
      },
    },
    destination ?? pino.destination(1),
  );
}
