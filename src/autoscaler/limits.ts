/** Every bound of the autoscaler's shell. */
import { invariant } from '../lib/assert.ts';
import { LIFECYCLE_LIMITS } from './core/lifecycle.ts';
import { HOST_LIMITS } from './providers/remote/limits.ts';

export const AUTOSCALER_LIMITS = {
  /** Between two looks at how far instances have come. */
  lookMs: 1000,
  /** Between two lists of a provider, while something is on its way, and else. */
  listBusyMs: 5000,
  listMs: 60_000,
  /** A provider that is in use no more is listed for so long: what was asked for last may come late. */
  afterUseMs: 3_600_000,
  /** Of one call to a provider; of one that makes an instance, with the pull of an image; and of one step of a departure. */
  callMs: 130_000,
  createMs: 310_000,
  departureMs: 30_000,
  /** Of each program of an operator. */
  programMs: 120_000,
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

const { callMs, createMs, programMs } = AUTOSCALER_LIMITS;
invariant(
  programMs < callMs && HOST_LIMITS.terminateMs < callMs,
  'providers have all the time that they are promised',
);
invariant(HOST_LIMITS.createMs < createMs && callMs <= createMs, 'and to make an instance as well');
invariant(createMs < LIFECYCLE_LIMITS.bootMs, 'what could not be made in one call is asked for again');
invariant(
  HOST_LIMITS.createMs < LIFECYCLE_LIMITS.unmadeMs,
  'nothing that is being made counts as never made',
);
