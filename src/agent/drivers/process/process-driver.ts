/** Runs attempts as processes of this machine, whose parent is the watchdog: they outlive the daemon. */
import { JarvisError } from '../../../lib/errors.ts';
import type { NodePolicy } from '../../../model/policy.ts';
import { DEFAULT_POLICY, violationsOfNeeds } from '../../../model/policy.ts';
import type { WatchdogClient } from '../../watchdog/client.ts';
import { isAttemptKey } from '../../watchdog/paths.ts';
import { isSpec } from '../../watchdog/protocol.ts';
import type { RunningAttempt } from '../attempt-counters.ts';
import type { AttemptKey, AttemptSpec, AttemptStop, AttemptView, Driver, Exit } from '../driver.ts';
import { CHEAP_STARTS_AT_ONCE } from '../driver.ts';
import { noImages } from '../no-images.ts';

export class ProcessDriver implements Driver {
  readonly name = 'process';
  readonly startsAtOnce = CHEAP_STARTS_AT_ONCE;
  readonly #client: WatchdogClient;
  readonly #policy: NodePolicy;
  readonly #groupOf: (key: AttemptKey) => string | null;

  /**
   * The client is the driver's from then on: `close` closes it.
   * @param groupOf where the watchdog puts an attempt, from the root of the hierarchies; null: control groups cannot be used
   */
  constructor(
    client: WatchdogClient,
    policy: NodePolicy = DEFAULT_POLICY,
    groupOf: (key: AttemptKey) => string | null = () => null,
  ) {
    this.#client = client;
    this.#policy = policy;
    this.#groupOf = groupOf;
  }

  async open(session: number, signal: AbortSignal): Promise<void> {
    await this.#client.open(session, signal);
  }

  async start(attempt: AttemptSpec, signal: AbortSignal): Promise<AttemptView> {
    if (attempt.container !== null) throw new JarvisError('invalid', noImages(this.name, attempt.container));
    // The leader has judged it, but perhaps by the policy of an earlier start of this node.
    const [violation] = violationsOfNeeds(
      { registry: null, user: attempt.user, cgroups: false },
      this.#policy,
    );
    if (violation !== undefined) throw new JarvisError('invalid', `user ${violation.message}`);
    // Here, too: the watchdog cuts a connection that sends what it cannot read.
    if (!isSpec(attempt)) throw new JarvisError('invalid', 'no attempt that a process could run');
    return this.#client.start(attempt, signal);
  }

  async list(signal: AbortSignal): Promise<readonly AttemptView[]> {
    return this.#client.list(signal);
  }

  async wait(key: AttemptKey, signal: AbortSignal, onStopping?: (stop: AttemptStop) => void): Promise<Exit> {
    return this.#client.wait(key, signal, onStopping);
  }

  async stop(
    key: AttemptKey,
    { graceMs }: { readonly graceMs: number },
    signal: AbortSignal,
  ): Promise<Exit | null> {
    checkKey(key);
    if (!Number.isFinite(graceMs) || graceMs < 0) throw new JarvisError('invalid', `${graceMs} is no grace`);
    return this.#client.stop(key, graceMs, signal);
  }

  async remove(key: AttemptKey, signal: AbortSignal): Promise<void> {
    checkKey(key);
    await this.#client.remove(key, signal);
  }

  running(): readonly RunningAttempt[] {
    return this.#client.running().map(({ taskId, assignment, attempt, fencingToken, startedAtMs }) => ({
      taskId,
      assignment,
      attempt,
      fencingToken,
      startedAtMs,
      cgroup: this.#groupOf({ taskId, assignment }),
      isContainer: false,
    }));
  }

  async close(): Promise<void> {
    await this.#client.close();
  }
}

function checkKey(key: AttemptKey): void {
  if (!isAttemptKey(key)) throw new JarvisError('invalid', `${JSON.stringify(key)} names no attempt`);
}
