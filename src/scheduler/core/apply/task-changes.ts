/** The moves of a task that several commands share; each checks the phase table. */
import { invariant } from '../../../lib/assert.ts';
import { limits } from '../../../lib/limits.ts';
import type { AttemptReport } from '../../../model/commands.ts';
import { mayTaskBecome } from '../../../model/phases.ts';
import type { Attempt, TaskError, TaskRow, TaskStatus } from '../../../model/task.ts';
import { decideRetry } from '../retry.ts';
import type { Transaction } from '../transaction.ts';

/** So many attempts lost with their nodes, one after the other, count as a failed one. */
const LOSSES_THAT_FAIL = 5;
const LOG_TAIL_CHARACTERS = 4096;

export function currentAttempt(task: TaskRow): Attempt {
  const attempt = task.attempts.at(-1);
  invariant(attempt !== undefined, `${task.id} has an attempt`);
  return attempt;
}

/** Replaces the newest attempt. */
export function withAttempt(task: TaskRow, changes: Partial<Attempt>): TaskRow {
  const attempts = [...task.attempts.slice(0, -1), { ...currentAttempt(task), ...changes }];
  return { ...task, attempts: attempts.slice(-limits.attemptsKept) };
}

export function move(task: TaskRow, status: TaskStatus, changes: Partial<TaskRow> = {}): TaskRow {
  invariant(mayTaskBecome(task.status, status), `${task.id}: ${task.status} → ${status} is in the table`);
  return { ...task, statusReason: null, ...changes, status };
}

/** The attempt is lost: its node is gone, or does not know it. */
export function loseAttempt(transaction: Transaction, task: TaskRow, why: string): void {
  const lost = withAttempt(task, {
    status: 'LOST',
    finishedAtMs: transaction.nowMs,
    error: { type: 'NodeLost', message: why },
  });
  if (lost.cancelRequested) {
    transaction.putTask(move(lost, 'CANCELLED', { finishedAtMs: transaction.nowMs }));
    return;
  }
  const losses = lost.consecutiveLosses + 1;
  if (losses >= LOSSES_THAT_FAIL) {
    const message = `${losses} attempts in a row were lost with their nodes; the last: ${why}`;
    failTask(transaction, { ...lost, consecutiveLosses: 0 }, { type: 'NodeLost', message });
    return;
  }
  transaction.putTask(
    move(lost, 'PENDING', { statusReason: 'rescheduling', consecutiveLosses: losses, startedAtMs: null }),
  );
}

/** The attempt that the report names has ended, and nothing of it runs any more. */
export function endAttempt(transaction: Transaction, task: TaskRow, report: AttemptReport): void {
  if (report.status === 'LOST') {
    loseAttempt(transaction, task, report.error?.message ?? 'the node does not know how it ended');
    return;
  }
  invariant(report.status !== 'STARTING' && report.status !== 'RUNNING', 'the report is of an end');
  const failed = report.status === 'FAILED';
  const ended = withAttempt(task, {
    status: report.status,
    startedAtMs: currentAttempt(task).startedAtMs ?? report.startedAtMs,
    finishedAtMs: report.atMs,
    exitCode: report.exitCode,
    signal: report.signal,
    error: report.error,
    logTail: failed ? report.logTail.slice(-LOG_TAIL_CHARACTERS) : '',
  });
  const known: TaskRow = {
    ...ended,
    consecutiveLosses: 0,
    startedAtMs: ended.startedAtMs ?? report.startedAtMs,
  };
  if (report.status === 'COMPLETED') {
    transaction.putTask(move(known, 'COMPLETED', { finishedAtMs: report.atMs, result: report.result }));
  } else if (known.cancelRequested || report.status === 'CANCELLED') {
    endCancelled(transaction, known, report);
  } else {
    const error = report.error ?? { type: 'ExitCode', message: 'the attempt failed' };
    failTask(transaction, { ...known, result: report.result }, error);
  }
}

/** Stopped: final where somebody asked for it; otherwise the node ended it on its own account, and it is tried again. */
function endCancelled(transaction: Transaction, task: TaskRow, report: AttemptReport): void {
  if (task.cancelRequested) {
    transaction.putTask(move(task, 'CANCELLED', { finishedAtMs: report.atMs }));
    return;
  }
  transaction.putTask(move(task, 'PENDING', { statusReason: 'rescheduling', startedAtMs: null }));
}

function failTask(transaction: Transaction, task: TaskRow, error: TaskError): void {
  const { retryPolicy } = transaction.spec(task).spec;
  const decision = decideRetry(retryPolicy, task.retryCount, error.type);
  if (decision.type === 'giveUp') {
    transaction.putTask(
      move(task, 'PERMANENTLY_FAILED', { finishedAtMs: transaction.nowMs, statusReason: decision.reason }),
    );
    return;
  }
  transaction.putTask(
    move(task, 'FAILED', {
      retryCount: task.retryCount + 1,
      retryAtMs: transaction.nowMs + decision.delayMs,
      statusReason: `retry ${task.retryCount + 1} in ${decision.delayMs / 1000} s after ${error.type}`,
    }),
  );
}
