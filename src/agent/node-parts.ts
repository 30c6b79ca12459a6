/** What all parts of a node are made with. */
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import type { NodeConfig } from './config.ts';
import type { NodeMetrics } from './node-metrics.ts';
import type { NodeSecurity } from './node-security.ts';

export interface NodeParts {
  readonly config: NodeConfig;
  readonly security: NodeSecurity;
  readonly version: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: NodeMetrics;
  /** Told of what is to be closed as soon as it is there; what comes last is closed first. */
  readonly closing: (name: string, close: () => void | Promise<void>) => void;
}
