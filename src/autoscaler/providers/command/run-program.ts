/** One program: JSON in, JSON out, within bounds of time and size. It is a session of its own, and ends with all that it began. */
import { spawn } from 'node:child_process';

import { isErrno } from '../../../lib/errno.ts';
import { messageOf } from '../../../lib/errors.ts';
import { onAbort } from '../../../lib/abort.ts';
import { withoutVariables } from '../node-variables.ts';
import { ProviderError } from '../provider.ts';

const MOST_OUTPUT_BYTES = 4 * 1024 * 1024;
const MOST_ERROR_BYTES = 8192;

export interface ProgramResult {
  /** Null where a signal ended it. */
  readonly exitCode: number | null;
  readonly stdout: string;
  /** The end of it. */
  readonly stderr: string;
}

/** @throws ProviderError invalid where it cannot be started; unavailable where it says too much, or is given up */
export async function runProgram(
  command: readonly string[],
  input: string,
  signal: AbortSignal,
): Promise<ProgramResult> {
  const [program = '', ...args] = command;
  const { promise, resolve, reject } = Promise.withResolvers<ProgramResult>();
  const child = spawn(program, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
    // A program of an operator is told nothing of this node's settings.
    env: withoutVariables(process.env),
  });
  const killAll = (): void => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch (error) {
      // All of them have ended, or are another user's.
      if (!isErrno(error, 'ESRCH', 'EPERM')) throw error;
    }
  };
  const fail = (error: ProviderError): void => {
    reject(error);
    killAll();
  };
  const giveUp = (): void =>
    fail(
      new ProviderError('unavailable', `${program}: ${messageOf(signal.reason)}`, { cause: signal.reason }),
    );
  const ignore = onAbort(signal, giveUp);
  const output: Buffer[] = [];
  let outputBytes = 0;
  let stderr = Buffer.alloc(0);
  child.stdout.on('data', (piece: Buffer) => {
    outputBytes += piece.length;
    if (outputBytes > MOST_OUTPUT_BYTES)
      fail(new ProviderError('unavailable', `${program} wrote more than ${MOST_OUTPUT_BYTES} bytes`));
    else output.push(piece);
  });
  child.stderr.on('data', (piece: Buffer) => {
    stderr = Buffer.concat([stderr, piece]).subarray(-MOST_ERROR_BYTES);
  });
  child.once('error', (cause) =>
    fail(new ProviderError('invalid', `${program} cannot be started: ${cause.message}`, { cause })),
  );
  // What it has left behind may hold its output open, which would then never end.
  child.once('exit', killAll);
  child.once('close', (exitCode) =>
    resolve({ exitCode, stdout: Buffer.concat(output).toString(), stderr: stderr.toString().trim() }),
  );
  // One that reads nothing is none the worse.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  try {
    return await promise;
  } finally {
    ignore();
    // One that has left its session may hold them still.
    child.stdout.destroy();
    child.stderr.destroy();
  }
}
