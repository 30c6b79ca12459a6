/**
 * The user's own file of clusters: `$XDG_CONFIG_HOME/jarvis/config.yaml`, mode 0600. Each context names a cluster's
 * peers and what is shown to them; one of them is the current one.
 */
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';

import { parse, stringify } from 'yaml';
import { z } from 'zod';

import { JarvisError, messageOf } from '../../lib/errors.ts';
import { lockFile } from '../../lib/file-lock.ts';
import { NAME_RULE, isName } from '../../lib/names.ts';

/** Paths of PEM files, absolute. gRPC asks clients for a certificate, so that all three are needed. */
export interface TlsFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** What one context says; what is absent has its default. */
export interface ContextSettings {
  /** `host:port` */
  readonly peers?: readonly string[] | undefined;
  readonly token?: string | undefined;
  readonly tls?: TlsFiles | undefined;
}

export interface ClientConfig {
  /** The name of the context that counts where none is asked for. */
  readonly current?: string | undefined;
  readonly contexts: Readonly<Record<string, ContextSettings>>;
}

const schema = z.strictObject({
  current: z.string().optional(),
  contexts: z
    .record(
      z.string().refine(isName, `allowed: ${NAME_RULE}`),
      z.strictObject({
        peers: z.array(z.string().min(1)).min(1).optional(),
        token: z.string().min(1).optional(),
        tls: z.strictObject({ ca: z.string(), cert: z.string(), key: z.string() }).optional(),
      }),
    )
    .default({}),
});

/** The XDG specification: a relative path is to be ignored. */
export function clientConfigFile(env: Readonly<Record<string, string | undefined>>): string {
  const configHome = env['XDG_CONFIG_HOME'];
  const usable = configHome !== undefined && path.isAbsolute(configHome);
  const directory = usable ? configHome : path.join(env['HOME'] ?? homedir(), '.config');
  return path.join(directory, 'jarvis', 'config.yaml');
}

/** @throws JarvisError not_found, with those that there are */
export function contextNamed(config: ClientConfig, name: string, file: string): ContextSettings {
  const context = Object.hasOwn(config.contexts, name) ? config.contexts[name] : undefined;
  if (context !== undefined) return context;
  const known = Object.keys(config.contexts).sort();
  const there = known.length === 0 ? 'it has none' : `it has ${known.join(', ')}`;
  throw new JarvisError('not_found', `there is no context ${JSON.stringify(name)} in ${file}; ${there}`);
}

/**
 * Without contexts where there is no file.
 * @throws JarvisError invalid where others may read it, since it holds secrets, or where it is damaged
 */
export function readClientConfig(file: string): ClientConfig {
  const text = readPrivate(file);
  if (text === null) return { contexts: {} };
  let plain: unknown;
  try {
    plain = parse(text) ?? {};
  } catch (error) {
    throw new JarvisError('invalid', `${file}: ${messageOf(error)}`, { cause: error });
  }
  const result = schema.safeParse(plain);
  if (!result.success) {
    // Only where it is wrong, and what is allowed there: what it says may be a secret.
    const faults = result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
    throw new JarvisError('invalid', `${file}: ${faults.join('; ')}`);
  }
  return result.data;
}

/** Nobody ever sees half of it, and changes that are made at the same time are made one after the other. */
export function changeClientConfig(file: string, change: (config: ClientConfig) => ClientConfig): void {
  const directory = path.dirname(file);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const lock = lockFile(`${file}.lock`);
  if (lock === null)
    throw new JarvisError('conflict', `${file} is being changed by another jarvisctl; try again`);
  const part = `${file}.new`;
  try {
    const changed = change(readClientConfig(file));
    rmSync(part, { force: true });
    writeFileSync(part, stringify(schema.parse(changed), { lineWidth: 0 }), {
      mode: 0o600,
      flag: 'wx',
      flush: true,
    });
    // Whatever the umask says, it is readable by its owner, and by nobody else.
    chmodSync(part, 0o600);
    renameSync(part, file);
  } finally {
    lock.release();
  }
}

function readPrivate(file: string): string | null {
  try {
    const { mode } = statSync(file);
    if ((mode & 0o077) !== 0) {
      const octal = (mode & 0o777).toString(8).padStart(4, '0');
      throw new JarvisError(
        'invalid',
        `${file} has mode ${octal}, so that others may read its tokens or change its peers; allowed: 0600 (chmod 600 ${file})`,
      );
    }
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof JarvisError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw new JarvisError('invalid', `cannot read ${file}: ${messageOf(error)}`, { cause: error });
  }
}
