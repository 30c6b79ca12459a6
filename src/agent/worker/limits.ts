import { invariant } from '../../lib/assert.ts';
import { limits } from '../../lib/limits.ts';

/** Every bound of the worker. */
export const WORKER_LIMITS = {
  /** Reports in one batch, and about how many bytes of them. */
  batchReports: 256,
  batchBytes: 1024 * 1024,
  /** Ends kept on disk until they are acknowledged. */
  storedReports: 16_384,
  /** The file of reports is rewritten where more than this much of it is no longer needed. */
  storeGarbageBytes: 4 * 1024 * 1024,
  /** Assignments remembered after nothing of them is known any more: they never start again. */
  seenAssignments: 16_384,
  /** Assignments in one complete desired set. */
  desiredAssignments: 16_384,
  /** Text of an error that is reported. */
  messageBytes: 4096,

  /** An answer to a registration includes a proposal of the leader's. */
  registerTimeoutMs: limits.proposalTimeoutMs + 2000,
  /** From the inventory to the whole desired set. */
  syncTimeoutMs: limits.proposalTimeoutMs + 5000,
  /** Heartbeats without an answer before the stream is given up. */
  unansweredHeartbeats: 3,
  minSilenceMs: 1000,
  /** Heartbeats before the leader has said how often it wants them. */
  defaultHeartbeatIntervalMs: 2000,
  minHeartbeatIntervalMs: 20,
  maxHeartbeatIntervalMs: 60_000,

  /** Without a session for so long, it says why. */
  aloneMs: 10_000,
  reconnectMinMs: 50,
  reconnectMaxMs: 1000,
  /** A stream that was in step for less is no proof that the next one works. */
  steadyStreamMs: 500,
  driverRetryMinMs: 50,
  driverRetryMaxMs: 5000,
  /** Between two tries to have the lease confirmed: much less than a lease. */
  leaseRetryMaxMs: 250,
  /** Between looks at an attempt that is registered with its driver but not running yet. */
  registeredPollMs: 250,

  /** One measurement of what the node uses. */
  usageTimeoutMs: 5000,
  /** A measurement older than so many intervals is no longer told. */
  usageIntervalsKept: 5,
  /** Between complaints that nothing can be measured. */
  usageComplaintMs: 600_000,

  /** TERM to KILL for what nobody wants here: its own grace is not known. */
  orphanGraceMs: 10_000,
} as const;

invariant(
  limits.tasksPerNode < WORKER_LIMITS.desiredAssignments && limits.tasksPerNode < WORKER_LIMITS.storedReports,
  'a worker takes the whole desired set of a full node, and keeps the ends of all its tasks',
);
invariant(
  WORKER_LIMITS.batchBytes * 2 < limits.rpcMessageBytes,
  'a batch of reports that the last one overfills fits one gRPC message',
);
