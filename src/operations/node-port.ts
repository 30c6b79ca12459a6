/** What a node gives for answers: what only it has or does, and how it reaches the others. Failures are JarvisErrors. */
import type { Identity, IdentifyRequest } from '../generated/callers.ts';
import type {
  ChangeMemberRequest,
  EventsPiece,
  EventsRequest,
  LogLevel,
  LogLevelRequest,
  NodeUsage,
  NodeUsageRequest,
  SetLogLevelRequest,
  SnapshotPiece,
} from '../generated/cluster.ts';
import type { LogChunk, ReadLogRequest } from '../generated/worker.ts';
import type { LogLevelName } from '../lib/log.ts';
import type { Webhook } from '../model/alerts.ts';
import type { ClusterRow } from '../model/cluster.ts';
import type { Leaders } from '../scheduler/ports.ts';
import type { CallContext, RemoteOperations } from './port.ts';

/** How this node reaches the others; implemented over gRPC. */
export interface Remotes {
  /** @param address `host:port`; that node answers a read with `isStale` from its own state */
  operations(address: string): RemoteOperations;
  /** The output of an attempt that ran on that node. @throws JarvisError unavailable, not_found */
  readLog(address: string, request: ReadLogRequest, context: CallContext): AsyncIterable<LogChunk>;
  /** From that node's own copy of the state. @throws JarvisError as the operation does */
  events(address: string, request: EventsRequest, context: CallContext): AsyncIterable<EventsPiece>;
  /** Whose the caller's token is, as that member knows (proto/callers.proto). @throws JarvisError unauthenticated, unavailable */
  identify(address: string, request: IdentifyRequest, context: CallContext): AsyncIterable<Identity>;
  /** What that node and its attempts use. @throws JarvisError unavailable, not_found */
  nodeUsage(address: string, request: NodeUsageRequest, context: CallContext): Promise<NodeUsage>;
  /** From which level on that node logs. @throws JarvisError unavailable */
  logLevel(address: string): {
    get(request: LogLevelRequest, context: CallContext): Promise<LogLevel>;
    set(request: SetLogLevelRequest, context: CallContext): Promise<LogLevel>;
  };
}

/** Who has a copy of the state, as a node without one was told. */
export interface Member {
  readonly name: string;
  /** `host:port` */
  readonly address: string;
}

export interface Members extends Leaders {
  members(): readonly Member[];
  /** Who was taken for the leader did not do what a leader does: it is found out anew, soon. */
  hurry(): void;
}

/** What is known of the cluster without the leader. */
export interface Knowledge {
  /** Null: the cluster is still being formed; undefined: this node has no copy of the state. */
  cluster(): ClusterRow | null | undefined;
  /** `host:port` of that node; null: it may be a new one, which the leader knows. @throws JarvisError */
  addressOf(node: string, context: CallContext): Promise<string | null>;
}

/** What an operator does to the membership, on the leader. Failures are JarvisErrors. */
export interface MembershipControl {
  /** Resolves once it is in force; what is so already is fine. */
  change(request: ChangeMemberRequest, signal: AbortSignal): Promise<void>;
  /** Resolves once another node leads. @param to empty: whoever is furthest with the log */
  transfer(to: string, signal: AbortSignal): Promise<void>;
}

/** The state as a file (docs/disaster.md). */
export interface SnapshotSource {
  /**
   * At an index that is applied when it begins. Reads no faster than it is read from; ends where the signal is aborted.
   * @throws JarvisError too_many where one is being made already
   */
  save(signal: AbortSignal): AsyncIterable<SnapshotPiece>;
}

/** The output of the attempts that ran on this node. */
export interface LocalLogs {
  /**
   * In the order in which it was written; with `follow` up to the attempt's end, also where it has yet to begin. An
   * attempt whose log is not there reads as empty, while it is followed. Ends quietly when the signal is aborted.
   * @throws JarvisError logs_unavailable where the log is gone; its message ends a sentence about the node
   */
  read(request: ReadLogRequest, signal: AbortSignal): AsyncIterable<LogChunk>;
}

/** What this node and the attempts that run on it use. */
export interface LocalUsage {
  /** @throws JarvisError not_found where the attempt does not run here, or nothing of it can be told */
  read(question: UsageQuestion): Promise<NodeUsage>;
}

/** What is asked of a node about what is used on it. */
export interface UsageQuestion {
  /** Wall time: of histories what is older is left out; null: nothing. */
  readonly sinceMs: number | null;
  /** Attempts at most, the most demanding first; null: all. */
  readonly limit: number | null;
  /** That one alone, with its history; null: all, without. */
  readonly attempt: { readonly taskId: string; readonly assignment: number } | null;
}

/** From which level on this node logs. */
export interface LocalLogLevel {
  read(): LogLevel;
  /** @param forMs null: until the node is started again */
  set(level: LogLevelName, forMs: number | null): LogLevel;
}

/** Sends to webhooks, signed and templated as alerts are. Never rejects. */
export type TestWebhook = (test: WebhookTest) => Promise<{
  /** For people; null: it was taken. */
  readonly failure: string | null;
  /** Of the answer; null: there was none. */
  readonly status: number | null;
}>;

/** A test of a webhook. */
export interface WebhookTest {
  readonly webhook: Webhook;
  readonly clusterId: string;
  /** Of the message. */
  readonly id: string;
  /** Who asks. */
  readonly principal: string;
  readonly signal: AbortSignal;
}
