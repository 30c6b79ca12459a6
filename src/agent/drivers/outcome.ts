/**
 * What an exit means for the task. Pure, so that the rules of docs/contract.md ("Error types") stand in one place and are
 * tested as a table.
 */
import { unreachable } from '../../lib/assert.ts';
import { isStorable } from '../../lib/storable-json.ts';
import { limits } from '../../lib/limits.ts';
import type { Exit } from './driver.ts';

export interface Outcome {
  readonly status: 'COMPLETED' | 'FAILED' | 'CANCELLED' | 'LOST';
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly error: { readonly type: string; readonly message: string } | null;
  /** The JSON value that the task left in its result file; `null` where it left none, none that parses, or too deep a one. */
  readonly result: unknown;
}

/** sysexits(3) codes that have a meaning for retries. */
const SYSEXITS: Readonly<Record<number, string>> = {
  65: 'InvalidInput',
  68: 'ConnectionTimeout',
  69: 'ServiceUnavailable',
  75: 'TemporaryFailure',
  77: 'AuthenticationError',
};

/** A longer type is no type: the file is then ignored. */
const MAX_ERROR_TYPE_LENGTH = 128;

/** The task's own word comes first, then its exit code, then what the node saw ("Error types"). */
export function outcomeOf(exit: Exit): Outcome {
  const { exitCode, signal } = exit;
  switch (exit.reason) {
    case 'stopped':
      return { status: 'CANCELLED', exitCode, signal, error: null, result: null };
    case 'leaseLost':
    case 'unknown':
      return {
        status: 'LOST',
        exitCode,
        signal,
        error: { type: 'NodeLost', message: exit.message },
        result: null,
      };
    case 'startFailed':
      return {
        status: 'FAILED',
        exitCode,
        signal,
        error: { type: exit.errorType ?? 'StartFailed', message: exit.message },
        result: null,
      };
    case 'exited':
    case 'timeout': {
      const result = resultOf(exit.resultFile);
      if (exit.reason === 'exited' && exitCode === 0)
        return { status: 'COMPLETED', exitCode, signal, error: null, result };
      const error = parseErrorFile(exit.errorFile) ?? sysexitsError(exit) ?? observedError(exit);
      return { status: 'FAILED', exitCode, signal, error, result };
    }
    default:
      return unreachable(exit.reason);
  }
}

function sysexitsError({ exitCode }: Exit): Outcome['error'] {
  const type = exitCode === null ? undefined : SYSEXITS[exitCode];
  return type === undefined ? null : { type, message: `exit code ${exitCode}` };
}

function observedError(exit: Exit): NonNullable<Outcome['error']> {
  if (exit.reason === 'timeout') return { type: 'Timeout', message: exit.message };
  if (exit.errorType !== undefined) return { type: exit.errorType, message: exit.message };
  if (exit.signal !== null) return { type: 'Signal', message: `ended by ${exit.signal}` };
  return { type: 'ExitCode', message: `exit code ${exit.exitCode}` };
}

function parseErrorFile(text: string | null): Outcome['error'] {
  const value = parseJson(text);
  if (typeof value !== 'object' || value === null || !('type' in value)) return null;
  const { type } = value;
  if (typeof type !== 'string' || type === '' || type.length > MAX_ERROR_TYPE_LENGTH) return null;
  return { type, message: 'message' in value && typeof value.message === 'string' ? value.message : '' };
}

/** One that no entry could hold must not keep the end of the attempt from the cluster. */
function resultOf(text: string | null): unknown {
  const value = parseJson(text);
  return isStorable(value, limits.resultDepth) ? value : null;
}

function parseJson(text: string | null): unknown {
  if (text === null) return null;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // A file of the task's that is no JSON counts as absent; its exit code still speaks.
    return null;
  }
}
