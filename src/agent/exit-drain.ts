/** Drains a node before it stops (`drain_on_exit`): it asks the cluster for that, as an operator would, and waits. */
import type { Clock } from '../lib/clock.ts';
import { messageOf } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { Log } from '../lib/log.ts';
import { formatDurationMs } from '../lib/quantities.ts';
import type { CallContext, ClusterOperations } from '../operations/port.ts';
import { pause } from '../operations/waiting.ts';

export interface ExitDrainOptions {
  readonly name: string;
  /** Of this daemon: the drain ends with it. */
  readonly startId: string;
  readonly deadlineMs: number;
  readonly operations: Pick<ClusterOperations, 'drainNode' | 'getNode'>;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Resolves once nothing is left on this node; also where the drain was not to be had, or was ended by an operator, and some
 * time after the deadline, whatever is left: that is stopped as without a drain.
 * @param signal aborted by whoever does not want to wait any more
 */
export async function drainBeforeExit(options: ExitDrainOptions, signal: AbortSignal): Promise<void> {
  const { name, startId, deadlineMs, operations, clock, log } = options;
  const caller = { token: null, address: '', node: { name, startId } };
  const context: CallContext = { caller, principal: `node ${name}`, signal, forwarded: false };
  const endMs = clock.monotonicMs() + deadlineMs + limits.exitDrainStopMs;
  try {
    const deadline = formatDurationMs(deadlineMs);
    const request = { name, deadline, grace: undefined, start_id: startId, idempotency_key: '' };
    const { warnings } = await operations.drainNode(request, context);
    log.info({ deadline, warnings }, 'draining before the stop');
  } catch (error) {
    if (!signal.aborted) log.error({ error: messageOf(error) }, 'stopping without a drain');
    return;
  }
  let left = -1;
  while (!signal.aborted) {
    const known = await tasksLeft(options, context);
    if (signal.aborted) return;
    if (known === 'drained') return log.info({}, 'drained: nothing is left here');
    if (known === 'undrained') return log.warn({}, 'an operator has ended the drain: stopping without it');
    if (known !== null && known !== left) log.info({ left: known }, 'draining');
    left = known ?? left;
    const leftMs = endMs - clock.monotonicMs();
    if (leftMs <= 0) return log.error({ left }, 'not drained in time: stopping with what is left');
    await unlessAborted(pause(clock, Math.min(limits.exitDrainPollMs, leftMs), signal), signal);
  }
}

/** Whoever hurries is no failure. */
async function unlessAborted(waiting: Promise<void>, signal: AbortSignal): Promise<void> {
  try {
    await waiting;
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

/** Null: nobody knows at present, such as during an election. */
async function tasksLeft(
  { name, operations, log }: ExitDrainOptions,
  context: CallContext,
): Promise<number | 'drained' | 'undrained' | null> {
  try {
    const { drain } = await operations.getNode({ name }, context);
    if (drain === undefined) return 'undrained';
    return drain.finished_at === undefined ? drain.tasks_left : 'drained';
  } catch (error) {
    if (!context.signal.aborted)
      log.warn({ error: messageOf(error) }, 'it is not known at present what is left');
    return null;
  }
}
