/** The moves of a task that several commands share; each checks the phase table. */
import { invariant } from '../../../lib/assert.ts';
import { limits } from '../../../lib/limits.ts';
import type { AttemptReport } from '../../../model/commands.ts';
import { drainOf, onNodeLossOf } from '../../../model/earlier-rows.ts';
import { mayTaskBecome } from '../../../model/phases.ts';
import type { Attempt, TaskError, TaskRow, TaskStatus } from '../../../model/task.ts';
import { decideRetry } from '../retry.ts';
import type { Transaction } from '../transaction.ts';
import { firstBytes, lastBytes } from '../text.ts';

/** So many attempts lost with their nodes, one after the other, count as a failed one. */
const LOSSES_THAT_FAIL = 5;

/** Why a task is PENDING again whose node was lost or drained. */
export const RESCHEDULING = 'rescheduling';

export function currentAttempt(task: TaskRow): Attempt {
  const attempt = task.attempts.at(-1);
  invariant(attempt !== undefined, `${task.id} has an attempt`);
  return attempt;
}

/** Replaces the newest attempt. */
export function withAttempt(task: TaskRow, changes: Partial<Attempt>): TaskRow {
  return { ...task, attempts: [...task.attempts.slice(0, -1), { ...currentAttempt(task), ...changes }] };
}

/** It has ended: nobody is ending it any more. */
function withoutStopping(task: TaskRow): TaskRow {
  const { stopping, ...attempt } = currentAttempt(task);
  return stopping === undefined ? task : { ...task, attempts: [...task.attempts.slice(0, -1), attempt] };
}

/** With the image that the attempt runs, where the report names one: what is known of it is never forgotten. */
export function withDigest(task: TaskRow, report: { readonly imageDigest?: string | null }): TaskRow {
  const imageDigest = report.imageDigest ?? null;
  if (imageDigest === null) return task;
  return withAttempt(task, { imageDigest: firstBytes(imageDigest, limits.imageDigestBytes) });
}

export function move(task: TaskRow, status: TaskStatus, changes: Partial<TaskRow> = {}): TaskRow {
  invariant(mayTaskBecome(task.status, status), `${task.id}: ${task.status} → ${status} is in the table`);
  return { ...task, statusReason: null, ...changes, status };
}

/** What a task says that stays with a node which is OFFLINE, until there is proof of what became of it. */
export function waitingFor(node: string): string {
  return `waiting for node ${node}, which is offline`;
}

/** What a task says that its node, which is being drained, is told to stop. */
export function stoppingForDrain(node: string): string {
  return `stopping: node ${node} is drained`;
}

/**
 * The attempt is lost: its node is gone, or does not know it. Only for what is proven to run no more, or, where the task
 * does not `wait`, taken for that after the timeout [WAITPROOF].
 */
export function loseAttempt(transaction: Transaction, task: TaskRow, why: string): void {
  const message = firstBytes(why, limits.errorMessageBytes);
  const lost = withAttempt(withoutStopping(task), {
    status: 'LOST',
    finishedAtMs: transaction.nowMs,
    error: { type: 'NodeLost', message },
  });
  if (!task.cancelRequested && onNodeLossOf(transaction.spec(task).spec) === 'fail') {
    const changes = {
      finishedAtMs: transaction.nowMs,
      statusReason: 'lost with its node: on_node_loss is fail',
    };
    transaction.putTask(move(lost, 'PERMANENTLY_FAILED', changes));
    return;
  }
  rescheduleLost(transaction, lost);
}

/** Back to the queue at once, unless nobody wants it any more, or the like has happened too often in a row. */
function rescheduleLost(transaction: Transaction, task: TaskRow): void {
  if (task.cancelRequested) {
    transaction.putTask(move(task, 'CANCELLED', { finishedAtMs: transaction.nowMs }));
    return;
  }
  const consecutiveLosses = task.consecutiveLosses + 1;
  if (consecutiveLosses >= LOSSES_THAT_FAIL) {
    failTask(transaction, { ...task, consecutiveLosses: 0 }, 'NodeLost');
    return;
  }
  transaction.putTask(
    move(task, 'PENDING', { statusReason: RESCHEDULING, consecutiveLosses, startedAtMs: null }),
  );
}

/**
 * The time of the worker's clock, kept between two of the cluster's own: clocks of nodes differ, and what is shown of a
 * task must not end before it began.
 */
