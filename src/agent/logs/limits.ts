import { invariant } from '../../lib/assert.ts';

/** Bounds of what a node does with the output that it keeps. */
export const LOG_LIMITS = {
  /** Between looks through all of it, at least; longer where a look takes long: so many times as long. */
  lookPauseMs: 10_000,
  lookRests: 20,
  /** Between looks for what is to be kept at all, while that is not known. */
  unknownPauseMs: 200,
  /** Attempts looked at in one go, and the breath after them. */
  lookedAtTogether: 64,
  lookBreathMs: 5,
  /** Of one look so many can be removed for want of room; where that is not enough it is looked again. */
  removableAttempts: 10_000,
  /** Between the last output of an attempt and its end, as different clocks have it. */
  endSlackMs: 60_000,
  /** Waited for at the end of the node. */
  closeMs: 500,
  /** Between complaints about what cannot be removed. */
  complaintMs: 3_600_000,

  /** Of one hand-over, in all. */
  handOverMs: 600_000,
  /** Attempts handed over: the newest. */
  handedAttempts: 100_000,
  /** Of all of it together. */
  handOverBytesPerSecond: 50 * 1024 * 1024,
  /** Attempts sent at the same time, and taken from all senders together. */
  sentAtOnce: 4,
  takenAtOnce: 16,
  chunkBytes: 64 * 1024,
  /** A receiver waits so long for the next piece; a sender for the answer about one attempt, and more for a large one. */
  takeStallMs: 10_000,
  sendLeastMs: 30_000,
  sendLeastBytesPerSecond: 256 * 1024,
  /** Nodes asked how much they can take, and for how long; nodes tried one after the other. */
  askedNodes: 64,
  /** Told to a node that leaves: more than it asks, so that another try may ask others. */
  handOverCandidates: 128,
  askTimeoutMs: 2000,
  holdersTried: 3,
  /** Tries with one node before it is given up, and the pauses between them. */
  sendTries: 5,
  retryMinMs: 200,
  retryMaxMs: 3000,
} as const;

invariant(
  LOG_LIMITS.sentAtOnce < LOG_LIMITS.takenAtOnce,
  'one sender does not take all that a receiver can do at once',
);
