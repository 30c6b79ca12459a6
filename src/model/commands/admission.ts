/** Commands about who is let in: tokens of callers and of nodes that join. */
import type { Role, SecretHash } from '../token.ts';
import type { IdempotencyKey, LeaderDecision, Stamped } from './stamped.ts';

/** An admin's. The leader has made id and secret; the secret itself never comes into the log. */
export interface CreateTokenCommand extends Stamped {
  readonly type: 'createToken';
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  readonly secret: SecretHash;
  /** From now on, by the cluster's time; null: for ever. */
  readonly validMs: number | null;
  /** Who asks. */
  readonly principal: string;
  /** A leader's own, where there is no token of an admin that can be used. */
  readonly isFirst: boolean;
  readonly idempotency: IdempotencyKey | null;
}

/** An admin's: it lets nobody in any more. */
export interface RevokeTokenCommand extends Stamped {
  readonly type: 'revokeToken';
  readonly id: string;
  readonly idempotency: IdempotencyKey | null;
}

/** Forgets the tokens that ended long ago. */
export interface ExpireTokensCommand extends LeaderDecision {
  readonly type: 'expireTokens';
}

/** Before an operator's removal of a member, so that none is removed and not barred. */
export interface BarMemberCommand extends Stamped {
  readonly type: 'barMember';
  readonly name: string;
}

/** There are learners enough: a node is let in without a copy of the state, or has moved. */
export interface AdmitCopylessCommand extends Stamped {
  readonly type: 'admitCopyless';
  readonly name: string;
  readonly incarnation: string;
  readonly address: string;
}

export interface DismissCopylessCommand extends Stamped {
  readonly type: 'dismissCopyless';
  readonly name: string;
}

/** An admin's. The secret itself never comes near the log. */
export interface CreateJoinTokenCommand extends Stamped {
  readonly type: 'createJoinToken';
  readonly secretHash: string;
  /** Who asks. */
  readonly principal: string;
  readonly validMs: number;
  readonly uses: number;
  /** The only name that it is good for; null: any that is free. */
  readonly node: string | null;
  readonly idempotency: IdempotencyKey | null;
}

/** An admin's: nobody comes in by it any more. */
export interface DeleteJoinTokenCommand extends Stamped {
  readonly type: 'deleteJoinToken';
  readonly id: string;
  readonly idempotency: IdempotencyKey | null;
}

/** A node that the cluster does not know has shown the secret. */
export interface UseJoinTokenCommand extends Stamped {
  readonly type: 'useJoinToken';
  readonly id: string;
  readonly secretHash: string;
  readonly node: string;
  /** As in `JoinTokenUse`. */
  readonly holder: string;
}
