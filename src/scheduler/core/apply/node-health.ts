import type {
  NodeHealthCommand,
  NodeOfflineCommand,
  NodePressureCommand,
  Outcome,
} from '../../../model/commands.ts';
import { bootSessionOf, onNodeLossOf } from '../../../model/earlier-rows.ts';
import type { TaskRow } from '../../../model/task.ts';
import type { Transaction } from '../transaction.ts';
import { done } from './outcomes.ts';
import { withoutGrace } from './restart-grace.ts';
import { openSession } from './sessions.ts';
import { currentAttempt, loseAttempt, waitingFor } from './task-changes.ts';

/** Past the warning: no new work; heard of again: as before. */
export function nodeHealth(transaction: Transaction, command: NodeHealthCommand): Outcome {
  const opened = openSession(transaction, command);
  if (opened.type === 'refused') return opened;
  const { node } = opened;
  if (command.healthy && node.status === 'UNHEALTHY') {
    transaction.put('node', node.name, { ...node, status: 'AVAILABLE' });
  } else if (!command.healthy && node.status === 'AVAILABLE') {
    transaction.put('node', node.name, { ...node, status: 'UNHEALTHY' });
  }
  return done(null);
}

export function nodePressure(transaction: Transaction, command: NodePressureCommand): Outcome {
  const opened = openSession(transaction, command);
  if (opened.type === 'refused') return opened;
  const { pressure: _before, ...node } = opened.node;
  const { pressure } = command;
  transaction.put('node', node.name, pressure.length === 0 ? node : { ...node, pressure });
  return done(null);
}

/**
 * Ends the session that it names, and no other [OFFSESS], for good. What it ran is given up: the timeout has passed, and
 * with it every lease. Only tasks that `wait` hold none, and stay, unless their machine was booted anew since [WAITPROOF].
 */
export function nodeOffline(transaction: Transaction, command: NodeOfflineCommand): Outcome {
  const opened = openSession(transaction, command);
  if (opened.type === 'refused') return opened;
  const { node } = opened;
  for (const taskId of [...transaction.state.tasksOn(node.name)].sort()) {
    const task = transaction.task(taskId);
    if (task === null) continue;
    if (currentAttempt(task).session < bootSessionOf(node))
      loseAttempt(transaction, task, `node ${node.name} is offline, and its machine was restarted before`);
    else if (onNodeLossOf(transaction.spec(task).spec) === 'wait') leaveWaiting(transaction, task, node.name);
    else loseAttempt(transaction, task, `node ${node.name} is offline`);
  }
  const offline = { status: 'OFFLINE', sessionOpen: false, reconciled: false } as const;
  // Silent for all of its T, a longer one too: so every lease of it is over, whichever session it was granted in.
  transaction.put('node', node.name, { ...withoutGrace(node), ...offline });
  return done(null);
}

/** It may run on over there. One that is being stopped says so until it is known to have stopped. */
function leaveWaiting(transaction: Transaction, task: TaskRow, node: string): void {
  if (!task.cancelRequested) transaction.putTask({ ...task, statusReason: waitingFor(node) });
}
