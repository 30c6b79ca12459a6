/** The join token that a node was given: by a setting, or in a file, which no list of processes shows. */
import { readFileSync } from 'node:fs';

import { JarvisError, messageOf, type Fault } from '../lib/errors.ts';
import { parseJoinToken, type JoinToken } from '../lib/join-token.ts';

const VARIABLE = 'JARVISD_JOIN_TOKEN';
const MOST_CHARACTERS = 4096;

export interface JoinCredentials {
  /** The token itself; null: it is in the file, or there is none. */
  readonly joinToken: string | null;
  readonly joinTokenFile: string | null;
}

/** Checks settings as they come. What is wrong with a token is said without it. */
export function parseJoinCredentials(
  raw: { readonly join_token?: unknown; readonly join_token_file?: unknown },
  faults: Fault[],
): JoinCredentials {
  const { join_token: token = null, join_token_file: file = null } = raw;
  if (token !== null && file !== null)
    faults.push({
      path: 'join_token',
      message: 'and join_token_file exclude each other: one of them says it',
    });
  if (file !== null && (typeof file !== 'string' || file === ''))
    faults.push({ path: 'join_token_file', message: 'is not a path' });
  if (token !== null) {
    try {
      parseJoinToken(typeof token === 'string' ? token : '');
    } catch (error) {
      faults.push({ path: 'join_token', message: messageOf(error) });
    }
  }
  return {
    joinToken: typeof token === 'string' ? token.trim() : null,
    joinTokenFile: typeof file === 'string' ? file : null,
  };
}

/**
 * The token, read only now: once the node is in, the file may be gone.
 * @returns null where there is none
 * @throws JarvisError invalid, without the token in its message
 */
export function joinTokenOf(credentials: JoinCredentials): (JoinToken & { readonly text: string }) | null {
  const { joinToken, joinTokenFile } = credentials;
  if (joinToken !== null) return { ...parseJoinToken(joinToken), text: joinToken };
  if (joinTokenFile === null) return null;
  try {
    const text = readFileSync(joinTokenFile, 'utf8').slice(0, MOST_CHARACTERS).trim();
    return { ...parseJoinToken(text), text };
  } catch (error) {
    throw new JarvisError('invalid', `join_token_file: ${joinTokenFile}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** What runs on this node inherits the variables of the daemon where nothing else is said. */
export function forgetVariable(environment: Record<string, string | undefined>): void {
  delete environment[VARIABLE];
}
