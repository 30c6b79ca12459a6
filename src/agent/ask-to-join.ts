/** The question of a node that wants to be of a cluster, or to know what it is in it, as a call of another node. */
import { RaftService } from '../generated/raft.ts';
import { limits } from '../lib/limits.ts';
import type { AskToJoin } from '../raft/join-cluster.ts';
import type { ChannelPool } from '../rpc/channel.ts';
import { unaryCall } from '../rpc/client.ts';

/** @param timeoutMs of one node; a change of the membership takes longer than a question */
export function askToJoin(
  pool: ChannelPool,
  signal: AbortSignal,
  timeoutMs: number = limits.joinCallTimeoutMs,
): AskToJoin {
  return (address, request) =>
    unaryCall({ pool, address, method: RaftService.join, request, signal, timeoutMs, write: true });
}
