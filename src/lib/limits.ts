/**
 * Every bound that parts of Jarvis share or that depends on another; the relations between them are asserted at load.
 */
import { invariant } from './assert.ts';

export const limits = {
  /** Attempts kept in a task's record; older ones are dropped. */
  attemptsKept: 20,
  /** Of a task. */
  labels: 64,
  /** Of an attempt that failed: the end of its output, and what went wrong. */
  logTailBytes: 4096,
  /** Lists and objects within each other in the result of a task; what an entry can hold is about twice as deep. */
  resultDepth: 32,
  errorTypeBytes: 256,
  errorMessageBytes: 4096,
  /** Of the name of an image by its content: 255 for the repository, and the digest. */
  imageDigestBytes: 512,
  /** Assignments in one command: a plan of more goes into several. */
  assignmentsPerCommand: 256,
  /**
   * Tasks in one submission: it is checked, and applied by every node, in one turn of the event loop, about 60 ms for so
   * many. Ten times as many made the followers elect another leader.
   */
  tasksPerSubmission: 1000,
  /** Tasks of a batch or DAG that one command makes, cancels or begins anew: some 30 ms for every node that applies it. */
  tasksPerSlice: 500,
  /** Tasks that are listed one by one in a batch or a DAG, and those that are made from a template. */
  listedTasks: 10_000,
  templateTasks: 100_000,
  /** Tasks that are planned together without being submitted: some 100 ms of the leader's, with a thousand nodes. */
  plannedTasks: 5000,
  /** Edges of one DAG. */
  dagEdges: 100_000,
  /** Of the names of all tasks of one batch or DAG, which answers repeat. */
  groupNameBytes: 8 * 1024 * 1024,
  /** Of submissions that come at the same time and share an entry: applying them holds the event loop 15 ms or so. */
  tasksTogether: 256,
  /** Requests of one stream of submits without an answer yet; beyond it the stream is not read. */
  submitsPerStream: 1024,
  /** Without anything to say a stream of submits between two nodes is closed. */
  submitStreamIdleMs: 60_000,
  /** Such streams of one node: one for each token and address. */
  submitStreams: 256,
  /** The longest lease that a node is given for a restart: a node that does not come back holds its tasks for so long. */
  restartGraceMs: 600_000,
  /** At a stop a node waits so long for it. */
  restartGraceWaitMs: 2000,
  /** A node that drains itself before it stops waits so long beyond the deadline for what is being stopped. */
  exitDrainStopMs: 60_000,
  /** Between its looks at what is left. */
  exitDrainPollMs: 500,
  /** Events that are kept, however young they are: about four for each task that is. */
  eventsKept: 4_000_000,
  /** Idempotency keys that are kept, and for how long. */
  idempotencyKeysKept: 1_000_000,
  idempotencyKeptMs: 24 * 3_600_000,
  /** Of what has expired, in one entry: so much is deleted in a few milliseconds. Rows of entries, of which none is large. */
  expiredRows: 128,
  /** Tasks, keys and events among it; at least one row of each. */
  expiredItems: 250,
  expiredEvents: 2000,
  /** Between looks for what has expired, where there was nothing. */
  expiryIntervalMs: 5000,
  /** Assigned to one node at a time, however little they ask for: its worker has to list and report them all. */
  tasksPerNode: 5000,
  /** For so long the head of the queue may be overtaken before a node is kept for it; then for each further node. */
  overtakingMs: 30_000,
  /** Heads of the queue that are remembered: an earlier one that comes back takes nothing of the wait of those behind it. */
  headsPerPriority: 4,
  /** Open tasks that are on no node, in the whole cluster; beyond it submissions are refused with too_many. */
  queuedTasks: 1_000_000,
  /** Nodes that have left and whose logs others hold, and how often a node of one name may have left. */
  logHolders: 1000,
  logSpansPerNode: 16,
  /** Tokens of callers, and how long those that have ended are still shown. */
  tokens: 1000,
  endedTokensKeptMs: 7 * 24 * 3_600_000,
  /** A token is good for so long at least, where it is not good for ever; an expiry that is past already is a mistake. */
  tokenLeastValidMs: 1000,
  /** Between a leader's looks at whether there is a token of an admin, and which ones are to be forgotten. */
  tokenLookMs: 10_000,
  /** Secrets that are checked at once, 50 ms of a thread each, and that wait for it. */
  secretChecks: 2,
  secretChecksWaiting: 64,
  /** Tokens whose secret is known to be right. */
  knownTokens: 10_000,
  /** A node that does not know a token asks the leader so long whether there is a new one. */
  tokenCatchUpMs: 2000,
  /** A node without a copy of the state: for one member to say whose a token is, and for any member to. */
  tokenTryMs: 3000,
  tokenAskMs: 7000,
  /** The same: so long a stream goes on while nobody says whether its token can still be used. */
  tokenUnheardMs: 30_000,
  /** Wrong tokens of one address before it has to wait, doubling from the least to the most, until it was quiet so long. */
  wrongTokens: 10,
  /** The same of a node that sends requests on: it has looked at their tokens itself. */
  wrongTokensForwarded: 100,
  wrongTokenLeastMs: 1000,
  wrongTokenMostMs: 300_000,
  wrongTokenForgottenMs: 900_000,
  /** Addresses that are remembered for it. */
  wrongTokenAddresses: 10_000,
  /** Of the record of who did what: of each file, how many there are, and what waits to be written. */
  auditFileBytes: 16 * 1024 * 1024,
  auditFiles: 8,
  auditWaitingBytes: 4 * 1024 * 1024,
  /** That have not expired, and what may be asked of one. */
  joinTokens: 100,
  formerMembers: 1000,
  /** Nodes that work without a copy of the state. */
  copylessNodes: 10_000,
  joinTokenUses: 100,
  joinTokenMs: 7 * 24 * 3_600_000,
  /** Of one event for one webhook a message is sent at once, and then one in so long, which tells of all since. */
  alertWindowMs: 60_000,
  /** Told one by one in a message: the first; and what is kept of a text in it. */
  alertOccurrences: 10,
  alertTextBytes: 256,
  /** Of one event for one webhook, messages that are over and still shown. */
  alertsEnded: 10,
  /** A request that came to nothing is made again after the least, then after twice as long, up to the most. */
  alertRetryLeastMs: 5000,
  alertRetryMostMs: 600_000,
  /** A message that could not be delivered for so long is given up. */
  alertGiveUpMs: 24 * 3_600_000,
  /** Of one request; and how many there are at once. */
  alertRequestMs: 10_000,
  alertRequests: 8,
  /** Tests of webhooks that people have asked for, at once. */
  alertTests: 4,
  /** A quorum that hangs on every living voter is told of after so long, and so is that it does not any more. */
  quorumRiskMs: 5000,
  quorumLookMs: 1000,
  /** How often a leader looks whether all members know a later cluster version. */
  versionLookMs: 250,
  /** What a node of an earlier version keeps from being done may be asked for again after so long, and not before. */
  upgradeRetryMs: 60_000,
  /** Decisions of the autoscaler that are kept, and nodes that one may ask for. */
  scalingDecisions: 1000,
  scalingNodes: 10_000,
  /** What one entry carries of their progress. */
  scalingSteps: 1000,
  /** Of a certificate that a node is given by the cluster; it renews it at two thirds of that. */
  enrolledCertificateMs: 90 * 24 * 3_600_000,
  renewalLookMs: 3_600_000,
  /** For so long a node asks for its first certificate; one call of it; and how many nodes ask one member at once. */
  enrolmentMs: 60_000,
  enrolmentRetryMs: 1000,
  enrolmentCallTimeoutMs: 5000,
  enrolmentsAtOnce: 16,
  /** Names of tasks whose place is remembered for those that want to be near. */
  recentPlaces: 10_000,

  /** One Raft entry: an array command of many submits fits, a spec of 16 MiB does not. */
  entryBytes: 8 * 1024 * 1024,
  /** Entries per message between members. */
  messageBytes: 1024 * 1024,
  /** What is coalesced into one frame of a peer stream. */
  frameBytes: 1024 * 1024,
  /** Queued for one peer that reads slowly; beyond it messages are dropped, and Raft sends them again. */
  peerQueueBytes: 64 * 1024 * 1024,
  /** The largest gRPC message that a node accepts. */
  rpcMessageBytes: 16 * 1024 * 1024,
  /** Of an idle connection with calls, seen from the client and from the server. */
  rpcKeepaliveMs: 1000,
  rpcServerKeepaliveMs: 10_000,
  rpcIdleConnectionMs: 300_000,
  rpcStreamsPerConnection: 1000,
  /** Connections of one node, and the time for the first byte of each. */
  rpcConnections: 4096,
  rpcFirstByteMs: 10_000,
  rpcHandshakeMs: 10_000,
  /** Of what callers have sent, over all of their calls: see rpc/received-bytes.ts. */
  rpcReceivedBytes: 512 * 1024 * 1024,
  /** Of answers that callers have not read; beyond it whoever has read nothing for longest is cut off. */
  rpcUnreadBytes: 512 * 1024 * 1024,
  /** Of bodies over HTTP that are not answered. */
  httpReceivedBytes: 256 * 1024 * 1024,
  /** For a call that is no stream, where its client sets no deadline and where it does; for a caller's stream. */
  rpcCallMs: 30_000,
  rpcLongestCallMs: 600_000,
  rpcStreamMs: 6 * 3_600_000,
  /** A message that its reader does not take for so long ends the call. */
  rpcUnreadMs: 60_000,
  /** Between looks at the calls under way. */
  rpcLookMs: 1000,
  rpcConnectTimeoutMs: 2000,
  rpcPooledChannels: 256,
  /** A request that one node sends to another for its caller. */
  forwardTimeoutMs: 12_000,
  /** A node that was asked keeps looking for a leader so long. */
  leaderWaitMs: 5000,
  /** In all, over changes of leader; then the caller is told that it failed or that its outcome is unknown. */
  routeTimeoutMs: 14_000,
  routeRetryMs: 100,
  /** Whoever asks for the state of the cluster: for a leader to be there, and for its answer. */
  statusLeaderWaitMs: 2000,
  statusTimeoutMs: 4000,
  /** A node without a copy of the state: for one member's answer to what may be stale, and for any member's. */
  staleReadTryMs: 5000,
  staleReadMs: 9000,
  /** For what members say of themselves, within that answer. */
  reportTimeoutMs: 500,
  /** For what a member says to the others before it stops because of its disk. */
  lastWordTimeoutMs: 1000,
  /** Watches of tasks that one leader serves. */
  taskWatches: 10_000,
  /** Streams of events that one node serves, and the time between two looks of each at what is new. */
  eventStreams: 256,
  eventPaceMs: 20,
  /** Rows that one look at the state takes, and events in one piece of a stream. */
  eventRows: 32,
  eventsPerPiece: 500,
  /** Without events a stream says so often that it lives, and how far it is. */
  eventSignMs: 10_000,
  /** One of another node that says nothing for so long is given up. */
  eventSilenceMs: 25_000,
  /** One without a leader for so long ends: another node may know of one. */
  eventLeaderlessMs: 5000,
  /** Callers that watch the health of one node, and the time between two looks at it. */
  healthWatches: 256,
  healthPollMs: 500,
  httpBodyBytes: 16 * 1024 * 1024,
  /** For a request to arrive in full. */
  httpRequestTimeoutMs: 60_000,
  /** For an answer that is no stream. */
  httpTimeoutMs: 30_000,
  httpLogsTimeoutMs: 600_000,
  httpKeepAliveMs: 30_000,
  httpConnections: 4096,
  /** For the headers of a request, from the beginning of its connection; and between looks for those that are late. */
  httpHeadersTimeoutMs: 15_000,
  httpCheckIntervalMs: 5000,
  httpHeaders: 128,
  httpHeaderBytes: 16 * 1024,
  /** A reader that takes nothing for so long of what is written to it is disconnected. */
  httpStallMs: 60_000,
  /** Of one address, a second, on average over the window: more than a node can answer; and what it may be set to. */
  httpRate: 10_000,
  httpMostRate: 1_000_000,
  httpRateWindowMs: 10_000,
  /** That are counted; of more the oldest are forgotten. */
  httpRateAddresses: 10_000,
  /** Requests of one connection without an answer yet: what comes in one piece is begun at once, however much it is. */
  httpPipelined: 64,
  /** Smaller answers are sent as they are. */
  httpCompressedBytes: 1024,
  logRetryMinMs: 100,
  logRetryMaxMs: 1000,
  /** The output of an attempt that is over is asked for so long where its node does not answer. */
  logPatienceMs: 5000,
  /** Between the end of an attempt's log and the word that the attempt is over, either way. */
  attemptEndGraceMs: 2000,
  /** Pages of the replica looked at for one page of an answer. */
  listRounds: 16,

  /** Members whose addition a node has not heard of yet, and that speak to it all the same. */
  strangers: 64,
  /** A line of the log that a peer can cause again and again is written once in so long, per peer and reason. */
  repeatedLineMs: 60_000,
  repeatedLineKinds: 256,
  /** What is read for an answer with metrics and takes longer, such as of a disk, is left as it was. */
  metricsSampleMs: 1000,
  /** Error types that count for themselves in metrics; all others count together. */
  metricsErrorTypes: 64,
  /** Tasks given up whose policies are looked up for metrics at a time. */
  metricsLookUps: 1000,
  peerReconnectMinMs: 50,
  peerReconnectMaxMs: 250,
  peerHelloTimeoutMs: 2000,

  tickMs: 25,
  heartbeatTicks: 2,
  /** Randomised to [electionTicks, 2 · electionTicks - 1]. */
  electionTicks: 12,
  /** A leader that was removed stays so long, for those who do not know it yet. */
  removedStayMs: 5000,
  inflightMessages: 256,
  inflightBytes: 32 * 1024 * 1024,
  /** Between comparisons of the state with those of the others. */
  auditIntervalMs: 5000,
  auditCallTimeoutMs: 2000,
  /** Between complaints that states differ. */
  auditNoticeMs: 60_000,
  /** Between looks at whether another node should rather lead. */
  preferenceIntervalMs: 1000,
  /** A leader whose clock is further off the median of the nodes' lets another lead. */
  clockOffsetMs: 60_000,
  /** Between looks of the autopilot at the members. */
  autopilotIntervalMs: 1000,
  /** A leader whose own write takes so long lets another lead. Disks stall for a second now and then. */
  hungDiskMs: 2000,
  /** A learner that is no further behind may vote. */
  caughtUpEntries: 1000,
  /** Proposed and not yet committed; beyond it proposals wait. */
  uncommittedBytes: 64 * 1024 * 1024,
  /** Of the log in memory, which grows while a snapshot is being written; beyond it they are refused with too_many. */
  logBytes: 1024 * 1024 * 1024,
  /** Of those that wait, and how long they do; beyond it they are refused with too_many. */
  proposalQueueBytes: 64 * 1024 * 1024,
  proposalQueueMs: 1500,
  committedBytesPerReady: 4 * 1024 * 1024,
  /** Proposals whose outcome somebody waits for. */
  pendingProposals: 10_000,
  proposalTimeoutMs: 10_000,
  readTimeoutMs: 5000,
  /** Linearizable reads that wait for a quorum or for their index. */
  pendingReads: 10_000,

  /** A snapshot is taken when this much log has been applied since the last. */
  snapshotEntries: 50_000,
  snapshotLogBytes: 64 * 1024 * 1024,
  /** What a leader keeps of the log beyond its snapshots, for followers that are behind or are being sent one. */
  heldLogBytes: 128 * 1024 * 1024,
  snapshotChunkBytes: 64 * 1024,
  /** Sent and not yet acknowledged by the receiver of a snapshot. */
  snapshotWindowBytes: 1024 * 1024,
  snapshotSendsAtOnce: 2,
  /** What must be free beside a snapshot that is received, and the store that is filled from it: the log's next segments. */
  snapshotRoomBytes: 32 * 1024 * 1024,
  /** What is half received is of no use any more when it was not gone on with for so long. */
  snapshotPartialKeptMs: 3_600_000,
  /** Between tries to send one to a follower: doubling from the least to the most, and back after progress. */
  snapshotRetryMinMs: 200,
  snapshotRetryMaxMs: 5000,
  /** For saving one over HTTP. */
  httpSnapshotTimeoutMs: 3_600_000,
  /** Of all transfers of a node together: a gigabit network has room for the log beside them. */
  snapshotBytesPerSecond: 100 * 1024 * 1024,
  /** Least that it may be set to. */
  snapshotLeastBytesPerSecond: 64 * 1024,
  /** A snapshot transfer without progress for so long is given up. */
  snapshotStallMs: 10_000,
  /** While all of it is verified the receiver says that it is alive so often, and for so long. */
  snapshotAliveMs: 2500,
  snapshotVerifyMs: 600_000,

  bootstrapCallTimeoutMs: 2000,
  bootstrapRetryMs: 200,
  /** A change of the membership takes longer than a question. */
  joinCallTimeoutMs: 15_000,
  /** A node that wants to join waits so long for what stands against it to pass. */
  joinConflictMs: 15_000,
  joinHops: 4,
  /** A member whose log cannot be trusted asks so long to be let in anew, before it stops. */
  rejoinMs: 20_000,
} as const;

