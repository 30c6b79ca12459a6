import type { AssignCommand, Outcome } from '../../../model/commands.ts';
import type { Attempt, TaskRow } from '../../../model/task.ts';
import { fits } from '../placement/fit.ts';
import type { Transaction } from '../transaction.ts';
import { done } from './outcomes.ts';
import { move } from './task-changes.ts';
import { limits } from '../../../lib/limits.ts';

export interface AssignResult {
  readonly accepted: readonly string[];
  /** Each names what differs from what the plan was made on. */
  readonly refused: readonly { readonly taskId: string; readonly reason: string }[];
}

/** Each assignment stands or falls alone, checked again by the fit function that the planner used. */
export function assign(transaction: Transaction, command: AssignCommand): Outcome<AssignResult> {
  const accepted: string[] = [];
  const refused: { taskId: string; reason: string }[] = [];
  const planned = new Map<string, { cpuMillis: number; memoryBytes: number }>();
  for (const { taskId, node, session } of command.assignments) {
    const taken = planned.get(node) ?? { cpuMillis: 0, memoryBytes: 0 };
    const reason = whyNot(transaction, { taskId, node, session }, taken);
    if (reason !== null) {
      refused.push({ taskId, reason });
      continue;
    }
    const task = transaction.task(taskId);
    if (task === null) continue;
    begin(transaction, task, node, session);
    taken.cpuMillis += task.resources.cpuMillis;
    taken.memoryBytes += task.resources.memoryBytes;
    planned.set(node, taken);
    accepted.push(taskId);
  }
  return done({ accepted, refused });
}

function whyNot(
  transaction: Transaction,
  assignment: AssignCommand['assignments'][number],
  taken: { cpuMillis: number; memoryBytes: number },
): string | null {
  const { taskId, session } = assignment;
  const task = transaction.task(taskId);
  if (task === null) return `task ${taskId} is gone`;
  if (task.status !== 'PENDING') return `task is ${task.status}`;
  const node = transaction.get('node', assignment.node);
  if (node === null) return `node ${assignment.node} is gone`;
  if (!node.sessionOpen || node.session !== session) return `node ${node.name} has begun another session`;
  const allocated = transaction.state.allocated(node.name);
  return fits(task.resources, node, {
    cpuMillis: allocated.cpuMillis + taken.cpuMillis,
    memoryBytes: allocated.memoryBytes + taken.memoryBytes,
  });
}

function begin(transaction: Transaction, task: TaskRow, node: string, session: number): void {
  const assignment = transaction.cluster.assignmentCounter + 1;
  transaction.putCluster({ assignmentCounter: assignment });
  const attempt: Attempt = {
    attempt: task.attempt + 1,
    assignment,
    node,
    session,
    status: 'ASSIGNED',
    exitCode: null,
    signal: null,
    error: null,
    assignedAtMs: transaction.nowMs,
    startedAtMs: null,
    finishedAtMs: null,
    logTail: '',
  };
  transaction.putTask(
    move(task, 'ASSIGNED', {
      attempt: attempt.attempt,
      scheduledAtMs: transaction.nowMs,
      startedAtMs: null,
      attempts: [...task.attempts, attempt].slice(-limits.attemptsKept),
    }),
  );
}
