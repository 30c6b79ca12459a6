import { describe, expect, it } from 'vitest';

import { backoffMs, decideRetry } from './retry.ts';
import { specOf } from './testing/values.ts';

const { retryPolicy: policy } = specOf();

describe('backoff', () => {
  it.each([
    [1, 2000],
    [2, 4000],
    [3, 8000],
    [8, 256_000],
    [9, 300_000],
    [1000, 300_000],
  ])('before retry %d is %d ms with the defaults', (retry, delayMs) => {
    expect(backoffMs(policy, retry)).toBe(delayMs);
  });

  it.each([
    [{ backoffBase: 1 }, 5, 1000],
    [{ backoffBase: 0 }, 5, 0],
    [{ backoffBase: 0.5 }, 2, 250],
    [{ backoffBase: 0.5 }, 1000, 0],
    [{ backoffBase: 1.5 }, 2, 2250],
    [{ backoffBase: 500 }, 1, 300_000],
    [{ maxBackoff: 0 }, 1, 0],
    [{ backoffStrategy: 'fixed' }, 7, 2000],
    [{ backoffStrategy: 'fixed', backoffBase: 600 }, 1, 600_000],
  ] as const)('with %o before retry %d is %d ms', (changes, retry, delayMs) => {
    expect(backoffMs({ ...policy, ...changes }, retry)).toBe(delayMs);
  });
});

describe('whether to retry', () => {
  it('counts executions', () => {
    const types = [0, 1, 2].map((retryCount) => decideRetry(policy, retryCount, 'ExitCode').type);
    expect(types).toEqual(['retry', 'retry', 'giveUp']);
    expect(decideRetry({ ...policy, maxAttempts: 1 }, 0, 'ExitCode').type).toBe('giveUp');
  });

  it.each([
    ['in the list of those that are not', { nonRetryableErrors: ['X'] }, 'X', 'giveUp'],
    ['in both lists', { retryableErrors: ['X'], nonRetryableErrors: ['X'] }, 'X', 'giveUp'],
    ['in neither list', { retryableErrors: ['Y'], nonRetryableErrors: ['Z'] }, 'X', 'retry'],
    ['of another case', { nonRetryableErrors: ['x'] }, 'X', 'retry'],
    ['by family', {}, 'ImageNotFound', 'giveUp'],
    ['by its own name before its family', { retryableErrors: ['ImageNotFound'] }, 'ImageNotFound', 'retry'],
  ] as const)('looks at the type: %s', (_what, changes, type, decision) => {
    expect(decideRetry({ ...policy, ...changes }, 0, type).type).toBe(decision);
  });
});
