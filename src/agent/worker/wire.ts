/** Worker messages as proto/worker.proto has them, from the model's own types. */
import type {
  Assignment,
  Container,
  Limits,
  Report,
  Stopping as WireStopping,
} from '../../generated/worker.ts';
import type { AttemptReport } from '../../model/commands.ts';
import type { NetworkMode, PullPolicy, Stopping, TaskLimits } from '../../model/task.ts';
import type { AttemptContainer, AttemptSpec, DriverName, Exit } from '../drivers/driver.ts';
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
    note: report.note,
    image_digest: report.imageDigest ?? undefined,
    stopping: stoppingToWire(report.stopping ?? null),
  };
}

function stoppingToWire(stopping: Stopping | null): WireStopping | undefined {
  if (stopping === null) return undefined;
  return {
    reason: stopping.reason,
    since_ms: Math.round(stopping.sinceMs),
    kill_at_ms: Math.round(stopping.killAtMs),
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
    container: assignment.container === undefined ? null : containerFromWire(assignment.container),
    user: assignment.user ?? null,
    command: assignment.command,
    env: attemptEnvironment(node, driver, assignment.env, assignment.user ?? null),
    workingDir: assignment.working_dir === '' ? null : assignment.working_dir,
    resources: { cpuMillis: assignment.cpu_millis, memoryBytes: assignment.memory_bytes },
    limits: limitsFromWire(assignment.limits),
    timeoutMs: assignment.timeout_ms ?? null,
    stopGraceMs: assignment.stop_grace_ms,
    isLeased: !assignment.unleased,
  };
}

/** The leader has checked it, and its driver judges it once more. */
function containerFromWire(container: Container): AttemptContainer {
  return {
    image: container.image,
    user: container.user ?? null,
    mounts: container.mounts.map(({ source, target, read_only: readOnly }) => ({ source, target, readOnly })),
    network: container.network as NetworkMode,
    pullPolicy: container.pull_policy as PullPolicy,
    labels: container.labels,
  };
}

function limitsFromWire(limits: Limits | undefined): TaskLimits {
  return {
    cpuMillis: limits?.cpu_millis ?? null,
    memoryBytes: limits?.memory_bytes ?? null,
    pids: limits?.pids ?? null,
  };
}

/**
 * The final report of an attempt that the driver saw end.
 * @param imageDigest of what the driver showed of it; null: no container was created
 */
export function reportOfExit(
  key: { readonly taskId: string; readonly assignment: number },
  exit: Exit,
  imageDigest: string | null,
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
    note: '',
    imageDigest,
  };
}

export function cut(message: string): string {
  return message.slice(0, WORKER_LIMITS.messageBytes);
}
