/** Join tokens, by the leader: made, listed, deleted and used. The secret of one never comes here, only its hash. */
import { timingSafeEqual } from 'node:crypto';

import type {
  CreatedJoinToken,
  CreateJoinTokenRequest,
  GetJoinTokenRequest,
  JoinToken,
  JoinTokenRequest,
  ListJoinTokensResponse,
} from '../generated/cluster.ts';
import { JarvisError } from '../lib/errors.ts';
import { formatJoinToken, hashOfSecret, isSecretHash, newSecret } from '../lib/join-token.ts';
import { formatTime } from '../lib/times.ts';
import type { Outcome } from '../model/commands.ts';
import type { JoinTokenRow } from '../model/join-token.ts';
import type { CreateJoinTokenResult } from '../scheduler/core/apply/join-tokens.ts';
import { faultOfUse, isSameUse } from '../scheduler/core/join-tokens.ts';
import type { Replica } from '../scheduler/ports.ts';
import { invalidInput, show } from '../spec/faults.ts';
import { parseNewJoinToken } from '../spec/join-token-request.ts';
import type { ClusterInsight } from './insight.ts';
import type { CallContext, JoinTokenOperations, JoinTokenUser } from './port.ts';
import { idempotencyOf } from './requests.ts';
import { throwIfAborted } from './waiting.ts';

export interface LocalJoinTokensOptions {
  readonly replica: Replica;
  readonly insight: Pick<ClusterInsight, 'members'>;
  readonly barrier: (context: Pick<CallContext, 'isStale' | 'signal'>) => Promise<void>;
  /** The result, or the refusal thrown. */
  readonly outcome: (proposed: Promise<Outcome>, signal: AbortSignal) => Promise<unknown>;
  /** Milliseconds since 1970, of the cluster. */
  readonly nowMs: () => number;
}

export class LocalJoinTokens implements JoinTokenOperations {
  readonly #options: LocalJoinTokensOptions;

  constructor(options: LocalJoinTokensOptions) {
    this.#options = options;
  }

  async createJoinToken(
    request: CreateJoinTokenRequest,
    { principal, signal }: CallContext,
  ): Promise<CreatedJoinToken> {
    const { replica, outcome } = this.#options;
    const { expires, uses, name, secret_hash: secretHash, idempotency_key: key } = request;
    const content = parseNewJoinToken({ expires, uses, name });
    if (!isSecretHash(secretHash)) {
      const message = `${show(secretHash)} is not allowed: SHA-256 in hexadecimal, or nothing`;
      throw invalidInput([{ path: 'secret_hash', message }]);
    }
    const { idempotency } = idempotencyOf({ principal, route: 'POST /cluster/join-tokens', key, content });
    throwIfAborted(signal);
    const created = (await outcome(
      replica.propose({ type: 'createJoinToken', ...content, principal, secretHash, idempotency }),
      signal,
    )) as CreateJoinTokenResult;
    const row = replica.state.joinTokens.get(created.id);
    if (created.secretHash !== secretHash || row === undefined)
      throw new JarvisError(
        'conflict',
        `join token ${created.id} was made by an earlier request with this idempotency key, and is shown once only: delete it and make another`,
      );
    return { info: viewOf(row), token: '' };
  }

  async listJoinTokens(context: CallContext): Promise<ListJoinTokensResponse> {
    const { replica, barrier } = this.#options;
    await barrier(context);
    const valid = [...replica.state.joinTokens.values()].filter((row) => this.#isValid(row));
    valid.sort((a, b) => b.createdAtMs - a.createdAtMs || (a.id < b.id ? -1 : 1));
    return { items: valid.map(viewOf) };
  }

  /** @throws JarvisError not_found, also for one that has expired */
  async getJoinToken({ id }: GetJoinTokenRequest, context: CallContext): Promise<JoinToken> {
    const { replica, barrier } = this.#options;
    await barrier(context);
    const row = replica.state.joinTokens.get(id);
    if (row === undefined || !this.#isValid(row)) throw unknownToken(id);
    return viewOf(row);
  }

  async deleteJoinToken(request: JoinTokenRequest, { principal, signal }: CallContext): Promise<JoinToken> {
    const { replica, barrier, outcome } = this.#options;
    await barrier({ signal });
    const { id, idempotency_key: key } = request;
    const row = replica.state.joinTokens.get(id);
    if (row === undefined) throw unknownToken(id);
    const { idempotency } = idempotencyOf({
      principal,
      route: 'DELETE /cluster/join-tokens',
      key,
      content: { id },
    });
    throwIfAborted(signal);
    await outcome(replica.propose({ type: 'deleteJoinToken', id, idempotency }), signal);
    return viewOf(row);
  }

  /**
   * Resolves once it counts. What is refused here costs the log nothing: guesses never reach it.
   * @throws JarvisError forbidden where the token does not let the node in; conflict where its name is taken; no_leader
   */
  async use(user: JoinTokenUser, signal: AbortSignal): Promise<void> {
    const { replica, insight, barrier, outcome, nowMs } = this.#options;
    await barrier({ signal });
    const { id, secretHash, node, holder } = user;
    const row = replica.state.joinTokens.get(id) ?? null;
    const known = row !== null && isSameHash(row.secretHash, secretHash) ? row : null;
    const fault = faultOfUse(known, { node, holder, secretHash, nowMs: nowMs() });
    if (fault !== null) throw new JarvisError('forbidden', fault);
    const isRepeated = known?.usedBy.some((use) => isSameUse(use, user)) === true;
    const isMember = insight.members().some(({ name }) => name === node);
    if (!isRepeated && (isMember || replica.state.copylessNodes.has(node)))
      throw new JarvisError(
        'conflict',
        `a ${isMember ? 'member' : 'node'} has the name ${node}: choose another name, or remove it from the cluster first`,
      );
    throwIfAborted(signal);
    await outcome(replica.propose({ type: 'useJoinToken', id, secretHash, node, holder }), signal);
  }

  #isValid({ expiresAtMs }: JoinTokenRow): boolean {
    return expiresAtMs > this.#options.nowMs();
  }
}

/**
 * Makes the secret where the caller is connected, so that it goes to no other node, and puts the answer together.
 * @param create asks the leader, and is safe to repeat
 */
export async function createWithSecret(
  request: CreateJoinTokenRequest,
  authorityHash: string | null,
  create: (request: CreateJoinTokenRequest) => Promise<CreatedJoinToken>,
): Promise<CreatedJoinToken> {
  if (request.secret_hash !== '') return await create(request);
  const secret = newSecret();
  const created = await create({ ...request, secret_hash: hashOfSecret(secret) });
  return { ...created, token: formatJoinToken({ id: created.info?.id ?? '', secret, authorityHash }) };
}

function unknownToken(id: string): JarvisError {
  return new JarvisError('not_found', `there is no join token ${show(id)}`);
}

/** Both are hashes in hexadecimal. */
function isSameHash(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function viewOf(row: JoinTokenRow): JoinToken {
  return {
    id: row.id,
    name: row.node ?? undefined,
    created_at: formatTime(row.createdAtMs),
    created_by: row.createdBy,
    expires_at: formatTime(row.expiresAtMs),
    uses: row.uses,
    uses_left: row.uses - row.usedBy.length,
    used_by: row.usedBy.map(({ node, atMs }) => ({ node, at: formatTime(atMs) })),
  };
}
