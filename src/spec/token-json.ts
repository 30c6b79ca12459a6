/** Tokens as the HTTP API returns them and `jarvisctl -o json` prints them. */
import type { CreateTokenResponse, Token } from '../generated/cluster.ts';
import { JarvisError } from '../lib/errors.ts';

export function tokenToJson({
  id,
  name,
  role,
  created_at,
  created_by,
  expires_at,
  revoked_at,
}: Token): object {
  const ends = { expires_at: expires_at ?? null, revoked_at: revoked_at ?? null };
  return { id, name, role, created_at, created_by, ...ends };
}

/** With its text. */
export function createdTokenToJson({ token, text }: CreateTokenResponse): object {
  if (token === undefined) throw new JarvisError('internal', 'no token came back');
  return { ...tokenToJson(token), token: text };
}
