import type { Outcome, ReconcileNodeCommand } from '../../../model/commands.ts';
import { drainOf } from '../../../model/earlier-rows.ts';
import type { Transaction } from '../transaction.ts';
import { statusOf } from './drain-node.ts';
import { done } from './outcomes.ts';
import { openSession } from './sessions.ts';
import { currentAttempt, loseAttempt, waitingFor, withAttempt } from './task-changes.ts';

export interface ReconcileNodeResult {
  readonly lost: readonly string[];
  readonly adopted: readonly string[];
}

/**
 * The inventory of a session judges only assignments made for earlier sessions of the node [INVBEFORE]: what it does
 * not know of them is lost, what it knows goes on in this session. Taken again for the same session it changes nothing.
 */
export function reconcileNode(
  transaction: Transaction,
  command: ReconcileNodeCommand,
): Outcome<ReconcileNodeResult> {
  const opened = openSession(transaction, command);
  if (opened.type === 'refused') return opened;
  const known = new Set(command.known.map(({ taskId, assignment }) => `${taskId}/${assignment}`));
  const lost: string[] = [];
  const adopted: string[] = [];
  for (const taskId of [...transaction.state.tasksOn(command.node)].sort()) {
    const task = transaction.task(taskId);
    if (task === null) continue;
    const attempt = currentAttempt(task);
    if (attempt.session >= command.session) continue;
    if (known.has(`${taskId}/${attempt.assignment}`)) {
      const statusReason = task.statusReason === waitingFor(command.node) ? null : task.statusReason;
      transaction.putTask({ ...withAttempt(task, { session: command.session }), statusReason });
      adopted.push(taskId);
    } else {
      loseAttempt(transaction, task, `node ${command.node} was restarted and does not know the attempt`);
      lost.push(taskId);
    }
  }
  const { node } = opened;
  transaction.put('node', node.name, { ...node, reconciled: true, status: statusOf(drainOf(node)) });
  return done({ lost, adopted });
}
