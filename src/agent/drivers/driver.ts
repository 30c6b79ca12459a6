/**
 * The driver port: what the worker needs from anything that can execute an attempt (a process, a container, nothing at
 * all). Implementations sit in folders beside this file and all pass `driver-contract.test-kit.ts`.
 *
 * Terminology. *Attempt*: one execution of a task. *Assignment*: the number under which the leader placed it on a node;
 * (taskId, assignment) names an attempt here. *Session*: one registration of a daemon with the cluster; a driver that has
 * seen a session refuses requests of older ones.
 */
import type { ContainerSpec, Resources, TaskLimits } from '../../model/task.ts';
import type { AttemptCounters, RunningAttempt } from './attempt-counters.ts';

export type DriverName = 'process' | 'docker' | 'noop';

/** `startsAtOnce` of drivers whose starts cost little more than a fork. */
export const CHEAP_STARTS_AT_ONCE = 32;

/** Names an attempt for every call of this port. */
export interface AttemptKey {
  readonly taskId: string;
  readonly assignment: number;
}

/** Everything that a driver must know to execute an attempt. */
/** A container as a driver makes it. */
export interface AttemptContainer extends ContainerSpec {
  /** Of the task: for whoever lists containers. */
  readonly labels: Readonly<Record<string, string>>;
}

export interface AttemptSpec extends AttemptKey {
  /** Counts the executions of the task: 1 is the first. */
  readonly attempt: number;
  /** The session that the assignment is started in. */
  readonly session: number;
  /** The Raft term of the leader that decided the assignment. */
  readonly term: number;
  /** Decimal, below 2^63; rises with every assignment, cluster-wide. */
  readonly fencingToken: string;
  /** Null: a process of the node. */
  readonly container: AttemptContainer | null;
  /** Of a process: `name` or `uid`, either with `:group` or `:gid`; null: the node's own. A container has its own field. */
  readonly user: string | null;
  /** With an image it replaces the image's CMD, and may be empty. */
  readonly command: readonly string[];
  /**
   * The whole environment. The driver itself sets, last: JARVIS_TASK_ID, JARVIS_ATTEMPT, JARVIS_FENCING_TOKEN,
   * JARVIS_ERROR_FILE and JARVIS_RESULT_FILE.
   */
  readonly env: Readonly<Record<string, string>>;
  /** Absolute; `null`: an empty directory of the attempt's own, or the image's. */
  readonly workingDir: string | null;
  /** Set aside for it. */
  readonly resources: Resources;
  readonly limits: TaskLimits;
  /** Counted from the start of execution; `null`: none. */
  readonly timeoutMs: number | null;
  /** From TERM to KILL where the timeout ends the attempt. */
  readonly stopGraceMs: number;
  /** It runs within the node's lease only; else nothing but an operator's word moves it (`on_node_loss: wait`). */
  readonly isLeased: boolean;
}

/** How an attempt ended. Reported only once nothing of it runs any more. */
export interface Exit {
  readonly exitCode: number | null;
  /** For instance `SIGKILL`. */
  readonly signal: string | null;
  /** `leaseLost`: ended because the node's lease ran out (docs/leases.md). */
  readonly reason: 'exited' | 'timeout' | 'stopped' | 'startFailed' | 'leaseLost' | 'unknown';
  /** What the node saw, where that is more than `reason` says (docs/contract.md, "Error types"). */
  readonly errorType?: 'ImageNotFound' | 'ImagePullFailed' | 'AuthenticationError' | 'OutOfMemory';
  /** For people; empty where there is nothing to add. */
  readonly message: string;
  /** When it began to execute, or should have; wall time. */
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
  /** Text that the task left in its `$JARVIS_ERROR_FILE`; `null`: none, or more than 4 KiB, or no regular file. */
  readonly errorFile: string | null;
  /** The same for `$JARVIS_RESULT_FILE`. */
  readonly resultFile: string | null;
  /** The last 4 KiB of output, both streams as they came. */
  readonly logTail: string;
}

