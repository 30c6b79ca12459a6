/**
 * What can be done about limits where there are no control groups (`isolation: none`): an address space that is bounded,
 * process by process. A share of the processor has no rlimit at all (RLIMIT_CPU counts seconds, and then kills), and
 * RLIMIT_NPROC counts all that runs under the user, other attempts included, and root never: these two are refused.
 */
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';

import type { AttemptSpec } from '../drivers/driver.ts';
import { StartFailure } from './start-failure.ts';

/** Of util-linux. It sets the limit and becomes the command: the pid, the exit and its signals are the command's own. */
const PRLIMIT = ['/usr/bin/prlimit', '/bin/prlimit'];

/** @returns the command to start, the limits included. @throws StartFailure */
export function limitedCommand({ command, limits, env }: AttemptSpec, directory: string): readonly string[] {
  const missing = [
    limits.cpuMillis === null ? null : 'limits.cpu',
    limits.pids === null ? null : 'limits.pids',
  ].filter((name) => name !== null);
  if (missing.length > 0)
    throw new StartFailure(`this node has no control groups to enforce ${missing.join(' and ')} with`);
  if (limits.memoryBytes === null) return command;
  const prlimit = PRLIMIT.find(isExecutable);
  if (prlimit === undefined)
    throw new StartFailure('this node has neither control groups nor prlimit to enforce limits.memory with');
  const [file = ''] = command;
  // That it cannot be executed would be prlimit's exit code otherwise, which might be the command's.
  if (!candidatesOf(file, env['PATH'] ?? '', directory).some(isExecutable))
    throw new StartFailure(`cannot start ${JSON.stringify(file)}: not found, or not executable`);
  return [prlimit, `--as=${limits.memoryBytes}`, '--', ...command];
}

function candidatesOf(file: string, path: string, directory: string): readonly string[] {
  if (file.includes('/')) return [resolve(directory, file)];
  return path.split(delimiter).map((folder) => join(resolve(directory, folder), file));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    // For whatever reason: it cannot be executed.
    return false;
  }
}
