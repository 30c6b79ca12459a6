/**
 * Join tokens as text: `jarvisjoin_<id>_<secret>`, and `_<authority hash>` where the cluster has TLS. One word, which a
 * double click selects whole.
 */
import { hash, randomBytes } from 'node:crypto';

import { JarvisError } from './errors.ts';

const PREFIX = 'jarvisjoin';
const HASH_PREFIX = 'sha256:';
const SECRET_BYTES = 32;
const PATTERN = /^jarvisjoin_(join-[0-9a-z]{18})_([0-9a-f]{64})(?:_([0-9a-f]{64}))?$/;
const HASH_PATTERN = /^[0-9a-f]{64}$/;

export interface JoinToken {
  readonly id: string;
  readonly secret: string;
  /**
   * Of the key of the cluster's authority, as `authorityHash` says it, by which a node knows the cluster that it meets;
   * null: it has no TLS.
   */
  readonly authorityHash: string | null;
}

export function newSecret(): string {
  return randomBytes(SECRET_BYTES).toString('hex');
}

/** What the cluster remembers of a secret. */
export function hashOfSecret(secret: string): string {
  return hash('sha256', secret, 'hex');
}

export function isSecretHash(text: string): boolean {
  return HASH_PATTERN.test(text);
}

export function formatJoinToken({ id, secret, authorityHash }: JoinToken): string {
  return [
    PREFIX,
    id,
    secret,
    ...(authorityHash === null ? [] : [authorityHash.slice(HASH_PREFIX.length)]),
  ].join('_');
}

/** Says nothing of what stands in it: messages are logged. @throws JarvisError invalid */
export function parseJoinToken(text: string): JoinToken {
  const [, id, secret, hex] = PATTERN.exec(text.trim()) ?? [];
  if (id !== undefined && secret !== undefined)
    return { id, secret, authorityHash: hex === undefined ? null : `${HASH_PREFIX}${hex}` };
  const what = text.startsWith(`${PREFIX}_`) ? 'is cut off, or was changed' : 'is no join token';
  throw new JarvisError(
    'invalid',
    `${what} (${text.length} characters): it is one word that begins with ${PREFIX}_, as \`jarvisctl cluster join-token\` printed it`,
  );
}
