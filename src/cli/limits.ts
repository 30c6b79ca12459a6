/** Bounds of the client: how long it waits for a peer, and how long it stays patient with a cluster that is away. */
import { invariant } from '../lib/assert.ts';

export const clientLimits = {
  /** A peer that has not accepted the connection by then is passed over. */
  connectTimeoutMs: 2000,
  /** One request, answered by one peer. */
  callTimeoutMs: 15_000,
  /** A command that asks once keeps asking so long while peers answer that there is no leader. */
  patienceMs: 10_000,
  /** A command that waits (`run`, `wait`, `logs -f`) survives an outage of this length. */
  outageMs: 120_000,
  retryMinMs: 100,
  retryMaxMs: 1000,
  /** How long the output of an attempt that is over is asked for again before it counts as lost. */
  outputPatienceMs: 30_000,
  /** An output stream that ended waits so long for the word that the attempt is over, and is then reopened. */
  attemptEndGraceMs: 2000,
  /** A command that waits asks for the members' addresses, and does without them after so long. */
  learnTimeoutMs: 1000,
  /** A shell that completes a word is kept waiting so long for ids and names, and then does without. */
  completionMs: 1000,
  /** What nodes and tasks use is shown beside other things: it is done without after so long. */
  usageMs: 2000,
  /** Tasks watched at the same time by one `wait`. */
  concurrentWatches: 64,
  /** Between looks at a batch or a DAG that is waited for. */
  groupPollMs: 500,
  /** Between looks at what is watched with `--watch`. */
  watchPollMs: 1000,
  /** Between looks at a node that is drained, or whose daemon is to end. */
  drainPollMs: 500,
  /** A node that left the cluster has so long to end. */
  daemonEndMs: 60_000,
  /** Tasks asked for in one page of a list. */
  pageItems: 500,
  /** Names after `get`, `wait` and `cancel`. */
  taskArguments: 10_000,
  /** The largest spec file that is read. */
  specFileBytes: 16 * 1024 * 1024,
} as const;

invariant(clientLimits.retryMinMs <= clientLimits.retryMaxMs, 'backoff grows');
invariant(clientLimits.connectTimeoutMs < clientLimits.patienceMs, 'more than one peer can be tried');
invariant(clientLimits.patienceMs < clientLimits.outageMs, 'waiting commands are the more patient ones');
