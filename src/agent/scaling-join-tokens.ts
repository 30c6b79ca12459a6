/**
 * A join token for each node that the autoscaler asks for. A provider that is asked again is told the same one, for what it was told
 * first may be under way; the next leader, which does not know it, makes another one. All of them go once the node is there.
 */
import type { JoinTokenMaker } from '../autoscaler/ports.ts';
import type { Clock } from '../lib/clock.ts';
import { JarvisError } from '../lib/errors.ts';
import { formatJoinToken, hashOfSecret, newSecret } from '../lib/join-token.ts';
import type { TlsSource } from '../lib/tls-watch.ts';
import { errorOfRefusal } from '../operations/refusals.ts';
import type { CreateJoinTokenResult } from '../scheduler/core/apply/join-tokens.ts';
import type { Replica } from '../scheduler/ports.ts';
import { ownAuthorityHash } from './enrolment/enrolment-parts.ts';
import { AUTOSCALER_PRINCIPAL } from './node-departures.ts';

export interface ScalingJoinTokensOptions {
  readonly replica: Pick<Replica, 'propose' | 'state'>;
  /** Null: without TLS. */
  readonly tls: TlsSource | null;
  readonly clock: Clock;
}

export class ScalingJoinTokens implements JoinTokenMaker {
  readonly #options: ScalingJoinTokensOptions;
  /** Those that are kept still, by node. */
  readonly #made = new Map<string, { readonly id: string; readonly secret: string }>();

  constructor(options: ScalingJoinTokensOptions) {
    this.#options = options;
  }

  async make(node: string, validMs: number): Promise<{ readonly id: string; readonly token: string }> {
    const { replica, tls, clock } = this.#options;
    const authorityHash = tls === null ? null : ownAuthorityHash(tls, clock.wallMs());
    if (tls !== null && authorityHash === null)
      throw new JarvisError('conflict', 'no authority is known by which a new node could know this one');
    for (const [name, { id }] of this.#made) if (!replica.state.joinTokens.has(id)) this.#made.delete(name);
    const known = this.#made.get(node) ?? (await this.#create(node, validMs));
    this.#made.set(node, known);
    return { id: known.id, token: formatJoinToken({ ...known, authorityHash }) };
  }

  async removeOf(node: string): Promise<void> {
    const { replica } = this.#options;
    this.#made.delete(node);
    const tokens = [...replica.state.joinTokens.values()].filter(
      ({ node: name, createdBy }) => name === node && createdBy === AUTOSCALER_PRINCIPAL,
    );
    for (const { id } of tokens) await replica.propose({ type: 'deleteJoinToken', id, idempotency: null });
  }

  async #create(node: string, validMs: number): Promise<{ readonly id: string; readonly secret: string }> {
    const secret = newSecret();
    const asked = { principal: AUTOSCALER_PRINCIPAL, uses: 1, node, validMs, idempotency: null } as const;
    const outcome = await this.#options.replica.propose({
      type: 'createJoinToken',
      secretHash: hashOfSecret(secret),
      ...asked,
    });
    if (outcome.type === 'refused') throw errorOfRefusal(outcome);
    return { id: (outcome.result as CreateJoinTokenResult).id, secret };
  }
}
