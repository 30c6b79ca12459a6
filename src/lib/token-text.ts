/**
 * What callers are given and show: `jarvis_<id>_<secret>`. The id is no secret: it says which row of the state to look
 * at. The secret is 256 random bits.
 */
const PATTERN = /^jarvis_([0-9a-z]{12})_([A-Za-z0-9_-]{43})$/;
/** Also what is only the beginning of one, or has more behind it; and those that nodes join with (`join-token.ts`). */
const ANYWHERE = /(jarvis_[0-9a-z]{12}_|jarvisjoin_[0-9a-z-]+_)[A-Za-z0-9_-]+/g;

export const TOKEN_SECRET_BYTES = 32;
export const TOKEN_ID_CHARACTERS = 12;

export interface TokenParts {
  readonly id: string;
  readonly secret: string;
}

export function tokenText({ id, secret }: TokenParts): string {
  return `jarvis_${id}_${secret}`;
}

/** Null where the text is no token. */
export function parseToken(text: string): TokenParts | null {
  const [, id, secret] = PATTERN.exec(text) ?? [];
  return id === undefined || secret === undefined ? null : { id, secret };
}

/** The text with the secrets of all tokens in it left out: for messages, logs and records. */
export function withoutTokens(text: string): string {
  return /jarvis(?:join)?_/.test(text) ? text.replaceAll(ANYWHERE, '$1…') : text;
}
