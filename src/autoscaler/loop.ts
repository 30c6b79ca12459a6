/**
 * The autoscaler, for as long as this node leads: looks at the load every interval, writes down what the rules come to, and sees to
 * it that instances go their way. All that it knows is replicated, or can be found out anew.
 */
import { messageOf } from '../lib/errors.ts';
import type { Autoscaling } from '../model/autoscaling.ts';
import { dryRunOf } from '../model/earlier-rows.ts';
import { NO_SCALING } from '../model/scaling.ts';
import { ClusterTime } from '../scheduler/cluster-time.ts';
import { evaluate, scalingLoadOf, type Evaluation } from './core/evaluation.ts';
import { nextActions } from './core/lifecycle.ts';
import { isMended } from './core/retry.ts';
import { InstanceDriver } from './driver.ts';
import { AUTOSCALER_LIMITS } from './limits.ts';
import { InstanceLists } from './lists.ts';
import type { AutoscalerParts } from './ports.ts';

/** What is counted of it. */
export interface AutoscalerObserver {
  decided(action: Evaluation['decision']['action']): void;
  failed(): void;
}

interface Term {
  readonly term: number;
  readonly controller: AbortController;
  readonly driver: InstanceDriver;
  readonly lists: InstanceLists;
  /** Monotonic. */
  evaluateAtMs: number;
  /** Monotonic: when the rules were to be looked at for the first time, and were looked at last. */
  readonly beganAtMs: number;
  evaluatedAtMs: number | null;
  isDeciding: boolean;
  /** By node, in the cluster's time. */
  readonly offlineSince: Map<string, number>;
}

/** A dry run that comes to the same again is told of again after so long. */
const SAME_AGAIN_MS = 600_000;

export class Autoscaler {
  readonly #parts: AutoscalerParts;
  readonly #observer: AutoscalerObserver;
  readonly #time: ClusterTime;
  #current: Term | null = null;
  #cancelTimer: () => void = () => {};
  /** Wall time; null: not since this node leads. */
  #evaluatedAtMs: number | null = null;

  constructor(parts: AutoscalerParts, observer: AutoscalerObserver) {
    this.#parts = parts;
    this.#observer = observer;
    this.#time = new ClusterTime(parts.clock);
  }

