/** What a node asks of single other nodes, beside Raft's messages. Each question has a deadline; failures are JarvisErrors. */
import { randomUUID } from 'node:crypto';

import { RaftService, type BootstrapReply } from '../generated/raft.ts';
import { StateDigestsService, type DigestsReply } from '../generated/state_digests.ts';
import { limits } from '../lib/limits.ts';
import type { Peer } from '../raft/ports.ts';
import type { ChannelPool } from '../rpc/channel.ts';
import { unaryCall } from '../rpc/client.ts';

export interface MemberQuestions {
  /** Who is there? It founds nothing. */
  identity(address: string, signal: AbortSignal): Promise<BootstrapReply>;
  /** The newest digests of its state. */
  digests(peer: Pick<Peer, 'address' | 'name'>): Promise<DigestsReply>;
}

export function memberQuestions(options: {
  pool: ChannelPool;
  clusterId: string;
  signal: AbortSignal;
}): MemberQuestions {
  const { pool, clusterId } = options;
  return {
    identity: (address, signal) =>
      unaryCall({
        pool,
        address,
        method: RaftService.bootstrap,
        request: { name: '', incarnation: randomUUID(), peers: [], founders: [], config: '' },
        signal,
        timeoutMs: limits.bootstrapCallTimeoutMs,
        write: false,
      }),
    digests: ({ address, name }) =>
      unaryCall({
        pool,
        address,
        node: name,
        method: StateDigestsService.get,
        request: { cluster_id: clusterId },
        signal: options.signal,
        timeoutMs: limits.auditCallTimeoutMs,
        write: false,
      }),
  };
}
