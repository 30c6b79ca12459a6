/** What callers show to be let in, as the cluster keeps it: never the token itself. */

/** Each may do what those before it may. */
export const ROLES = ['viewer', 'submitter', 'operator', 'admin'] as const;
export type Role = (typeof ROLES)[number];

export function isRole(text: string): text is Role {
  return (ROLES as readonly string[]).includes(text);
}

/** Whether a holder of the role may do what `least` is needed for. */
export function mayAct(role: Role, least: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(least);
}

/** scrypt (RFC 7914) of the secret part of a token. */
export interface SecretHash {
  /** base64url, as is the hash. */
  readonly salt: string;
  readonly hash: string;
  /** Cost, block size and parallelism that it was made with. */
  readonly n: number;
  readonly r: number;
  readonly p: number;
}

export interface TokenRow {
  readonly id: string;
  /** Of those that can be used no two have the same. */
  readonly name: string;
  readonly role: Role;
  readonly secret: SecretHash;
  readonly createdAtMs: number;
  /** The principal that asked for it. */
  readonly createdBy: string;
  /** Null: never. */
  readonly expiresAtMs: number | null;
  readonly revokedAtMs: number | null;
}

/** Kept for the token that a leader makes where no admin's can be used. */
export const ADMIN_TOKEN_NAME = 'admin-token';

/** When it ended, or is to end; null: it does not by itself. */
export function endOfToken({ expiresAtMs, revokedAtMs }: TokenRow): number | null {
  if (revokedAtMs === null) return expiresAtMs;
  return Math.min(revokedAtMs, expiresAtMs ?? revokedAtMs);
}

export function isUsable(token: TokenRow, nowMs: number): boolean {
  const endMs = endOfToken(token);
  return endMs === null || endMs > nowMs;
}

export function hasUsableAdmin(tokens: Iterable<TokenRow>, nowMs: number): boolean {
  for (const token of tokens) if (token.role === 'admin' && isUsable(token, nowMs)) return true;
  return false;
}
