/** User name and password for a registry, from the file that the node's policy names: read anew for each pull. */
import { readFile } from 'node:fs/promises';

import { z } from 'zod';

import { messageOf } from '../../../lib/errors.ts';
import type { Credentials } from './engine.ts';
import { StartFailure } from './start-failure.ts';

const plainSchema = z.strictObject({ username: z.string(), password: z.string() });
/** What `docker login` writes. */
const dockerSchema = z.object({ auths: z.record(z.string(), z.object({ auth: z.string() })) });
/** docker.io under which `docker login` files it. */
const DOCKER_HUB_KEY = 'https://index.docker.io/v1/';

/**
 * @returns null where the policy names no file for the registry
 * @throws StartFailure AuthenticationError, which never repeats what the file holds
 */
export async function credentialsFor(
  registry: string,
  files: ReadonlyMap<string, string>,
): Promise<Credentials | null> {
  const file = files.get(registry);
  if (file === undefined) return null;
  let value: unknown;
  try {
    value = JSON.parse(await readFile(file, 'utf8')) as unknown;
  } catch (error) {
    // What does not parse may be the secret itself.
    const why = error instanceof SyntaxError ? 'is no JSON' : messageOf(error);
    throw failure(registry, file, why);
  }
  const plain = plainSchema.safeParse(value);
  if (plain.success) return plain.data;
  const docker = dockerSchema.safeParse(value);
  const { auths } = docker.data ?? { auths: {} };
  const entry = auths[registry] ?? (registry === 'docker.io' ? auths[DOCKER_HUB_KEY] : undefined);
  const decoded = Buffer.from(entry?.auth ?? '', 'base64').toString('utf8');
  const colon = decoded.indexOf(':');
  if (colon < 0) {
    const wanted = `is neither {"username", "password"} nor what docker login writes for ${registry}`;
    throw failure(registry, file, wanted);
  }
  return { username: decoded.slice(0, colon), password: decoded.slice(colon + 1) };
}

/** What could carry a password in another form: base64 of either alphabet. */
const ENCODED = /[A-Za-z0-9+/_-]{4,}/g;

/** What an engine or a registry has said, without the password, should it repeat it: plain, or within base64. */
export function withoutPassword(text: string, credentials: Credentials | null): string {
  const password = credentials?.password ?? '';
  if (password === '') return text;
  return text
    .replaceAll(password, '…')
    .replaceAll(ENCODED, (word) =>
      Buffer.from(word, 'base64').toString('utf8').includes(password) ? '…' : word,
    );
}

function failure(registry: string, file: string, why: string): StartFailure {
  const message = `the credentials of this node for ${registry} cannot be used: ${file} ${why}`;
  return new StartFailure(message, { errorType: 'AuthenticationError' });
}
