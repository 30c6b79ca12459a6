/**
 * The leader's scheduling: woken by what makes a placement possible, it plans on the applied state and its own plans in
 * flight, and proposes. Nothing polls; one timer waits for the next retry, another holds off after a mishap.
 */
import type { Clock } from '../lib/clock.ts';
import { JarvisError, messageOf } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { Log } from '../lib/log.ts';
import type { AssignCommand, Outcome } from '../model/commands.ts';
import { concurrencyOf } from '../model/earlier-rows.ts';
import { groupOf } from '../model/group.ts';
import { ClusterTime } from './cluster-time.ts';
import type { CommandResults } from './core/apply/results.ts';
import { headsOf, nextDueMs } from './core/placement/heads.ts';
import { toAssignments } from './core/placement/plan.ts';
import type { MeasuredLoad } from './core/placement/planner.ts';
import { Planner } from './core/placement/planner.ts';
import { PlansInFlight } from './core/placement/plans-in-flight.ts';
import type { PlanInFlight } from './core/placement/plans-in-flight.ts';
import { wakes } from './core/placement/wakes.ts';
import { GroupWork } from './group-work.ts';
import type { Applied, Replica } from './ports.ts';

/** Plans under way at once: enough to keep the log busy, few enough that each sees nearly all of those before it. */
const PLANS_IN_FLIGHT = 4;
const RETRIES_PER_COMMAND = 1000;
/** After a proposal that was dropped, or that came to nothing without a reason: else it were repeated at full speed. */
const PAUSE_MS = 100;
/** Between looks at what is measured on the nodes. */
const MEASURE_MS = 1000;
/** Wall clocks jump: the longest wait before the time is read again. */
const LONGEST_TIMER_MS = 60_000;

export interface SchedulingLoopOptions {
  readonly replica: Replica;
  readonly clock: Clock;
  readonly log: Log;
  /** Runs it in the next turn of the event loop; default: setImmediate. Simulations have turns of their own. */
  readonly nextTurn?: (action: () => void) => void;
  /** What is measured on the nodes, as far as the leader knows it. */
  readonly loadOf?: MeasuredLoad;
  /** So many assignments are committed, so long after the pass that planned them began. */
  readonly onAssigned?: (tasks: number, durationMs: number) => void;
}

export class SchedulingLoop {
  readonly #options: SchedulingLoopOptions;
  #leading: LeadingLoop | null = null;
  #unexplainedRefusals = 0;

  constructor(options: SchedulingLoopOptions) {
    this.#options = options;
  }

  /** Assignments refused although nothing that they rest on had changed since they were planned: each is a bug. */
  get unexplainedRefusals(): number {
    return this.#unexplainedRefusals;
  }

  /** From when this node leads in the term, and has applied an entry of it. */
  start(term: number): void {
    this.stop();
    this.#leading = new LeadingLoop(this.#options, term, (count) => {
      this.#unexplainedRefusals += count;
    });
  }

  stop(): void {
    this.#leading?.stop();
    this.#leading = null;
  }
}

/** One term of leading; what comes back after its end finds it stopped. */
class LeadingLoop {
  readonly #replica: Replica;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #term: number;
  readonly #nextTurn: (action: () => void) => void;
  readonly #onUnexplained: (count: number) => void;
  readonly #onAssigned: (tasks: number, durationMs: number) => void;
  readonly #time: ClusterTime;
  readonly #plans: PlansInFlight;
  readonly #planner: Planner;
  readonly #loadOf: MeasuredLoad | null;
  readonly #groups: GroupWork;
  readonly #unsubscribe: () => void;
  #measuredMs = Number.NEGATIVE_INFINITY;
  #isStopped = false;
  #isWoken = false;
  #isPaused = false;
  #retriesUnderWay = false;
  #reservationUnderWay = false;
  #cancelRetryTimer: () => void = () => {};
  #cancelReservationTimer: () => void = () => {};
  #cancelPause: () => void = () => {};

