/** Worker messages as proto/worker.proto has them, from the model's own types. */
import type { Assignment, Report } from '../../generated/worker.ts';
import type { AttemptReport } from '../../model/commands.ts';
import type { AttemptSpec, DriverName, Exit } from '../drivers/driver.ts';
import { outcomeOf } from '../drivers/outcome.ts';
import type { NodeEnvironment } from './environment.ts';
import { attemptEnvironment } from './environment.ts';
import { WORKER_LIMITS } from './limits.ts';

const DRIVER_NAMES: ReadonlySet<string> = new Set<DriverName>(['process', 'docker', 'noop']);

export function isDriverName(name: string): name is DriverName {
  return DRIVER_NAMES.has(name);
}

export function reportToWire(report: AttemptReport): Report {
  return {
    task_id: report.taskId,
    assignment: report.assignment,
    status: report.status,
    at_ms: report.atMs,
    exit_code: report.exitCode ?? undefined,
    signal: report.signal ?? undefined,
    error_type: report.error?.type,
    error_message: report.error?.message ?? '',
    result: report.result === null ? undefined : JSON.stringify(report.result),
    log_tail: report.logTail,
    started_at_ms: report.startedAtMs ?? 0,
  };
}

export function attemptSpecOf(
  assignment: Assignment,
  driver: DriverName,
  node: NodeEnvironment,
): AttemptSpec {
  return {
    taskId: assignment.task_id,
    assignment: assignment.assignment,
    attempt: assignment.attempt,
    session: assignment.session,
    term: assignment.term,
    fencingToken: assignment.fencing_token,
    command: assignment.command,
    env: attemptEnvironment(node, driver, assignment.env),
    workingDir: assignment.working_dir === '' ? null : assignment.working_dir,
    timeoutMs: assignment.timeout_ms ?? null,
    stopGraceMs: assignment.stop_grace_ms,
  };
}

/** The final report of an attempt that the driver saw end. */
export function reportOfExit(
  key: { readonly taskId: string; readonly assignment: number },
  exit: Exit,
): AttemptReport {
  const outcome = outcomeOf(exit);
  return {
    taskId: key.taskId,
    assignment: key.assignment,
    status: outcome.status,
    atMs: exit.finishedAtMs,
    // What failed to start has no start of execution, whatever time the driver noted.
    startedAtMs: exit.reason === 'startFailed' ? null : exit.startedAtMs,
    exitCode: outcome.exitCode,
    signal: outcome.signal,
    error: outcome.error === null ? null : { ...outcome.error, message: cut(outcome.error.message) },
    result: outcome.result,
    logTail: exit.logTail,
  };
}

export function cut(message: string): string {
  return message.slice(0, WORKER_LIMITS.messageBytes);
}