export function betweenMs(atMs: number, earliestMs: number, latestMs: number): number {
  return Math.max(Math.min(atMs, latestMs), earliestMs);
}

/** The attempt that the report names has ended, and nothing of it runs any more. */
export function endAttempt(transaction: Transaction, task: TaskRow, report: AttemptReport): void {
  if (report.status === 'LOST') {
    loseAttempt(transaction, task, report.error?.message ?? 'the node does not know how it ended');
    return;
  }
  invariant(report.status !== 'STARTING' && report.status !== 'RUNNING', 'the report is of an end');
  const ended = withEnd(transaction, task, report);
  const { finishedAtMs } = currentAttempt(ended);
  if (report.status === 'COMPLETED') {
    transaction.putTask(
      move(ended, 'COMPLETED', {
        finishedAtMs,
        consecutiveLosses: 0,
        retryAtMs: null,
        result: report.result,
      }),
    );
  } else if (ended.cancelRequested) {
    transaction.putTask(move(ended, 'CANCELLED', { finishedAtMs }));
  } else if (report.status === 'CANCELLED') {
    // The node stopped it on its own account: no failure of the task's, but bounded like losses.
    if (isMovedByDrain(transaction, ended)) moveOn(transaction, ended);
    else rescheduleLost(transaction, ended);
  } else {
    const failed: TaskRow = { ...ended, consecutiveLosses: 0, result: report.result };
    failTask(transaction, failed, currentAttempt(failed).error?.type ?? 'ExitCode');
  }
}

/** Its node was told to stop it, or not to start it, because it is drained. */
function isMovedByDrain(transaction: Transaction, task: TaskRow): boolean {
  const { node, stopFor } = currentAttempt(task);
  const row = transaction.get('node', node);
  return stopFor === 'drain' || (row !== null && drainOf(row) !== null);
}

/** Back to the queue. A drain is no loss: however often a task is moved by one, that never counts as a failed attempt. */
function moveOn(transaction: Transaction, task: TaskRow): void {
  const { node } = currentAttempt(task);
  const error = { type: 'NodeDrained', message: `node ${node} is drained: the task goes on elsewhere` };
  const moved = withAttempt(task, { status: 'LOST', error });
  transaction.putTask(move(moved, 'PENDING', { statusReason: RESCHEDULING, startedAtMs: null }));
}

/** With the end of the attempt, and its start where that was not reported before. */
function withEnd(transaction: Transaction, task: TaskRow, report: AttemptReport): TaskRow {
  const { assignedAtMs, startedAtMs: knownStartMs } = currentAttempt(task);
  const reportedStartMs =
    report.startedAtMs === null ? null : betweenMs(report.startedAtMs, assignedAtMs, transaction.nowMs);
  const startedAtMs = knownStartMs ?? reportedStartMs;
  const ended = withAttempt(withoutStopping(task), {
    status: report.status,
    startedAtMs,
    finishedAtMs: betweenMs(report.atMs, startedAtMs ?? assignedAtMs, transaction.nowMs),
    exitCode: report.exitCode,
    signal: report.signal,
    error: report.error === null ? null : bounded(report.error),
    logTail: report.status === 'FAILED' ? lastBytes(report.logTail, limits.logTailBytes) : '',
  });
  return { ...ended, startedAtMs };
}

function bounded(error: TaskError): TaskError {
  return {
    type: firstBytes(error.type, limits.errorTypeBytes),
    message: firstBytes(error.message, limits.errorMessageBytes),
  };
}

function failTask(transaction: Transaction, task: TaskRow, errorType: string): void {
  const { retryPolicy } = transaction.spec(task).spec;
  const decision = decideRetry(retryPolicy, task.retryCount, errorType);
  if (decision.type === 'giveUp') {
    const { finishedAtMs } = currentAttempt(task);
    transaction.putTask(move(task, 'PERMANENTLY_FAILED', { finishedAtMs, statusReason: decision.reason }));
    return;
  }
  const retry = task.retryCount + 1;
  transaction.putTask(
    move(task, 'FAILED', {
      retryCount: retry,
      retryAtMs: transaction.nowMs + decision.delayMs,
      statusReason: `retry ${retry} in ${decision.delayMs / 1000} s after ${errorType}`,
    }),
  );
}
