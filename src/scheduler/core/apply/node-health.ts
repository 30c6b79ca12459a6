import type { NodeHealthCommand, NodeOfflineCommand, Outcome } from '../../../model/commands.ts';
import type { Transaction } from '../transaction.ts';
import { done } from './outcomes.ts';
import { openSession } from './sessions.ts';
import { loseAttempt } from './task-changes.ts';

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

/** Ends the session that it names, and no other [OFFSESS], for good; what it ran goes back to the queue. */
export function nodeOffline(transaction: Transaction, command: NodeOfflineCommand): Outcome {
  const opened = openSession(transaction, command);
  if (opened.type === 'refused') return opened;
  const { node } = opened;
  for (const taskId of [...transaction.state.tasksOn(node.name)].sort()) {
    const task = transaction.task(taskId);
    if (task !== null) loseAttempt(transaction, task, `node ${node.name} is offline`);
  }
  transaction.put('node', node.name, { ...node, status: 'OFFLINE', sessionOpen: false, reconciled: false });
  return done(null);
}