invariant(limits.entryBytes < limits.rpcMessageBytes, 'one entry fits one gRPC message');
invariant(
  limits.groupNameBytes + 64 * limits.templateTasks < limits.rpcMessageBytes,
  'the names and ids of a batch fit one gRPC message',
);
invariant(
  limits.frameBytes + limits.entryBytes + limits.messageBytes < limits.rpcMessageBytes,
  'a frame that one more message overfills still fits one gRPC message',
);
invariant(limits.heartbeatTicks * 3 <= limits.electionTicks, 'two heartbeats may be lost before an election');
invariant(limits.entryBytes <= limits.inflightBytes, 'the largest entry fits the window of a follower');
invariant(limits.entryBytes <= limits.uncommittedBytes, 'the largest entry can be proposed');
invariant(limits.entryBytes <= limits.proposalQueueBytes, 'the largest entry can wait to be proposed');
invariant(
  limits.proposalQueueMs + limits.proposalTimeoutMs < limits.forwardTimeoutMs,
  'a leader answers before its forwarder gives up',
);
invariant(
  2 * limits.electionTicks * limits.tickMs < limits.statusLeaderWaitMs,
  'an election fits the wait for a leader',
);
invariant(
  limits.statusLeaderWaitMs + limits.reportTimeoutMs < limits.statusTimeoutMs,
  'the state of the cluster with its reports fits the time for it',
);
invariant(limits.alertRetryLeastMs <= limits.alertRetryMostMs, 'waits for webhooks grow');
invariant(limits.alertRequestMs < limits.forwardTimeoutMs, 'a webhook is tried while its caller waits');
invariant(limits.forwardTimeoutMs < limits.routeTimeoutMs, 'one try fits the time for all');
invariant(
  2 * limits.eventSignMs < limits.eventSilenceMs,
  'a stream that lives is not given up for being silent',
);
invariant(
  limits.tokenCatchUpMs < limits.tokenTryMs,
  'a member may ask the leader whether there is a new token',
);
invariant(
  limits.tokenAskMs + limits.routeTimeoutMs < limits.httpTimeoutMs,
  'HTTP waits for what the token and the route may take',
);
invariant(limits.eventSignMs < limits.httpStallMs, 'a stream of events is written to before it stalls');
invariant(limits.routeTimeoutMs < limits.httpTimeoutMs, 'HTTP waits for what a route may take');
invariant(limits.routeTimeoutMs < limits.rpcCallMs, 'so does gRPC');
invariant(limits.joinCallTimeoutMs < limits.rpcCallMs, 'a node may be let in for as long as it waits for it');
invariant(2 * limits.snapshotAliveMs < limits.snapshotStallMs, 'a word of the receiver may be late');
invariant(
  (2 * limits.snapshotSendsAtOnce * limits.snapshotChunkBytes * 1000) / limits.snapshotLeastBytesPerSecond <
    limits.snapshotStallMs,
  'the slowest sender that is allowed is not taken for one that has fallen silent',
);
