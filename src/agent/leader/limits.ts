import { invariant } from '../../lib/assert.ts';
import { limits } from '../../lib/limits.ts';

/** Every bound of the leader's side of worker sessions. */
export const LEADER_LIMITS = {
  /** From the opening of a stream to its registration. */
  registerTimeoutMs: 5000,
  /** About how much of a desired set goes into one message; one assignment more may come on top. */
  desiredPartBytes: 1024 * 1024,
  /** Batches of reports that one stream may send ahead of their acknowledgement: a worker sends one. */
  pendingReportBatches: 4,
  /** Heartbeats of one stream that wait for a quorum's word; more come only where there is none. */
  pendingGrants: 8,
  reportsPerBatch: 4096,
  inventoryItems: 65_536,
  /** A stream that takes nothing for so long is ended; its worker reconnects and gets the complete set. */
  stalledStreamMs: 10_000,
  /** Messages to a stream that wait for the transport. */
  unsentMessages: 1024,
  /** A proposal refused under back-pressure is made again, in all for as long as one may take. */
  proposalRetryMs: 100,
  proposalTimeoutMs: limits.proposalTimeoutMs,
  /** Between two proposals of the same thing that came to nothing. */
  decisionRetryMs: 500,
  /** Wall clocks jump: the longest wait before the time is read again. */
  longestTimerMs: 60_000,
  /** For the logs of a node that is drained to be handed over, in all. */
  handOverMs: 900_000,
  /** The monitor's timer came that late: this process stood still, and no node was silent for it. */
  stallMs: 1000,

  /** What is kept of a report's texts. */
  errorTypeCharacters: 128,
  errorMessageCharacters: 4096,
  logTailCharacters: 4096,
  resultCharacters: 4096,
  noteCharacters: 4096,
  imageDigestCharacters: 512,
  /** Entries of one list of a node's policy, and the length of one: as long as a path may be. */
  policyEntries: 1024,
  policyEntryCharacters: 4096,
  /** TERM to KILL of an attempt whose spec is gone. */
  defaultStopGraceMs: 10_000,
} as const;

invariant(
  LEADER_LIMITS.desiredPartBytes * 4 < limits.rpcMessageBytes,
  'a part of a desired set with one large assignment on top fits one gRPC message',
);
