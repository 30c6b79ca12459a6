/**
 * Changes of the membership that carry a key. They are entries of Raft's own, beside the commands, so that the key cannot
 * be written with them: it is remembered right after the change, and what is so already is fine for whoever comes between.
 */
import type { ChangeMemberRequest, TransferLeadershipRequest } from '../generated/cluster.ts';
import { JarvisError } from '../lib/errors.ts';
import { clusterKnows } from '../model/command-versions.ts';
import type { IdempotencyKey, Outcome, RememberedAnswer } from '../model/commands.ts';
import type { IdempotencyRow } from '../model/cluster.ts';
import type { Replica } from '../scheduler/ports.ts';
import type { MembershipControl } from './node-port.ts';
import type { CallContext } from './port.ts';
import { idempotencyOf } from './requests.ts';

export interface MembershipRequestsOptions {
  readonly replica: Replica;
  readonly membership: MembershipControl;
  /** The result, or the refusal thrown. */
  readonly outcome: (proposed: Promise<Outcome>, signal: AbortSignal) => Promise<unknown>;
}

export class MembershipRequests {
  readonly #options: MembershipRequestsOptions;

  constructor(options: MembershipRequestsOptions) {
    this.#options = options;
  }

  async change(request: ChangeMemberRequest, context: CallContext): Promise<void> {
    const { action, name, address, other, idempotency_key: key = '' } = request;
    const content = { action, name, address, other };
    const idempotency = keyOf('POST /cluster/members', key, content, context);
    if ((await this.#first(idempotency)) !== null) return;
    await this.#options.membership.change(request, context.signal);
    await this.#remember(idempotency, null, context.signal);
  }

  /**
   * Whoever hands over cannot write any more afterwards: it remembers first in which term it led, and forgets that where
   * it leads on. A request that comes again in that term is carried out, for then nobody has led since; and in the next
   * one where it is not led by the one that was named.
   */
  async transfer(request: TransferLeadershipRequest, context: CallContext): Promise<void> {
    const { to, idempotency_key: key = '' } = request;
    const { replica, membership } = this.#options;
    const idempotency = keyOf('POST /cluster/transfer', key, { to }, context);
    const { term } = replica.leadership();
    const first = await this.#first(idempotency);
    if (first !== null) {
      const { term: before } = first.answer as { readonly term: number };
      const isElsewhere = to !== '' && to !== replica.nodeName && term === before + 1;
      if (before < term && !isElsewhere) return;
    } else await this.#remember(idempotency, { term }, context.signal);
    try {
      await membership.transfer(to, context.signal);
    } catch (error) {
      await this.#forget(idempotency, error);
      throw error;
    }
  }

  /** Where the request has failed, and that is known. */
  async #forget(idempotency: IdempotencyKey | null, error: unknown): Promise<void> {
    const { replica, outcome } = this.#options;
    const isKnown = error instanceof JarvisError && error.code !== 'outcome_unknown';
    if (idempotency === null || !isKnown || !replica.leadership().isLeader) return;
    if (!clusterKnows(replica.state.cluster, 'forgetRequest')) return;
    // Bounded by the proposal's own deadline; the caller may have gone.
    const { signal } = new AbortController();
    try {
      await outcome(replica.propose({ type: 'forgetRequest', idempotency }), signal);
    } catch (failure) {
      // It stays what it was: a request that was begun. What the caller is to hear is why it failed.
      if (!(failure instanceof JarvisError)) throw failure;
    }
  }

  /** @throws JarvisError idempotency_conflict where the key stands for another request */
  async #first(idempotency: IdempotencyKey | null): Promise<IdempotencyRow | null> {
    if (idempotency === null) return null;
    const first = await this.#options.replica.read('idempotency', idempotency.key);
    if (first === null || first.requestDigest === idempotency.requestDigest) return first;
    const message = 'the idempotency key was used before, for another request';
    throw new JarvisError('idempotency_conflict', message);
  }

  async #remember(
    idempotency: IdempotencyKey | null,
    answer: RememberedAnswer,
    signal: AbortSignal,
  ): Promise<void> {
    const { replica, outcome } = this.#options;
    // Before all members know of it, a request that comes again is looked at anew.
    if (idempotency === null || !clusterKnows(replica.state.cluster, 'rememberRequest')) return;
    await outcome(replica.propose({ type: 'rememberRequest', idempotency, answer }), signal);
  }
}

function keyOf(
  route: string,
  key: string,
  content: object,
  { principal }: CallContext,
): IdempotencyKey | null {
  return idempotencyOf({ principal, route, key, content }).idempotency;
}
