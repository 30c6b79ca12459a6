/** Secrets of tokens: made, hashed for the state, and checked. */
import { randomBytes, randomInt, scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';

import { TOKEN_ID_CHARACTERS, TOKEN_SECRET_BYTES } from '../lib/token-text.ts';
import type { TokenParts } from '../lib/token-text.ts';
import type { SecretHash } from '../model/token.ts';

const derive = promisify<string, Buffer, number, { N: number; r: number; p: number; maxmem: number }, Buffer>(
  scrypt,
);
/**
 * 16 MiB and some 50 ms a check. Secrets are random, so that it is not the cost of a guess that protects them; it is there
 * for whoever gets hold of the state.
 */
const COST = { n: 2 ** 14, r: 8, p: 1 } as const;
const [SALT_BYTES, HASH_BYTES] = [16, 32];
const ID_ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';

export function newToken(): TokenParts {
  let id = '';
  while (id.length < TOKEN_ID_CHARACTERS) id += ID_ALPHABET[randomInt(ID_ALPHABET.length)];
  return { id, secret: randomBytes(TOKEN_SECRET_BYTES).toString('base64url') };
}

export async function hashSecret(secret: string): Promise<SecretHash> {
  const salt = randomBytes(SALT_BYTES);
  const hash = await derived(secret, salt, COST);
  return { salt: salt.toString('base64url'), hash: hash.toString('base64url'), ...COST };
}

/** Takes the same time whatever the secret is; with null, where there is nothing to compare with, too. */
export async function isSecret(secret: string, expected: SecretHash | null): Promise<boolean> {
  const { salt, hash, n, r, p } = expected ?? NOBODYS;
  const found = await derived(secret, Buffer.from(salt, 'base64url'), { n, r, p });
  return timingSafeEqual(found, Buffer.from(hash, 'base64url')) && expected !== null;
}

const NOBODYS: SecretHash = {
  salt: Buffer.alloc(SALT_BYTES).toString('base64url'),
  hash: Buffer.alloc(HASH_BYTES).toString('base64url'),
  ...COST,
};

function derived(secret: string, salt: Buffer, cost: Pick<SecretHash, 'n' | 'r' | 'p'>): Promise<Buffer> {
  const { n: N, r, p } = cost;
  // What OpenSSL needs is 128 · N · r, and a little.
  return derive(secret, salt, HASH_BYTES, { N, r, p, maxmem: 256 * N * r });
}
