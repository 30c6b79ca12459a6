/** Specs, registrations and reports for tests, with what a test does not care about filled in. */
import type { Autoscaling } from '../../../model/autoscaling.ts';
import type { AttemptReport, RegisterNodeCommand } from '../../../model/commands.ts';
import { NO_LIMITS } from '../../../model/earlier-rows.ts';
import { DEFAULT_POLICY } from '../../../model/policy.ts';
import type { ContainerSpec, Resources, RetryPolicy, TaskSpec } from '../../../model/task.ts';

export const MIB = 1024 * 1024;

export function specOf(
  changes: Partial<Omit<TaskSpec, 'retryPolicy'>> & { retry?: Partial<RetryPolicy> } = {},
): TaskSpec {
  const { retry, ...rest } = changes;
  return {
    name: 'task',
    container: null,
    user: null,
    command: ['true'],
    env: [],
    workingDir: null,
    resources: { cpuMillis: 1000, memoryBytes: 64 * MIB },
    limits: NO_LIMITS,
    priority: 'normal',
    timeoutMs: null,
    stopGraceMs: 10_000,
    retryPolicy: {
      maxAttempts: 3,
      backoffStrategy: 'exponential',
      backoffBase: 2,
      maxBackoff: 300,
      retryableErrors: ['ConnectionTimeout', 'ServiceUnavailable', 'TemporaryFailure'],
      nonRetryableErrors: ['InvalidInput', 'AuthenticationError', 'ResourceNotFound'],
      ...retry,
    },
    onNodeLoss: 'reschedule',
    labels: [],
    ...rest,
  };
}

export function containerOf(changes: Partial<ContainerSpec> = {}): ContainerSpec {
  return {
    image: 'python:3.9',
    user: null,
    mounts: [],
    network: 'bridge',
    pullPolicy: 'if_not_present',
    ...changes,
  };
}

export const NODE_CAPACITY: Resources = { cpuMillis: 4000, memoryBytes: 4096 * MIB };

export function registrationOf(
  name: string,
  changes: Partial<RegisterNodeCommand> = {},
): Omit<RegisterNodeCommand, 'atMs'> {
  return {
    type: 'registerNode',
    name,
    incarnation: `${name}-data`,
    machineId: `${name}-machine`,
    bootId: `${name}-boot`,
    startId: `${name}-start-1`,
    startCounter: 1,
    version: '0.1.0',
    address: `${name}:7101`,
    http: `${name}:8101`,
    labels: [],
    drivers: ['process'],
    policy: DEFAULT_POLICY,
    isolation: 'cgroup',
    capacity: NODE_CAPACITY,
    ...changes,
  };
}

export function reportOf(
  at: { readonly taskId: string; readonly assignment: number; readonly atMs: number },
  status: AttemptReport['status'],
  changes: Partial<AttemptReport> = {},
): AttemptReport {
  return {
    ...at,
    status,
    startedAtMs: null,
    exitCode: null,
    signal: null,
    error: status === 'FAILED' ? { type: 'ExitCode', message: 'exit code 1' } : null,
    result: null,
    logTail: '',
    note: '',
    imageDigest: null,
    ...changes,
  };
}

/** An autoscaler that is on, and has no rules. */
export const SCALING: Autoscaling = {
  enabled: true,
  dryRun: false,
  minNodes: 1,
  maxNodes: 6,
  scaleUpRules: [],
  scaleDownRules: [],
  intervalMs: 10_000,
  provider: 'process',
  process: null,
  docker: null,
  aws: null,
  command: null,
};