  start(term: number): void {
    this.stop();
    const { clock, replica, providers } = this.#parts;
    const controller = new AbortController();
    const onFailure = (): void => this.#observer.failed();
    const driver = new InstanceDriver({ ...this.#parts, term, signal: controller.signal, onFailure });
    const lists = new InstanceLists({
      providers,
      state: () => replica.state,
      nowMs: () => this.#nowMs(),
      clock,
      onFailure: (provider, reason) => void driver.fail(provider, reason),
      onList: () => this.#drive(),
    });
    const evaluateAtMs = clock.monotonicMs();
    this.#current = {
      term,
      controller,
      driver,
      lists,
      evaluateAtMs,
      beganAtMs: evaluateAtMs,
      evaluatedAtMs: null,
      isDeciding: false,
      offlineSince: new Map(),
    };
    this.#wait(0);
  }

  stop(): void {
    this.#cancelTimer();
    this.#current?.controller.abort();
    this.#current = null;
    this.#evaluatedAtMs = null;
  }

  /** When the rules were looked at last, wall time; null: not since this node leads, or it does not. */
  get evaluatedAtMs(): number | null {
    return this.#evaluatedAtMs;
  }

  /** For how long the rules ought to have been looked at already; 0: in time. Null: it does not lead, or is switched off. */
  get overdueMs(): number | null {
    const { clock, replica } = this.#parts;
    const settings = replica.state.cluster?.config.autoscaling;
    if (this.#current === null || settings?.enabled !== true) return null;
    const { beganAtMs, evaluatedAtMs } = this.#current;
    const dueAtMs = evaluatedAtMs === null ? beganAtMs : evaluatedAtMs + settings.intervalMs;
    return Math.max(0, clock.monotonicMs() - dueAtMs);
  }

  /** What the rules come to now. Where the autoscaler is switched off, too: what they would. */
  preview(settings: Autoscaling): Evaluation {
    const { replica, members, voters } = this.#parts;
    return evaluate({
      state: replica.state,
      nowMs: this.#nowMs(),
      settings,
      members: members(),
      voters: voters(),
    });
  }

  #nowMs(): number {
    return this.#time.nowMs(this.#parts.replica.state.cluster?.timeMs ?? 0);
  }

  #wait(delayMs: number): void {
    this.#cancelTimer = this.#parts.clock.after(delayMs, () => {
      this.#look();
      this.#wait(AUTOSCALER_LIMITS.lookMs);
    });
  }

  #look(): void {
    const current = this.#current;
    const { clock, replica } = this.#parts;
    const settings = replica.state.cluster?.config.autoscaling;
    if (current === null || settings === undefined) return;
    this.#noteOffline(current);
    const nowMs = clock.monotonicMs();
    // A shorter interval counts at once.
    current.evaluateAtMs = Math.min(current.evaluateAtMs, nowMs + settings.intervalMs);
    if (settings.enabled && current.evaluateAtMs <= nowMs && !current.isDeciding) {
      current.evaluateAtMs = nowMs + settings.intervalMs;
      void this.#decide(current, settings);
    }
    const { instances } = replica.state;
    const isBusy = [...instances.values()].some(({ phase }) => phase !== 'JOINED');
    const provider = settings.enabled && !dryRunOf(settings) ? settings.provider : null;
    current.lists.look(isBusy, provider, current.controller.signal);
    this.#drive();
  }

  #noteOffline({ offlineSince }: Term): void {
    const { nodes } = this.#parts.replica.state;
    for (const name of offlineSince.keys())
      if (nodes.get(name)?.status !== 'OFFLINE') offlineSince.delete(name);
    const nowMs = this.#nowMs();
    for (const { name, status } of nodes.values())
      if (status === 'OFFLINE' && !offlineSince.has(name)) offlineSince.set(name, nowMs);
  }

  #drive(): void {
    const current = this.#current;
    const { state } = this.#parts.replica;
    const settings = state.cluster?.config.autoscaling;
    if (current === null || settings === undefined) return;
    const members = new Set(this.#parts.members().map(({ name }) => name));
    const actions = nextActions({
      nowMs: this.#nowMs(),
      mayBegin: settings.enabled && !dryRunOf(settings),
      instances: state.instances,
      nodes: state.nodes,
      tasksOn: (node) => state.tasksOn(node).size,
      isMember: (node) => members.has(node),
      offlineSinceMs: (node) => current.offlineSince.get(node) ?? null,
      sightings: current.lists.sightings,
    });
    current.driver.carryOut(actions);
    if (actions.length === 0) void this.#recover(current);
  }

  /** Nothing fails any more: the next failure is news. Never throws. */
  async #recover({ term, lists, driver, controller }: Term): Promise<void> {
    const { replica, log } = this.#parts;
    const { scaling, instances, cluster } = replica.state;
    const failure = scaling?.failure ?? null;
    if (failure === null || cluster === null || !driver.isIdle || lists.isFailing) return;
    const rows = [...instances.values()];
    if (rows.some(({ error, phase }) => error !== null || phase === 'REQUESTED' || phase === 'CREATED'))
      return;
    const joined = rows.filter(({ phase }) => phase === 'JOINED').map(({ phaseSinceMs }) => phaseSinceMs);
    const joinedAtMs = joined.length === 0 ? null : Math.max(...joined);
    const intervalMs = cluster.config.autoscaling?.intervalMs ?? 0;
    if (!isMended(failure, { nowMs: this.#nowMs(), joinedAtMs, intervalMs })) return;
    try {
      await replica.propose({ type: 'instanceProgress', term, steps: [], hasRecovered: true });
    } catch (error) {
      if (!controller.signal.aborted)
        log.warn({ error: messageOf(error) }, 'the recovery is not in the log yet');
    }
  }

  /** Never throws. What was not written is decided anew: with the next look, from what is written by then. */
  async #decide(current: Term, settings: Autoscaling): Promise<void> {
    const { log } = this.#parts;
    current.isDeciding = true;
    try {
      const evaluation = this.preview(settings);
      this.#evaluatedAtMs = this.#parts.clock.wallMs();
      current.evaluatedAtMs = this.#parts.clock.monotonicMs();
      this.#observer.decided(evaluation.decision.action);
      if (evaluation.decision.action !== 'none') await this.#write(current, settings, evaluation);
    } catch (error) {
      if (!current.controller.signal.aborted)
        log.warn({ error: messageOf(error) }, 'a decision of the autoscaler is not in the log');
    } finally {
      current.isDeciding = false;
    }
  }

  async #write({ term }: Term, settings: Autoscaling, evaluation: Evaluation): Promise<void> {
    const { replica, log } = this.#parts;
    const { add, keep, remove, load, decision } = evaluation;
    const { action } = decision;
    const isDryRun = dryRunOf(settings);
    if (action === 'none' || (isDryRun && this.#isSaid(evaluation))) return;
    const outcome = await replica.propose({
      type: 'autoscalerDecided',
      term,
      after: (replica.state.scaling ?? NO_SCALING).sequence,
      provider: settings.provider,
      decision: { ...decision, action, load: scalingLoadOf(load) },
      isDryRun,
      add,
      keep,
      remove,
      drainMs: AUTOSCALER_LIMITS.drainMs,
    });
    const { count, desired, reason } = decision;
    const fields = { event: 'autoscaler.decided', action, count, desired, reason, isDryRun };
    if (outcome.type === 'done') log.info(fields, 'the number of nodes is to change');
    else log.info({ ...fields, code: outcome.code, refusal: outcome.message }, 'a decision was refused');
    if (outcome.type === 'done') this.#drive();
  }

  /** In a dry run nothing changes by a decision: the same is decided again and again. */
  #isSaid({ decision }: Evaluation): boolean {
    const { scaling, scalingDecisions } = this.#parts.replica.state;
    const newest = [...scalingDecisions.values()].find(({ sequence }) => sequence === scaling?.sequence);
    if (newest === undefined || !newest.isDryRun || this.#nowMs() - newest.atMs >= SAME_AGAIN_MS)
      return false;
    return newest.action === decision.action && newest.count === decision.count;
  }
}
