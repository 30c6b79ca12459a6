/** What workers send, checked and as the model has it. Everything wrong is `malformed`. */
import type { Policy, Register, Report, Stopping as WireStopping } from '../../generated/worker.ts';
import { JarvisError } from '../../lib/errors.ts';
import { isStorable } from '../../lib/storable-json.ts';
import { limits } from '../../lib/limits.ts';
import { isTime } from '../../lib/times.ts';
import type { AttemptReport, RegisterNodeCommand } from '../../model/commands.ts';
import type { NodePolicy } from '../../model/policy.ts';
import { DEFAULT_POLICY } from '../../model/policy.ts';
import type { Stopping } from '../../model/task.ts';
import { LEADER_LIMITS } from './limits.ts';

const STATUSES: readonly string[] = [
  'STARTING',
  'RUNNING',
  'COMPLETED',
  'FAILED',
  'LOST',
  'CANCELLED',
] satisfies AttemptReport['status'][];

function isReportStatus(status: string): status is AttemptReport['status'] {
  return STATUSES.includes(status);
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** @throws JarvisError malformed */
export function registrationFromWire(register: Register): Omit<RegisterNodeCommand, 'atMs'> {
  const { capacity } = register;
  if (!NAME.test(register.name)) {
    throw new JarvisError('malformed', `${JSON.stringify(register.name)} is no name of a node`);
  }
  for (const [what, value] of [
    ['incarnation', register.incarnation],
    ['start', register.start_id],
    ['address', register.address],
  ] as const) {
    if (value === '') throw new JarvisError('malformed', `a registration without its ${what}`);
  }
  if (capacity === undefined) throw new JarvisError('malformed', 'a registration without its capacity');
  return {
    type: 'registerNode',
    name: register.name,
    incarnation: register.incarnation,
    machineId: register.machine_id,
    bootId: register.boot_id,
    startId: register.start_id,
    startCounter: register.start_counter,
    version: register.version,
    address: register.address,
    http: register.http,
    labels: Object.entries(register.labels).sort(([a], [b]) => (a < b ? -1 : 1)),
    drivers: register.drivers,
    policy: policyFromWire(register.policy),
    isolation: register.isolation,
    capacity: { cpuMillis: capacity.cpu_millis, memoryBytes: capacity.memory_bytes },
  };
}

/** @throws JarvisError malformed */
function policyFromWire(policy: Policy | undefined): NodePolicy {
  if (policy === undefined) return DEFAULT_POLICY;
  const sources = policy.mounts.map(({ source }) => source);
  checkEntries('mounts', sources);
  if (!sources.every((source) => source.startsWith('/')))
    throw new JarvisError('malformed', 'a policy whose mounts are no absolute paths');
  checkEntries('users', policy.users?.names ?? []);
  checkEntries('registries', policy.registries?.names ?? []);
  return {
    mounts: policy.mounts.map(({ source, read_only: readOnly }) => ({ source, readOnly })),
    hostNetwork: policy.host_network,
    users: policy.users?.names ?? null,
    registries: policy.registries?.names ?? null,
  };
}

function checkEntries(what: string, entries: readonly string[]): void {
  const { policyEntries, policyEntryCharacters } = LEADER_LIMITS;
  if (entries.length > policyEntries)
    throw new JarvisError('malformed', `a policy of ${entries.length} ${what}, at most ${policyEntries}`);
  if (entries.some((entry) => entry === '' || entry.length > policyEntryCharacters))
    throw new JarvisError('malformed', `a policy whose ${what} are empty or too long`);
}

/** @throws JarvisError malformed */
export function reportFromWire(report: Report): AttemptReport {
  if (!isReportStatus(report.status)) {
    throw new JarvisError('malformed', `an attempt cannot be ${JSON.stringify(report.status)}`);
  }
  checkTimes(report.at_ms, report.started_at_ms);
  return {
    taskId: report.task_id,
    assignment: report.assignment,
    status: report.status,
    atMs: report.at_ms,
    startedAtMs: report.started_at_ms === 0 ? null : report.started_at_ms,
    exitCode: report.exit_code ?? null,
    signal: report.signal ?? null,
    error:
      report.error_type === undefined
        ? null
        : {
            type: report.error_type.slice(0, LEADER_LIMITS.errorTypeCharacters),
            message: report.error_message.slice(0, LEADER_LIMITS.errorMessageCharacters),
          },
    result: resultFromWire(report.result),
    logTail: report.log_tail.slice(-LEADER_LIMITS.logTailCharacters),
    note: report.note.slice(0, LEADER_LIMITS.noteCharacters),
    imageDigest: report.image_digest?.slice(0, LEADER_LIMITS.imageDigestCharacters) ?? null,
    ...(report.stopping === undefined ? {} : { stopping: stoppingFromWire(report.stopping) }),
  };
}

/** @throws JarvisError malformed */
function stoppingFromWire({ reason, since_ms: sinceMs, kill_at_ms: killAtMs }: WireStopping): Stopping {
  if (reason !== 'stopped' && reason !== 'timeout' && reason !== 'leaseLost')
    throw new JarvisError('malformed', `an attempt is not ended because of ${JSON.stringify(reason)}`);
  checkTimes(sinceMs, killAtMs);
  return { reason, sinceMs, killAtMs };
}

/** One that cannot be written would fail whoever looks at the task, for as long as it is kept. */
function checkTimes(...times: readonly number[]): void {
  for (const time of times) if (!isTime(time)) throw new JarvisError('malformed', `${time} ms is no time`);
}

function resultFromWire(result: string | undefined): unknown {
  if (result === undefined || result.length > LEADER_LIMITS.resultCharacters) return null;
  try {
    const value = JSON.parse(result) as unknown;
    // A worker of an earlier release sends any: one that no entry can hold would come again and again.
    return isStorable(value, limits.resultDepth) ? value : null;
  } catch (cause) {
    throw new JarvisError('malformed', 'a result that is no JSON', { cause });
  }
}
