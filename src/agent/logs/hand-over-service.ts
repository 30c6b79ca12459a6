/** The hand-over of logs over gRPC: this node as the one that takes, as the leader, and as the one that leaves. */
import type { BeginReply, LogHandOverServer } from '../../generated/log_hand_over.ts';
import { LogHandOverService } from '../../generated/log_hand_over.ts';
import { JarvisError } from '../../lib/errors.ts';
import { limits } from '../../lib/limits.ts';
import type { Log } from '../../lib/log.ts';
import type { ChannelPool } from '../../rpc/channel.ts';
import { unaryCall, uploadCall } from '../../rpc/client.ts';
import { unaryHandler, uploadHandler } from '../../rpc/handlers.ts';
import type { Service } from '../../rpc/server.ts';
import type { Replica, StateView } from '../../scheduler/ports.ts';
import { LOG_LIMITS } from './limits.ts';
import type { Candidate, HandOverPeers, LogHandOver } from './log-hand-over.ts';
import type { LogReceiver } from './log-receiver.ts';
import { candidatesOf, type LogsCluster } from './logs-cluster.ts';

export function handOverService(parts: {
  readonly clusterId: string;
  readonly receiver: LogReceiver;
  readonly handOver: LogHandOver;
  readonly cluster: Pick<LogsCluster, 'recordHolder'>;
  readonly log: Log;
}): Service {
  const { clusterId, receiver, handOver, cluster, log } = parts;
  const expectCluster = (named: string): void => {
    if (named !== clusterId)
      throw new JarvisError('forbidden', `this node is of another cluster than ${JSON.stringify(named)}`);
  };
  const handlers: LogHandOverServer = {
    room: unaryHandler(async (request) => ({ bytes: await receiver.roomBytes(request.cluster_id) }), log),
    take: uploadHandler((pieces) => receiver.take(pieces), { log, stallMs: LOG_LIMITS.takeStallMs }),
    record: unaryHandler(async (request) => {
      expectCluster(request.cluster_id);
      await cluster.recordHolder(request);
      return {};
    }, log),
    begin: unaryHandler(async (request, { signal }): Promise<BeginReply> => {
      expectCluster(request.cluster_id);
      const { holder, ...result } = await handOver.run(signal, request.candidates);
      return { holder: holder ?? '', ...result };
    }, log),
  };
  return { definition: LogHandOverService, handlers };
}

/** The other nodes, as the one that leaves reaches them. */
export function handOverPeers(parts: {
  readonly clusterId: string;
  readonly incarnation: string;
  readonly cluster: Pick<LogsCluster, 'nodeName' | 'leadership' | 'candidates'>;
  readonly pool: ChannelPool;
}): HandOverPeers {
  const { clusterId, incarnation, cluster, pool } = parts;
  return {
    candidates: () => cluster.candidates(),
    room: async ({ address, name }, signal) => {
      const { bytes } = await unaryCall({
        pool,
        address,
        node: name,
        method: LogHandOverService.room,
        request: { cluster_id: clusterId },
        signal,
        timeoutMs: LOG_LIMITS.askTimeoutMs,
        write: false,
      });
      return bytes;
    },
    send: async ({ address, name }, messages, timeoutMs, signal) => {
      await uploadCall({
        pool,
        address,
        node: name,
        method: LogHandOverService.take,
        messages,
        timeoutMs,
        signal,
      });
    },
    record: async (holder, signal) => {
      const { leader } = cluster.leadership();
      if (leader === null) throw new JarvisError('no_leader', 'no leader is known');
      await unaryCall({
        pool,
        address: leader.address,
        node: leader.name,
        method: LogHandOverService.record,
        request: { cluster_id: clusterId, node: cluster.nodeName, incarnation, holder },
        signal,
        timeoutMs: limits.forwardTimeoutMs,
        // Said twice it is the same.
        write: false,
      });
    },
  };
}

interface HandOverRequestsParts {
  readonly clusterId: string;
  readonly replica: Pick<Replica, 'state'>;
  readonly pool: ChannelPool;
  readonly log: Log;
}

/** How the leader has a node hand over what it keeps: the last step of a drain, before the node counts as drained. */
export class HandOverRequests {
  readonly #parts: HandOverRequestsParts;

  constructor(parts: HandOverRequestsParts) {
    this.#parts = parts;
  }

  /**
   * Resolves once the node has handed over all of it. May be called again, also while it goes on: then it waits for the
   * same; what was sent before is not sent again.
   * @throws JarvisError unavailable where something there is not over yet, as far as the node knows, where not all could be
   * handed over, or where it does not answer
   */
  async handOver(
    { name, address }: { readonly name: string; readonly address: string },
    signal: AbortSignal,
  ): Promise<void> {
    const { clusterId, replica, pool, log } = this.#parts;
    const { running, failed, reason, ...sent } = await unaryCall({
      pool,
      address,
      node: name,
      method: LogHandOverService.begin,
      request: { cluster_id: clusterId, candidates: candidatesFor(name, replica.state) },
      signal,
      timeoutMs: LOG_LIMITS.handOverMs + limits.forwardTimeoutMs,
      // Done twice it is the same.
      write: false,
    });
    if (running > 0)
      throw new JarvisError('unavailable', `${running} attempts on ${name} are not over, as far as it knows`);
    const fields = { worker: name, ...sent, failed, reason };
    // Mostly that passes: a node that has just been started does not know its room yet, one is busy, or silent for a moment.
    if (failed > 0)
      throw new JarvisError('unavailable', `${failed} logs of ${name} were not handed over: ${reason}`);
    log.info(fields, 'the logs of a node that leaves were handed over');
  }
}

/**
 * A node without a copy cannot look for them. Of many those whose names follow its own, so that nodes that leave at once
 * do not all ask the same few.
 */
function candidatesFor(leaver: string, state: Pick<StateView, 'nodes'>): Candidate[] {
  const takers = candidatesOf(state.nodes.values(), leaver).toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const next = takers.findIndex(({ name }) => name > leaver);
  const inTurn = next === -1 ? takers : [...takers.slice(next), ...takers.slice(0, next)];
  return inTurn.slice(0, LOG_LIMITS.handOverCandidates).map(({ name, address }) => ({ name, address }));
}
