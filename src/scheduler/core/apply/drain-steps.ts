/** How a drain goes on: what the leader's timer says, and that nothing is left. */
import type { DrainOverdueCommand, NodeDrainedCommand, Outcome } from '../../../model/commands.ts';
import { drainOf } from '../../../model/earlier-rows.ts';
import type { NodeDrain, NodeRow } from '../../../model/node.ts';
import type { Transaction } from '../transaction.ts';
import { done, refuse } from './outcomes.ts';
import type { Refused } from './outcomes.ts';
import { stoppingForDrain, withAttempt } from './task-changes.ts';

export interface DrainOverdueResult {
  /** Tasks that are stopped there from now on. */
  readonly stopped: readonly string[];
}

/**
 * What is there is to be stopped. That moves nothing yet: a task goes back to the queue when its node says that the attempt
 * is over, or with the node itself.
 */
export function drainOverdue(
  transaction: Transaction,
  command: DrainOverdueCommand,
): Outcome<DrainOverdueResult> {
  const named = drainNamed(transaction, command);
  if (named.type === 'refused') return named;
  const { node, drain } = named;
  if (drain.isOverdue || transaction.nowMs < drain.deadlineMs)
    return refuse('conflict', `the deadline of node ${node.name} has not passed, or that was said before`);
  const stopped = [...transaction.state.tasksOn(node.name)].sort();
  for (const taskId of stopped) {
    const task = transaction.task(taskId);
    if (task === null) continue;
    const statusReason = task.cancelRequested ? task.statusReason : stoppingForDrain(node.name);
    transaction.putTask({ ...withAttempt(task, { stopFor: 'drain' }), statusReason });
  }
  transaction.put('node', node.name, { ...node, drain: { ...drain, isOverdue: true } });
  return done({ stopped });
}

export function nodeDrained(transaction: Transaction, command: NodeDrainedCommand): Outcome<null> {
  const named = drainNamed(transaction, command);
  if (named.type === 'refused') return named;
  const { node, drain } = named;
  const left = transaction.state.tasksOn(node.name).size;
  if (left > 0 || !node.sessionOpen || !node.reconciled)
    return refuse('conflict', `node ${node.name} is not empty, or not in contact: ${left} tasks are on it`);
  if (drain.finishedAtMs !== null) return done(null);
  const finished = { ...drain, finishedAtMs: transaction.nowMs };
  transaction.put('node', node.name, { ...node, drain: finished, status: 'DRAINED' });
  return done(null);
}

/** It may have been ended, or been asked for anew, since the leader looked. */
function drainNamed(
  transaction: Transaction,
  named: { readonly node: string; readonly drain: number },
): { readonly type: 'named'; readonly node: NodeRow; readonly drain: NodeDrain } | Refused {
  const node = transaction.get('node', named.node);
  if (node === null) return refuse('not_found', `there is no node ${named.node}`);
  const drain = drainOf(node);
  if (drain === null || drain.index !== named.drain)
    return refuse('conflict', `drain ${named.drain} of node ${node.name} is over, or was asked for anew`);
  return { type: 'named', node, drain };
}
