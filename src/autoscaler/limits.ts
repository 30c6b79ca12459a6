/** Every bound of the autoscaler's shell. */
export const AUTOSCALER_LIMITS = {
  /** Between two looks at how far instances have come. */
  lookMs: 1000,
  /** Between two lists of a provider, while something is on its way, and else. */
  listBusyMs: 5000,
  listMs: 60_000,
  /** Of one call to a provider, and of one step of a departure. */
  callMs: 90_000,
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
