/**
 * An earlier build of this repository: the sources of a commit, laid out in a directory of their own, run with the packages
 * of this one.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';

/** The newest commit whose members know nothing of cluster versions, and of commands no later one than the first. */
export const FIRST_VERSION_COMMIT = 'b76e38a990e4770e7952670904db972799301fae';

const root = path.join(import.meta.dirname, '../..');

/** Why the commit cannot be had here, or null where it can: a checkout may be shallow, or none at all. */
export function historyObstacle(commit: string): string | null {
  const found = spawnSync('git', ['-C', root, 'cat-file', '-e', `${commit}^{commit}`], { encoding: 'utf8' });
  if (found.error !== undefined) return `git cannot be run: ${found.error.message}`;
  return found.status === 0 ? null : `commit ${commit} is not in the history that is here`;
}

/** @returns the path of its `jarvisd` */
export function layOutBuild(commit: string, directory: string): string {
  mkdirSync(directory);
  const files = execFileSync('git', ['-C', root, 'archive', commit, 'package.json', 'src', 'proto'], {
    maxBuffer: 2 ** 28,
  });
  execFileSync('tar', ['-x', '-C', directory], { input: files });
  symlinkSync(path.join(root, 'node_modules'), path.join(directory, 'node_modules'));
  return path.join(directory, 'src/agent/main.ts');
}
