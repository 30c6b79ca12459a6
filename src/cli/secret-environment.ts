/**
 * `--secret-env`: sensitive variables of a task. Their values come from the environment of jarvisctl or from a file, and never
 * from its command line, which other users of the machine see.
 */
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';

import { JarvisError, messageOf } from '../lib/errors.ts';
import { quoted } from '../lib/quoted.ts';

const FLAG = '--secret-env';
/** What the variables of a task may come to in all. */
const MOST_BYTES = 2 ** 20;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

interface SensitiveValue {
  readonly value: string;
  readonly sensitive: true;
}

/** Not looked at yet: what is wrong with one is said by {@link secretEnvironment}, without what it may hold. */
export function collectSecrets(text: string, previous: readonly string[] | undefined): readonly string[] {
  return [...(previous ?? []), text];
}

/**
 * @param given each `NAME` or `NAME=@file`
 * @param shown what `--env` says: no name may be in both
 * @throws JarvisError invalid, never with a value
 */
export function secretEnvironment(
  given: readonly string[],
  shown: ReadonlyMap<string, string>,
  env: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, SensitiveValue>> {
  const found = new Map<string, SensitiveValue>();
  for (const text of given) {
    const at = text.indexOf('=');
    const name = at === -1 ? text : text.slice(0, at);
    const source = at === -1 ? null : text.slice(at + 1);
    if (name === '') throw invalid('a name is missing; allowed: NAME or NAME=@file');
    if (found.has(name) || shown.has(name)) throw invalid(`${quoted(name)} is given twice`);
    found.set(name, { value: valueOf(name, source, env), sensitive: true });
  }
  return Object.fromEntries(found);
}

function valueOf(
  name: string,
  source: string | null,
  env: Readonly<Record<string, string | undefined>>,
): string {
  if (source === null) {
    const value = env[name];
    if (value !== undefined) return value;
    throw invalid(`${quoted(name)} is not set in the environment of jarvisctl`);
  }
  if (!source.startsWith('@') || source === '@')
    throw invalid(
      `the value of ${quoted(name)} must not stand in the command line, where others see it; ` +
        `allowed: ${FLAG} NAME, which takes it from the environment, or ${FLAG} NAME=@file`,
    );
  return textOf(source.slice(1));
}

/** Without the line break at its end, which editors put there. */
function textOf(file: string): string {
  let bytes: Buffer;
  try {
    bytes = bytesOf(file);
  } catch (error) {
    throw invalid(`cannot read ${quoted(file)}: ${messageOf(error)}`, error);
  }
  try {
    return utf8.decode(bytes).replace(/\r?\n$/, '');
  } catch (error) {
    throw invalid(`${quoted(file)} is not UTF-8`, error);
  }
}

/** Of a pipe too, as `<(…)` of a shell is one. */
function bytesOf(file: string): Buffer {
  const descriptor = openSync(file, 'r');
  try {
    if (fstatSync(descriptor).size > MOST_BYTES) throw new Error('it has more than 1 MiB');
    return readFileSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function invalid(message: string, cause?: unknown): JarvisError {
  return new JarvisError('invalid', `${FLAG}: ${message}`, { cause });
}
