/** Lets nodes in that the cluster does not know yet. What it is worth stands with whoever was shown it: see `secretHash`. */
export interface JoinTokenRow {
  readonly id: string;
  /** SHA-256 of the secret, in hexadecimal: nobody guesses 256 random bits, so a slow hash would protect nothing. */
  readonly secretHash: string;
  readonly createdAtMs: number;
  /** The principal that asked for it. */
  readonly createdBy: string;
  readonly expiresAtMs: number;
  /** The only name that it is good for; null: any that is free. */
  readonly node: string | null;
  /** How many nodes it lets in. */
  readonly uses: number;
  readonly usedBy: readonly JoinTokenUse[];
}

export interface JoinTokenUse {
  /** The name of the node. */
  readonly node: string;
  /** Who may have lost the answer and asks again: the hash of its public key or, without TLS, its incarnation. */
  readonly holder: string;
  readonly atMs: number;
}

/** In the place of a holder that was removed since: the use counts, and nobody may repeat it. */
export const REMOVED_HOLDER = 'removed';
