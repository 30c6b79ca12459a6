/** What an operator says of whether a node takes work, and what a node says of itself before it stops. */
import type {
  CordonNodeCommand,
  DrainNodeCommand,
  Outcome,
  UndrainNodeCommand,
} from '../../../model/commands.ts';
import { drainOf } from '../../../model/earlier-rows.ts';
import type { NodeDrain, NodeRow, NodeStatus } from '../../../model/node.ts';
import type { Transaction } from '../transaction.ts';
import { once } from './idempotency.ts';
import { done, refuse } from './outcomes.ts';
import { currentAttempt, withAttempt } from './task-changes.ts';

export function cordonNode(transaction: Transaction, command: CordonNodeCommand): Outcome {
  return change(transaction, command, (node) => {
    if (node.schedulable) transaction.put('node', node.name, { ...node, schedulable: false });
    return done(null);
  });
}

/**
 * Said again it only moves the deadline: what is being stopped already goes on stopping, and a node that is DRAINED stays
 * so, for nothing has come since.
 */
export function drainNode(transaction: Transaction, command: DrainNodeCommand): Outcome {
  return change(transaction, command, (node) => {
    if (!node.sessionOpen)
      return refuse(
        'conflict',
        `node ${node.name} is OFFLINE, and what ran there is given up already; allowed: cordon it, so that it takes no ` +
          'work when it is back, or remove it',
      );
    if (command.startId !== null && command.startId !== node.startId)
      return refuse('conflict', `another start of node ${node.name} has registered since`);
    beginDrain(transaction, node, command);
    return done(null);
  });
}

/** Ends a drain, and what a cordon says: it takes work again. */
export function undrainNode(transaction: Transaction, command: UndrainNodeCommand): Outcome {
  return change(transaction, command, (node) => {
    endDrain(transaction, node);
    return done(null);
  });
}

/** @param node whose session stands */
export function beginDrain(
  transaction: Transaction,
  node: NodeRow,
  asked: Pick<DrainNodeCommand, 'graceMs' | 'startId' | 'withinMs'>,
): void {
  const drain = drainAfter(drainOf(node), asked, transaction);
  transaction.put('node', node.name, { ...node, drain, status: statusOf(drain) });
}

export function endDrain(transaction: Transaction, node: NodeRow): void {
  if (drainOf(node) === null && node.schedulable) return;
  if (drainOf(node) !== null) keepWithdrawn(transaction, node);
  transaction.put('node', node.name, { ...withoutDrain(node), schedulable: true });
}

/**
 * The node was told not to begin what it had not begun, and may have heeded that: those move all the same, and the word
 * that they were not begun comes when there is no drain any more that explains it.
 */
function keepWithdrawn(transaction: Transaction, node: NodeRow): void {
  for (const id of [...transaction.state.tasksOn(node.name)].sort()) {
    const task = transaction.task(id);
    if (task === null || currentAttempt(task).status !== 'ASSIGNED') continue;
    transaction.putTask(withAttempt(task, { stopFor: 'drain' }));
  }
}

/** What a node is whose session stands and whose inventory was taken. */
export function statusOf(drain: NodeDrain | null): Extract<NodeStatus, 'AVAILABLE' | 'DRAINING' | 'DRAINED'> {
  if (drain === null) return 'AVAILABLE';
  return drain.finishedAtMs === null ? 'DRAINING' : 'DRAINED';
}

/** Whether it is UNHEALTHY is found out anew. */
export function withoutDrain({ drain: _drain, ...node }: NodeRow): NodeRow {
  return node.status === 'DRAINING' || node.status === 'DRAINED' ? { ...node, status: 'AVAILABLE' } : node;
}

function drainAfter(
  before: NodeDrain | null,
  { withinMs, graceMs, startId }: Pick<DrainNodeCommand, 'graceMs' | 'startId' | 'withinMs'>,
  { nowMs, entry }: Transaction,
): NodeDrain {
  const asked = { index: entry.index, deadlineMs: nowMs + withinMs, graceMs };
  if (before === null) return { ...asked, startedAtMs: nowMs, isOverdue: false, finishedAtMs: null, startId };
  const { startedAtMs, finishedAtMs } = before;
  // An operator's drain outlives the daemon that stops meanwhile, which only cannot wait for longer than it says.
  const isOperators = before.startId === null && startId !== null;
  const deadlineMs = isOperators ? Math.min(before.deadlineMs, asked.deadlineMs) : asked.deadlineMs;
  return {
    ...asked,
    startedAtMs,
    deadlineMs,
    isOverdue: before.isOverdue && deadlineMs <= nowMs,
    finishedAtMs,
    startId: isOperators ? null : startId,
  };
}

function change(
  transaction: Transaction,
  command: CordonNodeCommand | DrainNodeCommand | UndrainNodeCommand,
  carryOut: (node: NodeRow) => Outcome,
): Outcome {
  return once(transaction, command.idempotency, () => {
    const node = transaction.get('node', command.node);
    return node === null ? refuse('not_found', `there is no node ${command.node}`) : carryOut(node);
  });
}
