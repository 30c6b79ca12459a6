/** Bounds of what a node does with the output that it keeps. */
export const LOG_LIMITS = {
  /** Between looks through all of it, at least; longer where a look takes long: so many times as long. */
  sweepPauseMs: 10_000,
  sweepRests: 20,
  /** Attempts looked at in one go, and the breath after them. */
  sweptTogether: 64,
  sweepBreathMs: 5,
  /** Of one look so many can be removed for want of room; where that is not enough it is looked again. */
  sweptAttempts: 10_000,
} as const;
