/**
 * The leader's scheduling: woken by what makes a placement possible, it plans on the applied state and its own plans in
 * flight, and proposes. Nothing polls; one timer waits for the next retry.
 */
import type { Clock } from '../lib/clock.ts';
import { JarvisError, messageOf } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { Log } from '../lib/log.ts';
import type { Outcome } from '../model/commands.ts';
import type { AssignResult } from './core/apply/assign.ts';
import { plan, toAssignments, type PlannedAssignment } from './core/placement/plan.ts';
import type { Applied, Replica } from './ports.ts';

/** Plans under way at once: enough to keep the log busy, few enough that a plan sees nearly all of the last. */
const PLANS_IN_FLIGHT = 4;
const RETRIES_PER_COMMAND = 1000;
/** After a proposal was dropped (back-pressure, a change of leader) while this node still leads. */
const PAUSE_MS = 100;

export class SchedulingLoop {
  readonly #replica: Replica;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #inFlight = new Map<string, PlannedAssignment>();
  #term: number | null = null;
  #plansUnderWay = 0;
  #retriesUnderWay = false;
  #woken = false;
  #unsubscribe: () => void = () => {};
  #cancelRetryTimer: () => void = () => {};
  #cancelPause: () => void = () => {};
  /** Assignments refused although nothing had changed since they were planned: each is a bug. */
  unexplainedRefusals = 0;

  constructor(options: { replica: Replica; clock: Clock; log: Log }) {
    this.#replica = options.replica;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  start(term: number): void {
    this.stop();
    this.#term = term;
    this.#unsubscribe = this.#replica.onApplied((applied) => this.#onApplied(applied));
    this.#wake();
  }

  stop(): void {
    this.#term = null;
    this.#inFlight.clear();
    this.#unsubscribe();
    this.#cancelRetryTimer();
    this.#cancelPause();
  }

  #onApplied(applied: Applied): void {
    if (applied.changes.some(({ table }) => table === 'task' || table === 'node')) this.#wake();
  }

  /** Once per turn of the event loop, however much was applied in it. */
  #wake(): void {
    if (this.#woken || this.#term === null) return;
    this.#woken = true;
    setImmediate(() => {
      this.#woken = false;
      this.#schedule();
    });
  }

  #schedule(): void {
    const term = this.#term;
    if (term === null) return;
    this.#scheduleRetries(term);
    while (this.#plansUnderWay < PLANS_IN_FLIGHT) {
      const { assignments, more } = plan(this.#replica.state, this.#inFlight, limits.assignmentsPerCommand);
      if (assignments.length > 0) this.#propose(term, assignments);
      if (!more) break;
    }
  }

  #propose(term: number, assignments: readonly PlannedAssignment[]): void {
    const planIndex = this.#replica.appliedIndex;
    for (const planned of assignments) this.#inFlight.set(planned.taskId, planned);
    this.#plansUnderWay += 1;
    void this.#carryOut(term, planIndex, assignments);
  }

  async #carryOut(term: number, planIndex: number, planned: readonly PlannedAssignment[]): Promise<void> {
    try {
      const assignments = toAssignments(planned);
      this.#onOutcome(
        await this.#replica.propose({ type: 'assign', term, planIndex, assignments }),
        planIndex,
      );
      this.#wake();
    } catch (error) {
      this.#onDropped(error);
    } finally {
      this.#plansUnderWay -= 1;
      for (const one of planned)
        if (this.#inFlight.get(one.taskId) === one) this.#inFlight.delete(one.taskId);
    }
  }

  #onOutcome(outcome: Outcome, planIndex: number): void {
    if (outcome.type === 'refused') {
      this.#log.debug({ code: outcome.code, reason: outcome.message }, 'plan refused');
      return;
    }
    const { refused } = outcome.result as AssignResult;
    if (refused.length === 0) return;
    // Own plans in flight are accounted for: a refusal needs a command that was applied between plan and assignment.
    if (this.#replica.appliedIndex <= planIndex + 1) {
      this.unexplainedRefusals += refused.length;
      this.#log.error({ refused }, 'assignments were refused although nothing had changed');
    } else {
      this.#log.debug({ refused }, 'assignments refused');
    }
  }

  #onDropped(error: unknown): void {
    const code = error instanceof JarvisError ? error.code : 'internal';
    this.#log.warn({ code, error: messageOf(error) }, 'a proposal of the scheduler was dropped');
    this.#cancelPause();
    this.#cancelPause = this.#clock.after(PAUSE_MS, () => this.#wake());
  }

  #scheduleRetries(term: number): void {
    this.#cancelRetryTimer();
    const nextMs = this.#replica.state.nextRetryAtMs();
    if (nextMs === null || this.#retriesUnderWay) return;
    const nowMs = Math.max(this.#clock.wallMs(), this.#replica.state.cluster?.timeMs ?? 0);
    if (nextMs > nowMs) {
      this.#cancelRetryTimer = this.#clock.after(Math.min(nextMs - nowMs, 60_000), () => this.#wake());
      return;
    }
    const due = [...this.#replica.state.retriesDue(nowMs)].slice(0, RETRIES_PER_COMMAND);
    this.#retriesUnderWay = true;
    void this.#queueRetries(
      term,
      due.map(({ id }) => id),
    );
  }

  async #queueRetries(term: number, taskIds: readonly string[]): Promise<void> {
    try {
      await this.#replica.propose({ type: 'retryDue', term, taskIds });
      this.#wake();
    } catch (error) {
      this.#onDropped(error);
    } finally {
      this.#retriesUnderWay = false;
    }
  }
}
