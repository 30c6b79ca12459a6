/**
 * What daemon and watchdog say to each other. The watchdog may be older than the daemon (it lives until its last attempt
 * ends): the daemon names the newest protocol it speaks, the watchdog answers with the one to use.
 */
import { isPlainObject } from '../../lib/plain-object.ts';
import type { AttemptKey, AttemptSpec, AttemptView, Exit } from '../drivers/driver.ts';
import type { OutputCounts } from './output-counters.ts';
import { isAttemptKey } from './paths.ts';

/** 2: leases. */
export const PROTOCOL = 2;
export const LEASE_PROTOCOL = 2;

export type RequestBody =
  /** Begins a session, or says again which one this connection belongs to. */
  | { readonly type: 'hello'; readonly protocol: number; readonly session: number }
  | { readonly type: 'start'; readonly session: number; readonly spec: AttemptSpec }
  | (AttemptKey & { readonly type: 'stop'; readonly session: number; readonly graceMs: number })
  /** `after`: the `next` of the page before. */
  | { readonly type: 'list'; readonly session: number; readonly after: number | null }
  | (AttemptKey & { readonly type: 'remove'; readonly session: number })
  /** Attempts may run until that CLOCK_BOOTTIME; answered once it is on disk. */
  | { readonly type: 'lease'; readonly session: number; readonly deadlineMs: number }
  /** What will be in that control group is ended with the lease; to be asked before anything can be in it. */
  | (AttemptKey & {
      readonly type: 'guard';
      readonly session: number;
      readonly cgroup: string;
      readonly isLeased: boolean;
    })
  | (AttemptKey & { readonly type: 'isGuardOver'; readonly session: number })
  /** Nothing can come into its group any more. */
  | (AttemptKey & { readonly type: 'release'; readonly session: number })
  /** Answered at once, by whoever is not stopped. */
  | { readonly type: 'ping'; readonly session: number }
  /** Exit once no attempt is left; `killAll` ends them. */
  | { readonly type: 'shutdown'; readonly session: number; readonly killAll: boolean };

export type Request = RequestBody & { readonly id: number };

export interface Answers {
  hello: { readonly protocol: number; readonly pid: number };
  start: { readonly attempt: AttemptView };
  /** `null`: not known; a start that comes later is refused. */
  stop: { readonly attempt: AttemptView | null };
  list: { readonly attempts: readonly AttemptView[]; readonly next: number | null };
  remove: Record<string, never>;
  lease: Record<string, never>;
  guard: Record<string, never>;
  /** Whether the lease was over and what was in the group ended. */
  isGuardOver: { readonly isOver: boolean };
  release: Record<string, never>;
  /** Absent: of a watchdog from before they were counted. */
  ping: { readonly output?: OutputCounts };
  shutdown: Record<string, never>;
}

export type Reply =
  | { readonly id: number; readonly answer: Answers[keyof Answers] }
  | { readonly id: number; readonly refusal: { readonly code: string; readonly message: string } };

/** Pushed to the daemon of the newest session. */
export interface WatchdogEvent {
  readonly event: 'started' | 'stopping' | 'exited';
  readonly attempt: AttemptView;
}

const STATES: ReadonlySet<unknown> = new Set(['registered', 'running', 'ended']);
const REASONS: ReadonlySet<unknown> = new Set([
  'exited',
  'timeout',
  'stopped',
  'startFailed',
  'leaseLost',
  'unknown',
]);

/** @returns null where it is no request of this protocol */
export function parseRequest(value: unknown): Request | null {
  if (!isPlainObject(value) || !isCount(value['id']) || !isCount(value['session'])) return null;
  return isRequestBody(value) ? (value as unknown as Request) : null;
}

