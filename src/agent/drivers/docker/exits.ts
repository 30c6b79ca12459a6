/** What the end of a container means for its attempt. Pure. */
import { unreachable } from '../../../lib/assert.ts';
import { messageOf } from '../../../lib/errors.ts';
import type { Exit } from '../driver.ts';
import type { Judgement } from './container-state.ts';
import type { Outage } from './engine-monitor.ts';
import { StartFailure } from './start-failure.ts';

export type Ending = Pick<Exit, 'exitCode' | 'signal' | 'reason' | 'message' | 'errorType'> & {
  /** Wall time, where the engine has told it. */
  readonly startedAtMs?: number;
  readonly finishedAtMs?: number;
};

export interface EndContext {
  /** What this node ended it for. */
  readonly cause: 'stopped' | 'timeout' | 'leaseLost' | null;
  readonly timeoutMs: number | null;
  /** Of the engine, the newest. */
  readonly outages: readonly Outage[];
}

const LEASE_LOST = 'the lease ran out: the node had no word of a quorum for too long';
/** The clocks are the same, but what is seen of the engine's end and return is a little late. */
const OUTAGE_SLACK_MS = 1000;

export function endOf(judgement: Judgement, { cause, timeoutMs, outages }: EndContext): Ending {
  const message = messageOfCause(cause, timeoutMs);
  const unseen = { exitCode: null, signal: null } as const;
  switch (judgement.type) {
    case 'ended': {
      const { exitCode, signal, startedAtMs, finishedAtMs } = judgement;
      const seen = { exitCode, signal, startedAtMs, finishedAtMs };
      if (cause !== null) return { ...seen, reason: cause, message };
      if (judgement.outOfMemory && exitCode !== 0)
        return {
          ...seen,
          reason: 'exited',
          errorType: 'OutOfMemory',
          message: 'ran out of the memory that it may use',
        };
      if (outages.some((outage) => wasEndedByEngine(judgement, outage)))
        return {
          ...seen,
          ...unseen,
          reason: 'unknown',
          message: 'the container engine was restarted, which ended it',
        };
      return { ...seen, reason: 'exited', message };
    }
    case 'gone':
      if (cause !== null) return { ...unseen, reason: cause, message };
      return { ...unseen, reason: 'unknown', message: 'the container was removed by somebody else' };
    case 'lost':
      if (cause !== null) return { ...unseen, reason: cause, message };
      return { ...unseen, reason: 'unknown', message: judgement.message };
    case 'created':
      return { ...unseen, reason: 'startFailed', message: judgement.error };
    case 'running':
      throw new TypeError('a container that runs has not ended');
    default:
      return unreachable(judgement);
  }
}

function messageOfCause(cause: EndContext['cause'], timeoutMs: number | null): string {
  if (cause === 'timeout') return `ran longer than ${(timeoutMs ?? 0) / 1000} s`;
  return cause === 'leaseLost' ? LEASE_LOST : '';
}

/** Of an attempt whose container was never started. */
export function endOfFailedStart(error: unknown, cause: EndContext['cause']): Ending {
  const none = { exitCode: null, signal: null } as const;
  if (cause !== null) return { ...none, reason: cause, message: 'stopped before it started' };
  const errorType = error instanceof StartFailure ? error.errorType : undefined;
  const what = errorType === undefined ? {} : { errorType };
  return { ...none, reason: 'startFailed', message: messageOf(error), ...what };
}

/** Asked by TERM to end, a task may well exit with 0: no code tells that from an end of its own. */
function wasEndedByEngine(
  { startedAtMs, finishedAtMs }: Extract<Judgement, { type: 'ended' }>,
  outage: Outage,
): boolean {
  const { fromMs, noticedMs, untilMs } = outage;
  // One that the engine started after its return is none of those that it ended.
  return (
    startedAtMs <= noticedMs &&
    finishedAtMs >= fromMs - OUTAGE_SLACK_MS &&
    (untilMs === null || finishedAtMs <= untilMs + OUTAGE_SLACK_MS)
  );
}
