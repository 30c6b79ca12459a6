/** What all commands have: who stamped them, the key of their request, and what comes of them. */

export interface Stamped {
  /** The leader's wall time at the proposal, milliseconds since 1970 UTC. */
  readonly atMs: number;
}

/** Decisions of a leader: refused when the entry's term is another, also one that the same process appended later. */
export interface LeaderDecision extends Stamped {
  readonly term: number;
}

/** Makes the same request with the same key, repeated by its sender, happen once. */
export interface IdempotencyKey {
  /** principal, route and the sender's key, joined */
  readonly key: string;
  readonly requestDigest: string;
}

/** What a command came to. A refusal is a value: nothing has changed. */
export type Outcome<Result = unknown> =
  | { readonly type: 'done'; readonly result: Result }
  | { readonly type: 'refused'; readonly code: RefusalCode; readonly message: string };

export type RefusalCode =
  | 'not_found'
  | 'forbidden'
  | 'conflict'
  | 'idempotency_conflict'
  | 'invalid'
  | 'too_many'
  | 'stale_decision'
  | 'stale_session'
  | 'internal';