function isRequestBody(value: Readonly<Record<string, unknown>>): boolean {
  switch (value['type']) {
    case 'hello':
      return isCount(value['protocol']);
    case 'start':
      return isSpec(value['spec']) && value['spec'].session === value['session'];
    case 'stop':
      return isKey(value) && isDuration(value['graceMs']);
    case 'list':
      return value['after'] === null || isCount(value['after']);
    case 'remove':
      return isKey(value);
    case 'lease':
      return isDuration(value['deadlineMs']);
    case 'guard':
      return isKey(value) && isGroup(value['cgroup']) && typeof value['isLeased'] === 'boolean';
    case 'isGuardOver':
    case 'release':
      return isKey(value);
    case 'ping':
      return true;
    case 'shutdown':
      return typeof value['killAll'] === 'boolean';
    default:
      return false;
  }
}

/** Judges the shape alone; a command that cannot run is for the attempt to say. */
export function isSpec(value: unknown): value is AttemptSpec {
  return (
    isPlainObject(value) &&
    isKey(value) &&
    isCount(value['attempt']) &&
    isCount(value['session']) &&
    isCount(value['term']) &&
    typeof value['fencingToken'] === 'string' &&
    Array.isArray(value['command']) &&
    value['command'].every((word) => typeof word === 'string') &&
    isPlainObject(value['env']) &&
    Object.values(value['env']).every((word) => typeof word === 'string') &&
    (value['workingDir'] === null || typeof value['workingDir'] === 'string') &&
    (value['timeoutMs'] === null || isDuration(value['timeoutMs'])) &&
    isDuration(value['stopGraceMs']) &&
    typeof value['isLeased'] === 'boolean'
  );
}

export function isAttemptView(value: unknown): value is AttemptView {
  if (!isPlainObject(value) || !isKey(value) || !STATES.has(value['type'])) return false;
  if (!isCount(value['attempt']) || !isCount(value['session']) || !isCount(value['term'])) return false;
  if (typeof value['fencingToken'] !== 'string') return false;
  if (value['type'] === 'running')
    return (
      typeof value['startedAtMs'] === 'number' &&
      typeof value['stopping'] === 'boolean' &&
      isStop(value['stop'])
    );
  return value['type'] !== 'ended' || isExit(value['exit']);
}

/** Absent where it is not being stopped, and in records of earlier releases. */
function isStop(value: unknown): boolean {
  if (value === undefined) return true;
  return (
    isPlainObject(value) &&
    REASONS.has(value['reason']) &&
    isDuration(value['sinceMs']) &&
    isDuration(value['killAtMs'])
  );
}

/** Records of before there were leases do not say so: such an attempt ends with the lease, too. */
export function withLease(view: AttemptView): AttemptView {
  const { isLeased = true } = view as { readonly isLeased?: boolean };
  return { ...view, isLeased };
}

function isExit(value: unknown): value is Exit {
  return (
    isPlainObject(value) &&
    (value['exitCode'] === null || typeof value['exitCode'] === 'number') &&
    isTextOrNull(value['signal']) &&
    REASONS.has(value['reason']) &&
    typeof value['message'] === 'string' &&
    typeof value['startedAtMs'] === 'number' &&
    typeof value['finishedAtMs'] === 'number' &&
    isTextOrNull(value['errorFile']) &&
    isTextOrNull(value['resultFile']) &&
    typeof value['logTail'] === 'string'
  );
}

/** From the root of the hierarchies, and of an attempt of ours: everything in it may be killed. */
export function isGroup(value: unknown): value is string {
  return (
    typeof value === 'string' && /^(\/[A-Za-z0-9_][A-Za-z0-9_.-]*)*\/jarvis-[A-Za-z0-9_.-]+$/.test(value)
  );
}

function isKey(value: Readonly<Record<string, unknown>>): boolean {
  const { taskId, assignment } = value as Partial<Record<keyof AttemptKey, unknown>>;
  return typeof taskId === 'string' && typeof assignment === 'number' && isAttemptKey({ taskId, assignment });
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isDuration(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}

function isTextOrNull(value: unknown): boolean {
  return value === null || typeof value === 'string';
}
