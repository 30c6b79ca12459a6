/**
 * Where `dev` keeps a local cluster: `$XDG_STATE_HOME/jarvis/dev`, with a folder per node beside `dev.json`, which
 * remembers the nodes' addresses. They are part of the cluster, so a restart uses the same ones.
 */
import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { z } from 'zod';

import { JarvisError } from '../../lib/errors.ts';
import { lockFile } from '../../lib/file-lock.ts';
import type { FileLock } from '../../lib/file-lock.ts';

const recordSchema = z.object({
  /** The `dev` that wrote it. */
  pid: z.number().int(),
  nodes: z
    .array(
      z.object({
        name: z.string(),
        listen: z.string(),
        http: z.string(),
        /** The daemon, to end it if this `dev` should die before it; absent until it has started. */
        process: z.object({ pid: z.number().int(), startTime: z.string() }).optional(),
      }),
    )
    .min(1),
});

export type DevRecord = z.infer<typeof recordSchema>;
export type DevNode = DevRecord['nodes'][number];

export function devDirectory(env: Readonly<Record<string, string | undefined>>): string {
  const stateHome = env['XDG_STATE_HOME'];
  // The XDG specification: a relative path is to be ignored.
  const usable = stateHome !== undefined && isAbsolute(stateHome);
  return join(usable ? stateHome : join(homedir(), '.local', 'state'), 'jarvis', 'dev');
}

export function nodeDirectory(directory: string, node: { readonly name: string }): string {
  return join(directory, node.name);
}

/** Beside the node's directory: a new node takes only one that is empty. */
export function nodeLog(directory: string, node: { readonly name: string }): string {
  return join(directory, `${node.name}.log`);
}

/** One `dev` a directory. @throws JarvisError conflict where another has it, with where its nodes are */
export function lockDirectory(directory: string): FileLock {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const lock = lockFile(join(directory, 'dev.lock'));
  if (lock !== null) return lock;
  const record = readRecord(directory);
  const peers =
    record === null ? '' : `, its nodes are at ${record.nodes.map((node) => node.listen).join(', ')}`;
  const pid = record === null ? '' : ` (pid ${record.pid})`;
  throw new JarvisError('conflict', `a dev cluster already runs${pid} with the data in ${directory}${peers}`);
}

/** @returns null where there is none. @throws JarvisError invalid where it is damaged */
export function readRecord(directory: string): DevRecord | null {
  const path = join(directory, 'dev.json');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  try {
    return recordSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new JarvisError('invalid', `${path} is damaged; --fresh begins anew, without the cluster's data`, {
      cause: error,
    });
  }
}

/** Replaces it as a whole, so that no reader sees half of one. */
export function writeRecord(directory: string, record: DevRecord): void {
  const path = join(directory, 'dev.json');
  writeFileSync(`${path}.new`, `${JSON.stringify(record, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** Removes what a former `dev` made here, and nothing else that somebody may have put beside it. */
export function removeData(directory: string): void {
  for (const name of readdirSync(directory)) {
    if (name === 'dev.json' || name === 'dev.json.new' || /^n\d+(\.log)?$/.test(name))
      rmSync(join(directory, name), { recursive: true, force: true });
  }
}
