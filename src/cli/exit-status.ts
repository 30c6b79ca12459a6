/** Exit statuses (docs/contract.md, section 1): what a finished task, an error or a signal becomes. */
import { constants } from 'node:os';
import { ERROR_CODES, JarvisError } from '../lib/errors.ts';
import type { Task } from '../generated/cluster.ts';

export const EXIT_OK = 0;
export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;
const EXIT_INTERRUPTED = 130;
/** 128 + SIGPIPE: `run` whose reader went away does not know how its task ends. */
export const EXIT_BROKEN_PIPE = 141;

const TERMINAL_STATUSES: ReadonlySet<string> = new Set([
  'COMPLETED',
  'PERMANENTLY_FAILED',
  'CANCELLED',
  'SKIPPED',
]);

export function isTerminal(task: Task): boolean {
  return TERMINAL_STATUSES.has(task.status);
}

/** The task's own exit code; 128 + n where signal n ended it; 1 where it has neither, was cancelled or timed out. */
export function exitStatusOfTask(task: Task): number {
  if (task.status === 'COMPLETED') return EXIT_OK;
  if (task.status !== 'PERMANENTLY_FAILED' || task.error?.type === 'Timeout') return EXIT_FAILED;
  if (task.exit_code !== undefined && task.exit_code !== 0) return task.exit_code;
  if (task.signal !== undefined) return 128 + signalNumber(task.signal);
  return EXIT_FAILED;
}

/** Whether a shell's user would learn nothing from the exit status alone. */
export function needsExplanation(task: Task): boolean {
  if (task.status === 'COMPLETED') return false;
  return (
    task.status !== 'PERMANENTLY_FAILED' || task.exit_code === undefined || task.error?.type === 'Timeout'
  );
}

export function exitStatusOfError(error: unknown): number {
  return error instanceof JarvisError ? ERROR_CODES[error.code].exit : EXIT_FAILED;
}

export function exitStatusOfInterrupt(signal: AbortSignal): number {
  return typeof signal.reason === 'string' ? 128 + signalNumber(signal.reason) : EXIT_INTERRUPTED;
}

function signalNumber(name: string): number {
  const table: Readonly<Record<string, number>> = constants.signals;
  return table[name] ?? 0;
}
