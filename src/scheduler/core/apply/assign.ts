import { limits } from '../../../lib/limits.ts';
import type { AssignCommand, Outcome } from '../../../model/commands.ts';
import { groupOf } from '../../../model/group.ts';
import type { Attempt, TaskRow } from '../../../model/task.ts';
import { misfit } from '../placement/fit.ts';
import { Gates } from '../placement/gates.ts';
import type { Transaction } from '../transaction.ts';
import { done } from './outcomes.ts';
import { move } from './task-changes.ts';

export interface AssignResult {
  readonly accepted: readonly string[];
  /** Each names what differs from what the plan was made on. */
  readonly refused: readonly { readonly taskId: string; readonly reason: string }[];
}

/** What the earlier assignments of one command have set aside on a node. */
interface Taken {
  cpuMillis: number;
  memoryBytes: number;
  count: number;
}

/** Each assignment stands or falls alone, checked again by the fit function that the planner used. */
export function assign(transaction: Transaction, command: AssignCommand): Outcome<AssignResult> {
  const accepted: string[] = [];
  const refused: { taskId: string; reason: string }[] = [];
  const planned = new Map<string, Taken>();
  const gates = new Gates(transaction.state, []);
  for (const assignment of command.assignments) {
    const { taskId, node, session } = assignment;
    const task = transaction.task(taskId);
    const taken = planned.get(node) ?? { cpuMillis: 0, memoryBytes: 0, count: 0 };
    if (task === null) {
      refused.push({ taskId, reason: 'the task is gone' });
      continue;
    }
    const reason = whyNot(transaction, task, assignment, taken) ?? whyGated(transaction, task, gates);
    if (reason !== null) {
      refused.push({ taskId, reason });
      continue;
    }
    begin(transaction, task, node, session);
    gates.take(task);
    taken.cpuMillis += task.resources.cpuMillis;
    taken.memoryBytes += task.resources.memoryBytes;
    taken.count += 1;
    planned.set(node, taken);
    accepted.push(taskId);
  }
  return done({ accepted, refused });
}

/** @param taken on the node, by this command's earlier assignments */
function whyNot(
  transaction: Transaction,
  task: TaskRow,
  assignment: AssignCommand['assignments'][number],
  taken: Taken,
): string | null {
  if (transaction.cluster.awaitsLeases === true)
    return 'leases of the cluster before this one may not be over';
  if (task.status !== 'PENDING') return `the task is ${task.status}`;
  const node = transaction.get('node', assignment.node);
  if (node === null) return `node ${assignment.node} is gone`;
  if (!node.sessionOpen || node.session !== assignment.session) {
    return `session ${assignment.session} of node ${node.name} is over`;
  }
  const allocated = transaction.state.allocated(node.name);
  const sum = {
    cpuMillis: allocated.cpuMillis + taken.cpuMillis,
    memoryBytes: allocated.memoryBytes + taken.memoryBytes,
  };
  const taskCount = transaction.state.tasksOn(node.name).size + taken.count;
  const found = misfit(task, node, sum, taskCount);
  return found?.reason ?? null;
}

/** What its batch or DAG has against it. */
function whyGated({ state }: Transaction, task: TaskRow, gates: Gates): string | null {
  if (state.isHeld(task)) return `${groupOf(task)?.id} lets none of its tasks begin for now`;
  const { gate = '' } = task;
  return gates.isFull(gate) ? `${gate} runs as many of its tasks as it may (max_parallel)` : null;
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
    imageDigest: null,
  };
  transaction.putTask(
    move(task, 'ASSIGNED', {
      attempt: attempt.attempt,
      scheduledAtMs: transaction.nowMs,
      startedAtMs: null,
      result: null,
      attempts: [...task.attempts, attempt].slice(-limits.attemptsKept),
    }),
  );
}