  constructor(options: SchedulingLoopOptions, term: number, onUnexplained: (count: number) => void) {
    this.#replica = options.replica;
    this.#clock = options.clock;
    this.#time = new ClusterTime(options.clock);
    this.#log = options.log.child({ term });
    this.#term = term;
    this.#nextTurn = options.nextTurn ?? ((action) => void setImmediate(action));
    this.#onUnexplained = onUnexplained;
    this.#onAssigned = options.onAssigned ?? (() => {});
    const { state } = options.replica;
    this.#plans = new PlansInFlight(() => headsOf(state.cluster));
    this.#planner = new Planner(state, this.#plans);
    this.#loadOf = options.loadOf ?? null;
    this.#groups = new GroupWork({
      state: () => options.replica.state,
      term,
      propose: (command) => this.#propose(command),
      pause: () => this.#pause(),
      wake: () => this.#wake(),
    });
    this.#unsubscribe = options.replica.onApplied((applied) => this.#onApplied(applied));
    this.#wake();
  }

  stop(): void {
    this.#isStopped = true;
    this.#unsubscribe();
    this.#cancelRetryTimer();
    this.#cancelReservationTimer();
    this.#cancelPause();
  }

  // Waking

  #onApplied(applied: Applied): void {
    const { command, index, changes } = applied;
    if (command.type === 'assign' && command.term === this.#term) {
      this.#judgeRefusals(applied, command);
      const taskIds = command.assignments.map(({ taskId }) => taskId);
      this.#plans.applied(index, taskIds, changes);
      this.#planner.touch(command.assignments.map(({ node }) => node));
    } else {
      this.#plans.changed(index, changes);
    }
    this.#planner.changed(changes);
    if (changes.some(wakes)) this.#wake();
  }

  /** Once per turn of the event loop, however much was applied in it. */
  #wake(): void {
    if (this.#isWoken || this.#isPaused || this.#isStopped) return;
    this.#isWoken = true;
    this.#nextTurn(() => {
      this.#isWoken = false;
      if (this.#isPaused || this.#isStopped) return;
      try {
        this.#schedule();
      } catch (error) {
        this.#log.error({ error }, 'scheduling failed: a bug');
        this.#pause();
      }
    });
  }

  #pause(): void {
    if (this.#isPaused || this.#isStopped) return;
    this.#isPaused = true;
    this.#cancelPause = this.#clock.after(PAUSE_MS, () => {
      this.#isPaused = false;
      this.#wake();
    });
  }

  #schedule(): void {
    this.#groups.step();
    this.#scheduleRetries();
    // Whoever ends that wakes this loop: `LeaseSettler`.
    if (this.#replica.state.cluster?.awaitsLeases === true) return;
    this.#measure();
    while (this.#plans.count < PLANS_IN_FLIGHT) {
      const beganMs = this.#clock.monotonicMs();
      const { assignments, overtakes, more } = this.#planner.plan(limits.assignmentsPerCommand);
      if (assignments.length > 0) {
        const planned = { planIndex: this.#replica.appliedIndex, assignments };
        this.#plans.add(planned);
        void this.#assign(planned, overtakes, beganMs);
      }
      if (!more) break;
    }
    this.#scheduleReservations();
  }

  #measure(): void {
    const nowMs = this.#clock.monotonicMs();
    if (this.#loadOf === null || nowMs - this.#measuredMs < MEASURE_MS) return;
    this.#measuredMs = nowMs;
    this.#planner.measure(this.#loadOf);
  }

  // Assignments

  async #assign(planned: PlanInFlight, overtakes: string | null, beganMs: number): Promise<void> {
    const outcome = await this.#propose({
      type: 'assign',
      term: this.#term,
      planIndex: planned.planIndex,
      assignments: toAssignments(planned.assignments),
      ...(overtakes === null ? {} : { overtakes }),
    });
    if (outcome === null) this.#plans.abandon(planned);
    else this.#plans.settle(planned);
    this.#planner.touch(planned.assignments.map(({ node }) => node));
    if (outcome?.type === 'refused') this.#onRefused(outcome);
    if (outcome?.type === 'done') {
      const { accepted } = outcome.result as CommandResults['assign'];
      this.#onAssigned(accepted.length, this.#clock.monotonicMs() - beganMs);
    }
    this.#wake();
  }

  /** In log order, before anything later is applied: what is refused is judged by what was applied until then. */
  #judgeRefusals({ outcome, index }: Applied, { planIndex, assignments }: AssignCommand): void {
    if (outcome.type === 'refused') return;
    const reasons = new Map(
      (outcome.result as CommandResults['assign']).refused.map((one) => [one.taskId, one.reason]),
    );
    if (reasons.size === 0) return;
    const refused = assignments.filter(({ taskId }) => reasons.has(taskId));
    const { tasks } = this.#replica.state;
    const unexplained = refused.filter((one) => {
      const task = tasks.get(one.taskId);
      return !this.#plans.isExplained(one, planIndex, {
        concurrencyKey: task === undefined ? null : (concurrencyOf(task)?.key ?? null),
        groupId: task === undefined ? null : (groupOf(task)?.id ?? null),
      });
    });
    this.#log.debug(
      { index, planIndex, refused: refused.length },
      'assignments refused: the state has changed',
    );
    if (unexplained.length === 0) return;
    this.#onUnexplained(unexplained.length);
    const [first] = unexplained;
    this.#log.error(
      {
        index,
        planIndex,
        count: unexplained.length,
        task: first?.taskId,
        worker: first?.node,
        reason: reasons.get(first?.taskId ?? ''),
      },
      'assignments were refused although nothing that they rest on has changed: a bug',
    );
    this.#pause();
  }

  // Retries

  #scheduleRetries(): void {
    this.#cancelRetryTimer();
    const { state } = this.#replica;
    const nextMs = state.nextRetryAtMs();
    if (nextMs === null || this.#retriesUnderWay) return;
    const nowMs = this.#time.nowMs(state.cluster?.timeMs ?? 0);
    if (nextMs > nowMs) {
      const delayMs = Math.min(nextMs - nowMs, LONGEST_TIMER_MS);
      this.#cancelRetryTimer = this.#clock.after(delayMs, () => this.#wake());
      return;
    }
    const taskIds: string[] = [];
    for (const { id } of state.retriesDue(nowMs)) {
      taskIds.push(id);
      if (taskIds.length === RETRIES_PER_COMMAND) break;
    }
    this.#retriesUnderWay = true;
    void this.#retry(taskIds);
  }

  async #retry(taskIds: readonly string[]): Promise<void> {
    const outcome = await this.#propose({ type: 'retryDue', term: this.#term, taskIds });
    this.#retriesUnderWay = false;
    if (outcome?.type === 'refused') this.#onRefused(outcome);
    // Stamped before the time that was read here: nothing was due yet.
    if (outcome?.type === 'done' && (outcome.result as CommandResults['retryDue']).queued.length === 0)
      this.#pause();
    this.#wake();
  }

  // Reservations

  #scheduleReservations(): void {
    this.#cancelReservationTimer();
    const { state } = this.#replica;
    const heads = headsOf(state.cluster);
    if (heads.length === 0 || this.#reservationUnderWay) return;
    const nowMs = this.#time.nowMs(state.cluster?.timeMs ?? 0);
    const wanted = this.#planner.reservation(nowMs);
    if (wanted !== null) {
      this.#reservationUnderWay = true;
      void this.#reserve(wanted);
      return;
    }
    const nextMs = Math.min(...heads.map((head) => nextDueMs(head, nowMs)));
    const delayMs = Math.min(nextMs - nowMs, LONGEST_TIMER_MS);
    this.#cancelReservationTimer = this.#clock.after(delayMs, () => this.#wake());
  }

  async #reserve(wanted: { readonly taskId: string; readonly nodes: readonly string[] }): Promise<void> {
    const outcome = await this.#propose({ type: 'reserveNodes', term: this.#term, ...wanted });
    this.#reservationUnderWay = false;
    if (outcome?.type === 'refused') this.#onRefused(outcome);
    this.#wake();
  }

  // Proposals

  /** Never throws. @returns null where the proposal was dropped, or its outcome is unknown */
  async #propose(command: Parameters<Replica['propose']>[0]): Promise<Outcome | null> {
    try {
      return await this.#replica.propose(command);
    } catch (error) {
      if (this.#isStopped) return null;
      const code = error instanceof JarvisError ? error.code : 'internal';
      const fields = { code, command: command.type, error: messageOf(error) };
      // Back-pressure and changes of leader belong to the work; anything else does not.
      if (code === 'internal') this.#log.error(fields, 'a proposal of the scheduler failed');
      else this.#log.warn(fields, 'a proposal of the scheduler was dropped');
      this.#pause();
      return null;
    }
  }

  #onRefused(outcome: Extract<Outcome, { type: 'refused' }>): void {
    const fields = { code: outcome.code, reason: outcome.message };
    switch (outcome.code) {
      case 'stale_decision':
        // The term is over; whoever leads plans anew.
        this.#log.debug(fields, 'a decision of an earlier term was refused');
        return;
      default:
        this.#log.error(fields, 'a command of the scheduler was refused: a bug');
        this.#pause();
    }
  }
}
