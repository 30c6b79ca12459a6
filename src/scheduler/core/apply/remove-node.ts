import type { Outcome, RemoveNodeCommand } from '../../../model/commands.ts';
import type { NodeRow } from '../../../model/node.ts';
import { timeoutMsOf } from '../../../model/timeouts.ts';
import type { Transaction } from '../transaction.ts';
import { once } from './idempotency.ts';
import { done, refuse } from './outcomes.ts';
import { loseAttempt } from './task-changes.ts';

/** Tasks named in a refusal. */
const MOST_NAMED = 3;

export interface RemoveNodeResult {
  /** Attempts that were given up with it. */
  readonly lostAttempts: number;
}

/**
 * Takes a node off the list. That alone proves nothing about what it runs [REMOVE]: it is refused until the node is
 * OFFLINE, and with that every lease of it over, and nothing of it is open. With `dead` an operator's word is the proof,
 * also for tasks that wait [WAITPROOF]. A node that lives all the same has to register as one that nobody knows, and is
 * told to stop what it runs.
 */
export function removeNode(transaction: Transaction, command: RemoveNodeCommand): Outcome {
  return once(transaction, command.idempotency, () => {
    const { principal, dead, session } = command;
    const node = transaction.get('node', command.node);
    if (node === null) return refuse('not_found', `there is no node ${command.node}`);
    const { name } = node;
    if (node.session !== session) return refuse('conflict', `node ${name} has registered anew meanwhile`);
    const taskIds = [...transaction.state.tasksOn(name)].sort();
    const objections = dead ? [] : objectionsTo(transaction, node, taskIds);
    if (objections.length > 0) {
      const hint = `where you know that nothing of it runs any more, vouch for that with --dead (dead=true)`;
      return refuse('conflict', `node ${name} is not removed: ${objections.join('; ')}; ${hint}`);
    }
    for (const taskId of taskIds) {
      const task = transaction.task(taskId);
      const why = `node ${name} was removed as dead: ${principal} vouched that nothing of it runs any more`;
      if (task !== null) loseAttempt(transaction, task, why);
    }
    transaction.delete('node', name);
    return done<RemoveNodeResult>({ lostAttempts: taskIds.length });
  });
}

function objectionsTo(transaction: Transaction, node: NodeRow, taskIds: readonly string[]): string[] {
  const objections: string[] = [];
  // Of one that is DRAINED nothing is left; whether its daemon has ended is for whoever asks to look at.
  if (node.sessionOpen && node.status !== 'DRAINED') {
    const seconds = Math.ceil(timeoutMsOf(transaction.cluster, node) / 1000);
    objections.push(
      `it is ${node.status}, and taken for gone only once it is stopped and silent for ${seconds} s`,
    );
  }
  if (taskIds.length > 0) {
    const named = taskIds.slice(0, MOST_NAMED).join(', ');
    const more = taskIds.length > MOST_NAMED ? ', …' : '';
    const are = taskIds.length === 1 ? 'task is' : 'tasks are';
    objections.push(`${taskIds.length} ${are} on it (${named}${more})`);
  }
  return objections;
}
