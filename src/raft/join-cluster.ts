/** How a blank node becomes a member of a running cluster: it asks until the leader has added it as a learner. */
import type { JoinReply, JoinRequest } from '../generated/raft.ts';
import type { Clock } from '../lib/clock.ts';
import { JarvisError, messageOf, type ErrorCode } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { Log } from '../lib/log.ts';
import { peerFromWire } from './form-cluster.ts';
import type { ClusterRecord } from './data-directory.ts';

/** Asks one node; rejects with a JarvisError. */
type AskToJoin = (address: string, request: JoinRequest) => Promise<JoinReply>;

export interface JoinOptions {
  readonly request: JoinRequest;
  /** Of any members; asked in turn, and whom they name as their leader first. */
  readonly addresses: readonly string[];
  readonly ask: AskToJoin;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly log: Log;
}

/** These will not change by waiting. */
const FINAL: ReadonlySet<ErrorCode> = new Set(['invalid', 'malformed', 'forbidden', 'unauthenticated']);

/**
 * Waits for as long as nobody answers who leads: a cluster without a majority comes back when its nodes do. A conflict
 * is waited out for a while, since a member whose place it takes counts as living for a moment, and changes of others end.
 * @throws JarvisError conflict, invalid, forbidden; the signal's reason when aborted
 */
export async function joinCluster(options: JoinOptions): Promise<ClusterRecord> {
  const { addresses, clock, signal, log } = options;
  const giveUpConflictsMs = clock.monotonicMs() + limits.joinConflictMs;
  let toldBefore = '';
  for (let round = 0; ; round += 1) {
    signal.throwIfAborted();
    const address = addresses[round % addresses.length] ?? '';
    try {
      return await askLeader(options, address);
    } catch (error) {
      const isConflict = error instanceof JarvisError && error.code === 'conflict';
      if (isConflict && clock.monotonicMs() >= giveUpConflictsMs) throw error;
      if (error instanceof JarvisError && FINAL.has(error.code)) throw error;
      const told = messageOf(error);
      if (told !== toldBefore) log.info({ address, error: told }, 'not a member yet');
      toldBefore = told;
    }
    await new Promise<void>((resolve) => {
      clock.after(limits.bootstrapRetryMs, resolve);
    });
  }
}

async function askLeader({ request, ask }: JoinOptions, first: string): Promise<ClusterRecord> {
  let address = first;
  for (let hops = 0; hops < limits.joinHops; hops += 1) {
    const reply = await ask(address, request);
    if (reply.leader_address === '') {
      const { cluster_id: clusterId, epoch, founders, raft_id: raftId } = reply;
      return { clusterId, epoch, founders: founders.map(peerFromWire), raftId };
    }
    address = reply.leader_address;
  }
  throw new JarvisError('no_leader', `${first} and those whom it names take each other for the leader`);
}
