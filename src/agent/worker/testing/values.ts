/** What tests of the worker and of the leader's side of it share: values with every field filled in. */
import type { Assignment, Register } from '../../../generated/worker.ts';
import type { AttemptView, Exit } from '../../drivers/driver.ts';

export function registration(name: string, startId: string): Register {
  return {
    name,
    incarnation: `incarnation-${name}`,
    machine_id: 'machine',
    boot_id: 'boot',
    start_id: startId,
    start_counter: 1,
    cluster_id: '',
    version: '0',
    address: '127.0.0.1:1',
    http: '127.0.0.1:2',
    labels: {},
    drivers: ['noop'],
    isolation: 'none',
    capacity: { cpu_millis: 4000, memory_bytes: 4 * 1024 ** 3 },
  };
}

/** Assignment `n` is of task `task-n`. */
export function assignmentOf(n: number, session: number, term = 3): Assignment {
  return {
    task_id: `task-${n}`,
    assignment: n,
    term,
    session,
    attempt: 1,
    fencing_token: String(n),
    driver: 'noop',
    command: ['true'],
    env: {},
    working_dir: '',
    stop_grace_ms: 1000,
    cpu_millis: 100,
    memory_bytes: 1024,
    container: undefined,
    limits: undefined,
    unleased: false,
  };
}

export function exitOf(exit: Partial<Exit>): Exit {
  return {
    exitCode: 0,
    signal: null,
    reason: 'exited',
    message: '',
    startedAtMs: 1,
    finishedAtMs: 2,
    errorFile: null,
    resultFile: null,
    logTail: '',
    ...exit,
  };
}

export function viewOf(n: number, type: AttemptView['type'], session = 1): AttemptView {
  const base = {
    taskId: `task-${n}`,
    assignment: n,
    attempt: 1,
    session,
    term: 1,
    fencingToken: String(n),
    isLeased: true,
  };
  if (type === 'running') return { ...base, type, startedAtMs: 1, stopping: false };
  if (type === 'ended') return { ...base, type, exit: exitOf({}) };
  return { ...base, type };
}
