/** Join tokens as JSON: what the HTTP API returns and `jarvisctl -o json` prints. */
import type { CreatedJoinToken, JoinToken } from '../generated/cluster.ts';

export function joinTokenToJson(token: JoinToken): object {
  return {
    id: token.id,
    name: token.name ?? null,
    created_at: token.created_at,
    created_by: token.created_by,
    expires_at: token.expires_at,
    uses: token.uses,
    uses_left: token.uses_left,
    used_by: token.used_by.map(({ node, at }) => ({ node, at })),
  };
}

/** With the token itself, which is shown this once. */
export function createdJoinTokenToJson({ info, token }: CreatedJoinToken): object {
  return { token, ...(info === undefined ? {} : joinTokenToJson(info)) };
}
