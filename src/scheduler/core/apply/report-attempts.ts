import type { AttemptReport, Outcome, ReportAttemptsCommand } from '../../../model/commands.ts';
import { isAttemptOver, isTerminal, mayAttemptBecome } from '../../../model/phases.ts';
import type { TaskRow } from '../../../model/task.ts';
import type { Transaction } from '../transaction.ts';
import { done } from './outcomes.ts';
import { currentAttempt, endAttempt, move, withAttempt } from './task-changes.ts';

/**
 * What workers have seen. Attempts only move forward; what comes late or again changes nothing and is acknowledged. A
 * report of an end from an earlier session stands as long as no newer attempt was assigned [NEWER].
 */
export function reportAttempts(transaction: Transaction, command: ReportAttemptsCommand): Outcome {
  const node = transaction.get('node', command.node);
  const current = node !== null && node.sessionOpen && node.session === command.session;
  let taken = 0;
  for (const report of command.reports) {
    if (take(transaction, command.node, report, current)) taken += 1;
  }
  return done({ taken });
}

function take(transaction: Transaction, node: string, report: AttemptReport, current: boolean): boolean {
  const task = transaction.task(report.taskId);
  if (task === null || isTerminal(task.status) || task.attempts.length === 0) return false;
  const attempt = currentAttempt(task);
  if (attempt.assignment !== report.assignment || attempt.node !== node) return false;
  if (report.status === 'STARTING' || report.status === 'RUNNING') {
    if (!current || !mayAttemptBecome(attempt.status, report.status)) return false;
    advance(transaction, task, report);
    return true;
  }
  if (isAttemptOver(attempt.status) && !finishedAfterAll(task, report)) return false;
  endAttempt(transaction, task, report);
  return true;
}

/** The attempt was given up as lost, no newer one has been assigned, and now it says that it has done its work. */
function finishedAfterAll(task: TaskRow, report: AttemptReport): boolean {
  return task.status === 'PENDING' && currentAttempt(task).status === 'LOST' && report.status === 'COMPLETED';
}

function advance(transaction: Transaction, task: TaskRow, report: AttemptReport): void {
  if (report.status === 'STARTING') {
    transaction.putTask(withAttempt(task, { status: 'STARTING' }));
    return;
  }
  const startedAtMs = report.startedAtMs ?? report.atMs;
  const running = withAttempt(task, { status: 'RUNNING', startedAtMs });
  const statusReason = task.statusReason;
  transaction.putTask(
    task.status === 'ASSIGNED' ? move(running, 'RUNNING', { startedAtMs, statusReason }) : running,
  );
}
