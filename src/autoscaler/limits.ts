/** Every bound of the autoscaler's shell. */
import { invariant } from '../lib/assert.ts';
import { LIFECYCLE_LIMITS } from './core/lifecycle.ts';
import { HOST_LIMITS, PROGRAM_TIMEOUT_MS } from './providers/limits.ts';

export const AUTOSCALER_LIMITS = {
  /** Between two looks at how far instances have come. */
  lookMs: 1000,
  /** Between two lists of a provider, while something is on its way, and else. */
  listBusyMs: 5000,
  listMs: 60_000,
  /** A provider that is in use no more is listed for so long: what was asked for last may come late. */
  afterUseMs: 3_600_000,
  /** So many lists at once, each of a machine. */
  listsAtOnce: 32,
  /** Of one call to a provider, of one that makes an instance, and of one step of a departure. */
  callMs: 130_000,
  createMs: 250_000,
  departureMs: 30_000,
  /** Instances that are worked on at once. */
  atOnce: 8,
  /** A departure that is under way is looked at again after so long. */
  departureLookMs: 2000,
  /** A provider that cannot be listed for so many times in a row is told of. */
  listFailures: 5,
  /** What runs on a node that is to leave may end by itself for so long. */
  drainMs: 3_600_000,
  /** Addresses by which a new node joins. */
  joinAddresses: 5,
} as const;

invariant(
  PROGRAM_TIMEOUT_MS < AUTOSCALER_LIMITS.callMs && PROGRAM_TIMEOUT_MS < AUTOSCALER_LIMITS.createMs,
  'a program of an operator has its time',
);
invariant(
  HOST_LIMITS.listMs < AUTOSCALER_LIMITS.callMs && HOST_LIMITS.terminateMs < AUTOSCALER_LIMITS.callMs,
  'so has a node that is asked what is on its machine, or to end it',
);
invariant(HOST_LIMITS.createMs < AUTOSCALER_LIMITS.createMs, 'and one that pulls an image first');
invariant(
  2 * AUTOSCALER_LIMITS.createMs < LIFECYCLE_LIMITS.bootMs,
  'an instance may be asked for twice before it counts as failed',
);
invariant(
  AUTOSCALER_LIMITS.createMs < LIFECYCLE_LIMITS.unmadeMs,
  'nothing that is being made counts as never made',
);
