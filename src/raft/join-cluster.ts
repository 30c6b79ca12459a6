/** How a blank node comes into a running cluster: it asks until the leader has added it as a learner, or has it work without a copy. */
import type { ClusterView, JoinReply, JoinRequest } from '../generated/raft.ts';
import type { Clock } from '../lib/clock.ts';
import { JarvisError, messageOf, type ErrorCode } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { Log } from '../lib/log.ts';
import { peerFromWire } from './form-cluster.ts';
import type { ClusterRecord } from './data-directory.ts';

/** Asks one node; rejects with a JarvisError. */
export type AskToJoin = (address: string, request: JoinRequest) => Promise<JoinReply>;

/** What the cluster lets a node be. */
export interface Place {
  readonly record: ClusterRecord;
  /** What a node without a copy has to know; null: it is a member. */
  readonly view: ClusterView | null;
}

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
export async function joinCluster(options: JoinOptions): Promise<Place> {
  const { addresses, clock, signal, log } = options;
  const giveUpConflictsMs = clock.monotonicMs() + limits.joinConflictMs;
  let toldBefore = '';
  for (let round = 0; ; round += 1) {
    signal.throwIfAborted();
    const address = addresses[round % addresses.length] ?? '';
    try {
      return placeOf((await askLeader(options, address)).reply);
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

/**
 * Asks one node, and whomever that names, until one answers itself.
 * @returns also who that was
 * @throws JarvisError no_leader, and what the one that leads says against it
 */
export async function askLeader(
  { request, ask }: Pick<JoinOptions, 'request' | 'ask'>,
  first: string,
): Promise<{ readonly reply: JoinReply; readonly address: string }> {
  let address = first;
  for (let hops = 0; hops < limits.joinHops; hops += 1) {
    const reply = await ask(address, request);
    if (reply.leader_address === '') return { reply, address };
    address = reply.leader_address;
  }
  throw new JarvisError('no_leader', `${first} and those whom it names take each other for the leader`);
}

/** @throws JarvisError internal where the node was let in without a copy, and was not told what it has to know */
export function placeOf(reply: JoinReply): Place {
  const { cluster_id: clusterId, epoch, founders, raft_id: raftId, view = null } = reply;
  if (raftId === 0 && view === null)
    throw new JarvisError('internal', 'a node was let in without a copy, and not told who the members are');
  const record = { clusterId, epoch, founders: founders.map(peerFromWire), raftId };
  return { record, view: raftId === 0 ? view : null };
}
