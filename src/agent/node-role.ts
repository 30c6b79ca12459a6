/** What a node is in its cluster: a member, with a copy of the state, or one that works without. The daemon runs one of them at a time. */
import type { JoinReply, JoinRequest } from '../generated/raft.ts';
import type { LogLevels } from '../lib/log-levels.ts';
import type { HttpServer } from '../http/server.ts';
import type { Caller, Readiness } from '../operations/port.ts';
import type { ClusterRecord, DataDirectory } from '../raft/data-directory.ts';
import type { ClusterFormation } from '../raft/form-cluster.ts';
import type { RaftPeerService } from '../raft/transport/raft-service.ts';
import type { ChannelPool } from '../rpc/channel.ts';
import type { RpcServer } from '../rpc/server.ts';
import type { DiskErrors } from './disk-errors.ts';
import type { Guarding } from './guarding.ts';
import type { MemberServices } from './member-services.ts';
import type { StartingOperations } from './starting-operations.ts';

/** What there is once the node knows its cluster. */
export interface Entered {
  readonly directory: DataDirectory;
  readonly cluster: ClusterRecord;
  readonly formation: ClusterFormation;
  readonly pool: ChannelPool;
  readonly peerService: RaftPeerService;
  readonly services: MemberServices;
  readonly operations: StartingOperations;
  readonly http: HttpServer;
  readonly rpc: RpcServer;
  readonly guarding: Guarding;
  readonly diskErrors: DiskErrors;
  readonly logLevels: LogLevels;
  readonly signal: AbortSignal;
  /** The node cannot go on as it is. */
  readonly onFailure: (error: unknown) => void;
}

export interface NodeRole {
  /** Resolves once everything that the node does as a part of its cluster has begun. @throws whatever keeps it from that */
  serve(): Promise<void>;
  readiness(): Readiness;
  /** Of a node that wants in, or asks what it is. @throws JarvisError */
  admit(request: JoinRequest, caller: Caller | undefined): Promise<JoinReply>;
  /** Before a stop. See `exit-drain.ts`. */
  drain(signal: AbortSignal): Promise<void>;
  /** It takes part no more from now on, not only when its turn to be closed has come. */
  halt(): void;
  /** To the others, before it stops by itself. Not waited for. */
  sayLastWords(): void;
  /** Resolves when those were heard, or the time for it is over. */
  readonly said: Promise<unknown>;
  /** Of the members but for this node, as it last knew them. */
  readonly memberAddresses: readonly string[];
}
