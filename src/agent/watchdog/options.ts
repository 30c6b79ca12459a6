import { isAbsolute } from 'node:path';

import { invariant } from '../../lib/assert.ts';
import type { LogLimits } from './limits.ts';

/** What the daemon passes to the watchdog that it starts: `--options` with this as JSON. */
export interface WatchdogOptions {
  /** Absolute. */
  readonly dataDirectory: string;
  readonly idleExitMs: number;
  readonly logLimits: LogLimits;
  /** False: none are used, even where they could be. */
  readonly useCgroups: boolean;
}

/** @throws InvariantError: only the daemon of the same release writes this */
export function parseWatchdogOptions(text: string): WatchdogOptions {
  const { dataDirectory, idleExitMs, logLimits, useCgroups } = JSON.parse(text) as Partial<WatchdogOptions>;
  invariant(dataDirectory !== undefined && isAbsolute(dataDirectory), 'dataDirectory is absolute');
  invariant(idleExitMs !== undefined && idleExitMs >= 0, 'idleExitMs is a duration');
  invariant(
    logLimits !== undefined && logLimits.maxFiles >= 1 && logLimits.maxFileBytes >= 1,
    'logLimits are limits',
  );
  invariant(useCgroups !== undefined, 'useCgroups is given');
  return { dataDirectory, idleExitMs, logLimits, useCgroups };
}
