/** Whether a failed attempt is tried again, and when (docs/contract.md, section 3). */
import type { RetryPolicy } from '../../model/task.ts';

/** Types that a node reports and that policies know by their family as well. */
const FAMILIES: ReadonlyMap<string, string> = new Map([
  ['ImageNotFound', 'ResourceNotFound'],
  ['ImagePullFailed', 'ServiceUnavailable'],
]);
/** Beyond it a base below 1 has long come to nothing. */
const SHRINKING_STEPS = 64;

export type RetryDecision =
  | { readonly type: 'retry'; readonly delayMs: number }
  | { readonly type: 'giveUp'; readonly reason: string };

/**
 * @param retryCount retries so far: the failure at hand is that of execution `retryCount + 1`
 * @param errorType its own name in a list counts before its family's; a type in neither list is retried
 */
export function decideRetry(policy: RetryPolicy, retryCount: number, errorType: string): RetryDecision {
  if (!isRetryable(policy, errorType)) {
    return { type: 'giveUp', reason: `error type ${errorType} is not retried` };
  }
  if (retryCount + 1 >= policy.maxAttempts) {
    const { maxAttempts } = policy;
    return {
      type: 'giveUp',
      reason: maxAttempts === 1 ? 'its one attempt failed' : `all ${maxAttempts} attempts failed`,
    };
  }
  return { type: 'retry', delayMs: backoffMs(policy, retryCount + 1) };
}

function isRetryable(policy: RetryPolicy, errorType: string): boolean {
  if (policy.nonRetryableErrors.includes(errorType)) return false;
  if (policy.retryableErrors.includes(errorType)) return true;
  const family = FAMILIES.get(errorType);
  return family === undefined || !policy.nonRetryableErrors.includes(family);
}

/** Before retry k: min(base^k, max) seconds; `fixed` waits the base. In milliseconds. */
export function backoffMs(policy: RetryPolicy, retry: number): number {
  const { backoffBase: base, maxBackoff } = policy;
  if (policy.backoffStrategy === 'fixed') return Math.round(base * 1000);
  let seconds = base;
  // By multiplication: Math.pow may differ between versions, and replicas must agree to the bit.
  const steps = base > 1 ? retry : Math.min(retry, SHRINKING_STEPS);
  for (let k = 1; k < steps; k += 1) {
    seconds *= base;
    if (base > 1 && seconds >= maxBackoff) break;
  }
  return Math.round(Math.min(seconds, maxBackoff) * 1000);
}
