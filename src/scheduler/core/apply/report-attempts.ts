import type { AttemptReport, Outcome, ReportAttemptsCommand } from '../../../model/commands.ts';
import { isTerminal, mayAttemptBecome } from '../../../model/phases.ts';
import type { TaskRow } from '../../../model/task.ts';
import type { Transaction } from '../transaction.ts';
import { done } from './outcomes.ts';
import { betweenMs, currentAttempt, endAttempt, move, withAttempt } from './task-changes.ts';

export interface ReportAttemptsResult {
  /** How many of the reports were news. */
  readonly taken: number;
}

/**
 * What workers have seen. Attempts only move forward; what comes late or again changes nothing and is acknowledged. A
 * report of an end from an earlier session stands as long as no newer attempt was assigned [NEWER].
 */
export function reportAttempts(
  transaction: Transaction,
  command: ReportAttemptsCommand,
): Outcome<ReportAttemptsResult> {
  const node = transaction.get('node', command.node);
  const isCurrent = node !== null && node.sessionOpen && node.session === command.session;
  let taken = 0;
  for (const report of command.reports) {
    if (take(transaction, command.node, report, isCurrent)) taken += 1;
  }
  return done({ taken });
}

function take(transaction: Transaction, node: string, report: AttemptReport, isCurrent: boolean): boolean {
  const task = transaction.task(report.taskId);
  if (task === null || isTerminal(task.status) || task.attempts.length === 0) return false;
  const attempt = currentAttempt(task);
  if (attempt.assignment !== report.assignment || attempt.node !== node) return false;
  if (!mayAttemptBecome(attempt.status, report.status)) return false;
  if (report.status !== 'STARTING' && report.status !== 'RUNNING') {
    endAttempt(transaction, task, report);
    return true;
  }
  if (!isCurrent) return false;
  advance(transaction, task, report);
  return true;
}

function advance(transaction: Transaction, task: TaskRow, report: AttemptReport): void {
  if (report.status === 'STARTING') {
    transaction.putTask(withAttempt(task, { status: 'STARTING' }));
    return;
  }
  const { assignedAtMs } = currentAttempt(task);
  const startedAtMs = betweenMs(report.startedAtMs ?? report.atMs, assignedAtMs, transaction.nowMs);
  const running = withAttempt(task, { status: 'RUNNING', startedAtMs });
  // A task that is being stopped says so until it is.
  transaction.putTask(move(running, 'RUNNING', { startedAtMs, statusReason: task.statusReason }));
}
