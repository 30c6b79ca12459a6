/** Whether a failed attempt is tried again, and when (use case 4; contract, section 3, "Retry" and "Error types"). */
import type { RetryPolicy } from '../../model/task.ts';

/** Types that a node reports and that policies name by their family. */
const FAMILY: Readonly<Record<string, string>> = {
  ImageNotFound: 'ResourceNotFound',
  ImagePullFailed: 'ServiceUnavailable',
};

export type RetryDecision =
  | { readonly type: 'retry'; readonly delayMs: number }
  | { readonly type: 'giveUp'; readonly reason: string };

/**
 * @param retryCount retries so far: the failure at hand is that of execution `retryCount + 1`
 * @param errorType a type in neither list is retried
 */
export function decideRetry(policy: RetryPolicy, retryCount: number, errorType: string): RetryDecision {
  const names = [errorType, FAMILY[errorType] ?? errorType];
  const listed = (list: readonly string[]): boolean => names.some((name) => list.includes(name));
  if (listed(policy.nonRetryableErrors) && !policy.retryableErrors.includes(errorType)) {
    return { type: 'giveUp', reason: `error type ${errorType} is not retried` };
  }
  if (retryCount + 1 >= policy.maxAttempts) {
    return { type: 'giveUp', reason: `all ${policy.maxAttempts} attempts failed` };
  }
  return { type: 'retry', delayMs: backoffMs(policy, retryCount + 1) };
}

/** Before retry k: min(base^k, max) seconds, or the base itself where the strategy is fixed. In milliseconds. */
export function backoffMs(policy: RetryPolicy, retry: number): number {
  let seconds = policy.backoffBase;
  if (policy.backoffStrategy === 'exponential') {
    // By multiplication: Math.pow may differ between versions, and replicas must agree to the bit.
    for (let k = 1; k < retry && seconds < policy.maxBackoff && policy.backoffBase > 1; k += 1) {
      seconds *= policy.backoffBase;
    }
    if (policy.backoffBase < 1) for (let k = 1; k < retry && k < 64; k += 1) seconds *= policy.backoffBase;
  }
  return Math.round(Math.min(seconds, policy.maxBackoff) * 1000);
}
