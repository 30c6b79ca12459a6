/** The watchdog's own log: JSON lines in one bounded file, with one older file kept. */
import { appendFileSync, renameSync, statSync } from 'node:fs';

import { messageOf } from '../../lib/errors.ts';
import { WATCHDOG_LIMITS } from './limits.ts';

/** A constant message, data in fields. */
export type Diagnose = (message: string, fields?: Readonly<Record<string, unknown>>) => void;

export function diagnosticsTo(path: string): Diagnose {
  return (message, fields = {}) => {
    try {
      rotate(path);
      const time = new Date().toISOString();
      appendFileSync(path, `${JSON.stringify({ time, pid: process.pid, message, ...fields })}\n`, {
        mode: 0o600,
      });
    } catch (error) {
      // A full disk must not end the watchdog; stderr is the same file, or nothing.
      process.stderr.write(`${message}: ${messageOf(error)}\n`);
    }
  };
}

function rotate(path: string): void {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size > WATCHDOG_LIMITS.maxDiagnosticsBytes) renameSync(path, `${path}.1`);
}
