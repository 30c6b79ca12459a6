import { limits } from '../../../lib/limits.ts';
import type { AttemptReport, Outcome, ReportAttemptsCommand } from '../../../model/commands.ts';
import { isTerminal, mayAttemptBecome } from '../../../model/phases.ts';
import type { TaskRow } from '../../../model/task.ts';
import type { Transaction } from '../transaction.ts';
import { done } from './outcomes.ts';
import { betweenMs, currentAttempt, endAttempt, move, withAttempt, withDigest } from './task-changes.ts';
import { firstBytes } from '../text.ts';

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
  if (attempt.status === 'RUNNING' && report.status === 'RUNNING')
    return isCurrent && noteStopping(transaction, task, report);
  if (!mayAttemptBecome(attempt.status, report.status)) return false;
  if (report.status !== 'STARTING' && report.status !== 'RUNNING') {
    endAttempt(transaction, withDigest(task, report), report);
    return true;
  }
  return isCurrent && advance(transaction, task, report);
}

/** @returns whether it was news */
function advance(transaction: Transaction, task: TaskRow, report: AttemptReport): boolean {
  // A task that is being stopped says so until it is.
  const { status, assignedAtMs, stopFor } = currentAttempt(task);
  const reason = task.cancelRequested || stopFor !== undefined ? task.statusReason : null;
  if (report.status === 'STARTING') {
    const statusReason = reason ?? noteOf(report);
    if (status === 'STARTING' && statusReason === task.statusReason) return false;
    transaction.putTask({ ...withAttempt(task, { status: 'STARTING' }), statusReason });
    return true;
  }
  const startedAtMs = betweenMs(report.startedAtMs ?? report.atMs, assignedAtMs, transaction.nowMs);
  const running = withDigest(withAttempt(task, { status: 'RUNNING', startedAtMs }), report);
  transaction.putTask(move(running, 'RUNNING', { startedAtMs, statusReason: reason }));
  noteStopping(transaction, transaction.task(task.id) ?? task, report);
  return true;
}

/** The attempt runs and is being ended. @returns whether it was news */
function noteStopping(transaction: Transaction, task: TaskRow, { stopping }: AttemptReport): boolean {
  if (stopping === undefined || stopping === null) return false;
  const { startedAtMs, assignedAtMs, stopping: before } = currentAttempt(task);
  const sinceMs = betweenMs(stopping.sinceMs, startedAtMs ?? assignedAtMs, transaction.nowMs);
  const killAtMs = sinceMs + Math.max(0, stopping.killAtMs - stopping.sinceMs);
  const isSame = before !== undefined && before.reason === stopping.reason && before.killAtMs <= killAtMs;
  if (isSame) return false;
  transaction.putTask(withAttempt(task, { stopping: { reason: stopping.reason, sinceMs, killAtMs } }));
  return true;
}

/** What an attempt that is starting says of it; null where that is nothing. Reports before there were notes have none. */
function noteOf({ note }: { readonly note?: string }): string | null {
  return note === undefined || note === '' ? null : firstBytes(note, limits.errorMessageBytes);
}
