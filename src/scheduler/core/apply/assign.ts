import { limits } from '../../../lib/limits.ts';
import type { AssignCommand, Outcome } from '../../../model/commands.ts';
import type { Attempt, TaskRow } from '../../../model/task.ts';
import { concurrencyOf } from '../../../model/earlier-rows.ts';
import type { NodeUse } from '../placement/fit.ts';
import { misfit } from '../placement/fit.ts';
import { headsOf, keptForHead } from '../placement/heads.ts';
import type { Taken } from '../placement/waiting.ts';
import { whyWaiting } from '../placement/waiting.ts';
import type { StateView } from '../state-view.ts';
import { TaskGroups } from '../task-groups.ts';
import type { Transaction } from '../transaction.ts';
import { noteOvertaken } from './heads.ts';
import { done } from './outcomes.ts';
import { move } from './task-changes.ts';

export interface AssignResult {
  readonly accepted: readonly string[];
  /** Each names what differs from what the plan was made on. */
  readonly refused: readonly { readonly taskId: string; readonly reason: string }[];
}

/** What the earlier assignments of one command have set aside. */
class TakenBefore implements Taken {
  readonly #nodes = new Map<string, { cpuMillis: number; memoryBytes: number; count: number }>();
  readonly #groups = new Map<string, TaskGroups>();
  readonly #keys = new Map<string, number>();
  readonly #gates = new Map<string, number>();

  add(task: TaskRow, node: string): void {
    const taken = this.#nodes.get(node) ?? { cpuMillis: 0, memoryBytes: 0, count: 0 };
    taken.cpuMillis += task.resources.cpuMillis;
    taken.memoryBytes += task.resources.memoryBytes;
    taken.count += 1;
    this.#nodes.set(node, taken);
    const groups = this.#groups.get(node) ?? new TaskGroups();
    groups.add(task, 1);
    this.#groups.set(node, groups);
    const key = concurrencyOf(task)?.key ?? null;
    if (key !== null) this.#keys.set(key, this.holding(key) + 1);
    if (task.gate !== undefined) this.#gates.set(task.gate, this.holdingOf(task.gate) + 1);
  }

  holding(key: string): number {
    return this.#keys.get(key) ?? 0;
  }

  holdingOf(gate: string): number {
    return this.#gates.get(gate) ?? 0;
  }

  useOf(state: StateView, node: string): NodeUse {
    const { cpuMillis, memoryBytes } = state.allocated(node);
    const taken = this.#nodes.get(node);
    return {
      allocated: {
        cpuMillis: cpuMillis + (taken?.cpuMillis ?? 0),
        memoryBytes: memoryBytes + (taken?.memoryBytes ?? 0),
      },
      taskCount: state.tasksOn(node).size + (taken?.count ?? 0),
      meeting: (rules, groupId) =>
        state.groupsOn(node).meeting(rules, groupId) ??
        this.#groups.get(node)?.meeting(rules, groupId) ??
        null,
    };
  }
}

/** Each assignment stands or falls alone, checked again by the fit function that the planner used. */
export function assign(transaction: Transaction, command: AssignCommand): Outcome<AssignResult> {
  const accepted: string[] = [];
  const refused: { taskId: string; reason: string }[] = [];
  const taken = new TakenBefore();
  let { assignmentCounter } = transaction.cluster;
  for (const assignment of command.assignments) {
    const { taskId, node, session } = assignment;
    const task = transaction.task(taskId);
    const reason = task === null ? 'the task is gone' : whyNot(transaction, task, assignment, taken);
    if (task === null || reason !== null) {
      refused.push({ taskId, reason: reason ?? '' });
      continue;
    }
    assignmentCounter += 1;
    begin(transaction, task, { node, session, assignment: assignmentCounter });
    taken.add(task, node);
    accepted.push(taskId);
  }
  if (accepted.length > 0) transaction.putCluster({ assignmentCounter });
  const { overtakes } = command;
  if (accepted.length > 0 && typeof overtakes === 'string') noteOvertaken(transaction, overtakes);
  return done({ accepted, refused });
}

function whyNot(
  transaction: Transaction,
  task: TaskRow,
  assignment: AssignCommand['assignments'][number],
  taken: TakenBefore,
): string | null {
  const { state } = transaction;
  if (transaction.cluster.awaitsLeases === true)
    return 'leases of the cluster before this one may not be over';
  if (task.status !== 'PENDING') return `the task is ${task.status}`;
  const waits = whyWaiting(task, state, taken);
  if (waits !== null) return waits.reason;
  const node = transaction.get('node', assignment.node);
  if (node === null) return `node ${assignment.node} is gone`;
  if (!node.sessionOpen || node.session !== assignment.session) {
    return `session ${assignment.session} of node ${node.name} is over`;
  }
  const heads = headsOf(transaction.cluster);
  const found =
    misfit(task, node, taken.useOf(state, node.name)) ??
    keptForHead(task, node.name, { heads, tasks: state.tasks });
  return found?.reason ?? null;
}

function begin(
  transaction: Transaction,
  task: TaskRow,
  { node, session, assignment }: Pick<Attempt, 'node' | 'session' | 'assignment'>,
): void {
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
