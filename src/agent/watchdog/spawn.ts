/** Starts the main process of an attempt, and says in plain words why one cannot be started. */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { closeSync, fchownSync } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import { Socket } from 'node:net';
import { isAbsolute } from 'node:path';
import type { Readable } from 'node:stream';

import { invariant } from '../../lib/assert.ts';
import { messageOf } from '../../lib/errors.ts';
import type { AttemptSpec } from '../drivers/driver.ts';
import { errorFilePath, resultFilePath, workDirectory } from './paths.ts';
import type { Pipe, PipePool } from './pipes.ts';
import type { Markers } from './processes.ts';
import { StartFailure } from './start-failure.ts';
import type { Identity } from './users.ts';

export interface Started {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly stdout: Readable;
  readonly stderr: Readable;
}

export function markersOf(
  spec: Pick<AttemptSpec, 'taskId' | 'attempt' | 'fencingToken'>,
  directory: string,
): Markers {
  return {
    taskId: spec.taskId,
    attempt: String(spec.attempt),
    fencingToken: spec.fencingToken,
    errorFile: errorFilePath(directory),
  };
}

/** What `env` must not change: the attempt is found again by it. */
export function environmentOf(
  spec: AttemptSpec,
  directory: string,
  identity: Identity | null,
): Record<string, string> {
  return {
    // Another user's is not the node's.
    ...(identity === null ? {} : { HOME: identity.home ?? '/' }),
    ...spec.env,
    JARVIS_TASK_ID: spec.taskId,
    JARVIS_ATTEMPT: String(spec.attempt),
    JARVIS_FENCING_TOKEN: spec.fencingToken,
    JARVIS_ERROR_FILE: errorFilePath(directory),
    JARVIS_RESULT_FILE: resultFilePath(directory),
  };
}

/** @throws StartFailure where the command can never be executed */
export function checkCommand({ command, env }: AttemptSpec): void {
  if (command[0] === undefined || command[0] === '') throw new StartFailure('the command is empty');
  for (const [index, word] of command.entries())
    if (word.includes('\0')) throw new StartFailure(`word ${index} of the command holds a NUL character`);
  for (const [name, value] of Object.entries(env)) {
    if (name === '' || name.includes('=') || name.includes('\0'))
      throw new StartFailure(`${JSON.stringify(name)} is no name of an environment variable`);
    if (value.includes('\0'))
      throw new StartFailure(`the environment variable ${name} holds a NUL character`);
  }
}

/** @returns the directory to run in. @throws StartFailure where there is none */
export async function prepareWorkingDirectory(spec: AttemptSpec, directory: string): Promise<string> {
  const { workingDir } = spec;
  if (workingDir === null) {
    const own = workDirectory(directory);
    await mkdir(own, { recursive: true, mode: 0o700 });
    return own;
  }
  if (!isAbsolute(workingDir) || workingDir.includes('\0'))
    throw new StartFailure(`the working directory ${JSON.stringify(workingDir)} is no absolute path`);
  let isDirectory: boolean;
  try {
    isDirectory = (await stat(workingDir)).isDirectory();
  } catch (error) {
    throw new StartFailure(`the working directory ${workingDir} cannot be used: ${explain(error)}`, {
      cause: error,
    });
  }
  if (!isDirectory) throw new StartFailure(`the working directory ${workingDir} is no directory`);
  return workingDir;
}

interface StartOptions {
  /** The program and its arguments, as they are executed. */
  readonly command: readonly string[];
  readonly env: Record<string, string>;
  readonly cwd: string;
  /** `null`: as the node itself. */
  readonly identity: Identity | null;
  readonly pipes: PipePool;
  /** Asked right before the fork. */
  readonly mayStart: () => boolean;
  /** Runs what forks. */
  readonly enclose: <T>(spawn: () => T) => T;
}

/**
 * In a session and process group of its own, with no input.
 * @returns null where it may no longer start. @throws StartFailure
 */
export async function startProcess(spec: AttemptSpec, options: StartOptions): Promise<Started | null> {
  const taken: (Pipe | null)[] = [];
  try {
    // One after the other: what was taken before a failure must be given back.
    taken.push(await options.pipes.take());
    taken.push(await options.pipes.take());
    if (options.mayStart()) return await fork(options, taken);
  } catch (error) {
    for (const pipe of taken) if (pipe !== null) closeSync(pipe.readDescriptor);
    throw new StartFailure(`cannot start ${JSON.stringify(spec.command[0])}: ${explain(error)}`, {
      cause: error,
    });
  } finally {
    for (const pipe of taken) if (pipe !== null) closeSync(pipe.writeDescriptor);
  }
  for (const pipe of taken) if (pipe !== null) closeSync(pipe.readDescriptor);
  return null;
}

async function fork(
  { command, env, cwd, identity, enclose }: StartOptions,
  [stdout = null, stderr = null]: readonly (Pipe | null)[],
): Promise<Started> {
  const [file = '', ...words] = command;
  // Who may write to a pipe may also open it by its name, /dev/stdout, only if it is theirs.
  if (identity !== null)
    for (const pipe of [stdout, stderr])
      if (pipe !== null) fchownSync(pipe.writeDescriptor, identity.uid, identity.gid);
  const child = enclose(() =>
    spawn(file, words, {
      cwd,
      env,
      detached: true,
      ...(identity === null ? {} : { uid: identity.uid, gid: identity.gid }),
      stdio: ['ignore', stdout?.writeDescriptor ?? 'pipe', stderr?.writeDescriptor ?? 'pipe'],
    }),
  );
  const { pid } = child;
  if (pid === undefined) throw await failureOf(child);
  return { child, pid, stdout: readEnd(stdout, child.stdout), stderr: readEnd(stderr, child.stderr) };
}

/** The socket owns the descriptor from here on. */
function readEnd(pipe: Pipe | null, ownPipe: Readable | null): Readable {
  if (pipe !== null) return new Socket({ fd: pipe.readDescriptor, readable: true, writable: false });
  invariant(ownPipe !== null, "'pipe' gives a stream");
  return ownPipe;
}

async function failureOf(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve) => {
    child.once('error', resolve);
  });
}

function explain(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  switch (code) {
    case 'ENOENT':
      return 'not found';
    case 'EACCES':
      return 'permission denied, or not executable';
    case 'E2BIG':
      return 'the command and its environment are too long';
    case 'ENOTDIR':
      return 'a part of the path is no directory';
    case 'EAGAIN':
    case 'ENOMEM':
      return `the machine has no room for another process (${code})`;
    default:
      return messageOf(error);
  }
}