interface AttemptBase extends AttemptKey {
  readonly attempt: number;
  /** Of its start. */
  readonly session: number;
  readonly term: number;
  readonly fencingToken: string;
  readonly isLeased: boolean;
  /** Of a container that was created: the image, by its content. */
  readonly imageDigest?: string;
}

/** An attempt is being ended before its time: TERM was sent, KILL follows. Wall times. */
export interface AttemptStop {
  readonly reason: 'stopped' | 'timeout' | 'leaseLost';
  readonly sinceMs: number;
  /** At the latest; not after `sinceMs`: KILL at once, and no TERM. */
  readonly killAtMs: number;
}

/** An attempt as the driver knows it. It moves only downwards through this list. */
export type AttemptView =
  | (AttemptBase & { readonly type: 'registered' })
  | (AttemptBase & {
      readonly type: 'running';
      readonly startedAtMs: number;
      readonly stopping: boolean;
      /** Where it is `stopping`; absent in what earlier releases have recorded. */
      readonly stop?: AttemptStop;
    })
  | (AttemptBase & { readonly type: 'ended'; readonly exit: Exit });

/**
 * Every method is idempotent: a restarted node replays its assignments. Errors are `JarvisError`s: `invalid` (the
 * request can never work), `conflict` (refused for good: an older session, an assignment seen before), `not_found`,
 * `too_many`, `unavailable` and `timeout` (not known whether it happened: ask again).
 */
export interface Driver {
  readonly name: DriverName;
  /** Starts that it takes at the same time; more would only make each of them late. */
  readonly startsAtOnce: number;
  /**
   * Begins a session, before the inventory is taken: from then on requests of older ones are refused, also those under
   * way. May be called again with a higher number. @throws `conflict` where a higher one was seen.
   */
  open(session: number, signal: AbortSignal): Promise<void>;
  /**
   * Resolves once the attempt runs or has failed to start (then `ended` with reason `startFailed`). Repeated for an
   * attempt that is known, it answers with that and executes nothing. @throws `conflict` where the assignment was
   * stopped or removed before, or a newer one of the task was seen: then it never runs.
   * @param onProgress what a start that takes long does at present, for people; seldom more than every two seconds
   */
  start(attempt: AttemptSpec, signal: AbortSignal, onProgress?: (note: string) => void): Promise<AttemptView>;
  /** Every attempt known, in every state, also those started by earlier daemons. */
  list(signal: AbortSignal): Promise<readonly AttemptView[]>;
  /**
   * Resolves once nothing of it runs any more. @throws `not_found` for an attempt that is not known.
   * @param onStopping called when it is being ended before its time, by its timeout too; again where that is to go faster
   */
  wait(key: AttemptKey, signal: AbortSignal, onStopping?: (stop: AttemptStop) => void): Promise<Exit>;
  /**
   * TERM, then KILL after `graceMs`; resolves once nothing of it runs. For an attempt that is not known it resolves with
   * `null`, and a start that comes later is refused.
   */
  stop(key: AttemptKey, options: { readonly graceMs: number }, signal: AbortSignal): Promise<Exit | null>;
  /** Forgets an ended attempt; its log stays. Not known is fine. @throws `conflict` where it has not ended. */
  remove(key: AttemptKey, signal: AbortSignal): Promise<void>;
  /** What runs, as far as is known in this daemon; costs next to nothing. Absent: its attempts use nothing of the node. */
  running?(): readonly RunningAttempt[];
  /**
   * Where what an attempt consists of is not found on this machine: whatever else executes it is asked. Absent, or null:
   * nobody knows. @throws where there is no answer
   */
  askCounters?(key: AttemptKey, signal: AbortSignal): Promise<AttemptCounters | null>;
  /** Lets go of the driver's resources in this daemon; attempts run on. */
  close(): Promise<void>;
}
