import { describe, expect, it } from 'vitest';

import { ERROR_CODES, JarvisError, type ErrorCode } from '../lib/errors.ts';
import { exitStatusOfError, exitStatusOfInterrupt, exitStatusOfTask } from './exit-status.ts';
import { fakeTask } from './fake-cluster.test-kit.ts';

/** docs/contract.md, section 1: 2 is the user's mistake, 3 a cluster that is not there, 124 a wait that ran out. */
const EXPECTED: Readonly<Record<ErrorCode, number>> = {
  malformed: 2,
  invalid: 2,
  ambiguous: 2,
  too_large: 2,
  unauthenticated: 1,
  forbidden: 1,
  not_found: 1,
  conflict: 1,
  idempotency_conflict: 1,
  too_many: 1,
  logs_unavailable: 1,
  compacted: 1,
  internal: 1,
  no_leader: 3,
  unavailable: 3,
  outcome_unknown: 3,
  timeout: 124,
};

describe('exit statuses', () => {
  it.each(Object.entries(EXPECTED))('%s is %i', (code, status) => {
    expect(exitStatusOfError(new JarvisError(code as ErrorCode, 'for a reason'))).toBe(status);
  });

  it('are known of every error, and 1 of what is no error of the product', () => {
    expect(Object.keys(EXPECTED).sort()).toEqual(Object.keys(ERROR_CODES).sort());
    expect(exitStatusOfError(new Error('a bug'))).toBe(1);
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
    [undefined, 130],
  ])('%s is %i', (signal, status) => {
    expect(exitStatusOfInterrupt(AbortSignal.abort(signal))).toBe(status);
  });

  it.each([
    [{ status: 'COMPLETED', exit_code: 0 }, 0],
    [{ status: 'PERMANENTLY_FAILED', exit_code: 42 }, 42],
    [{ status: 'PERMANENTLY_FAILED', signal: 'SIGKILL' }, 137],
    [{ status: 'PERMANENTLY_FAILED' }, 1],
    [{ status: 'PERMANENTLY_FAILED', exit_code: 3, error: { type: 'Timeout', message: '' } }, 1],
    [{ status: 'CANCELLED', exit_code: 3 }, 1],
    [{ status: 'SKIPPED' }, 1],
  ])('of a task that is %j is %i', (fields, status) => {
    expect(exitStatusOfTask(fakeTask(fields))).toBe(status);
  });
});
