/**
 * Takes instances from phase to phase while this node leads: writes down what is about to be asked, asks, and writes down what came
 * of it. One thing at a time for each instance, so many at once, each with a deadline.
 */
import { unreachable } from '../lib/assert.ts';
import { messageOf, JarvisError } from '../lib/errors.ts';
import { Slots } from '../lib/slots.ts';
import type { InstanceStep } from '../model/commands.ts';
import type { ScalingProvider } from '../model/autoscaling.ts';
import { statedCapacityOf } from '../model/earlier-rows.ts';
import type { InstanceRow } from '../model/scaling.ts';
import type { InstanceProgressResult } from '../scheduler/core/apply/scaling.ts';
import { machinesFor } from './core/machines.ts';
import { LIFECYCLE_LIMITS, type LifecycleAction } from './core/lifecycle.ts';
import { holdMs, holdsWithin, isTold, retryDelayMs } from './core/retry.ts';
import { AUTOSCALER_LIMITS } from './limits.ts';
import { withDeadline } from './lists.ts';
import type { AutoscalerParts } from './ports.ts';
import { isOfMachine, ProviderError } from './providers/provider.ts';

interface DriverOptions extends AutoscalerParts {
  readonly term: number;
  readonly signal: AbortSignal;
  readonly onFailure: () => void;
}

export class InstanceDriver {
  readonly #options: DriverOptions;
  /** Ids of the rows that something is being done about. */
  readonly #busy = new Set<string>();
  /** Departures that are under way, by id; not before (monotonic). */
  readonly #departures = new Map<string, number>();

  readonly #telling = new Slots(1);
  /** In the episode of failures that began then, by the cluster's time. */
  #holds = 0;
  #episodeMs: number | undefined;

  constructor(options: DriverOptions) {
    this.#options = options;
  }

  get isIdle(): boolean {
    return this.#busy.size === 0;
  }

  /** Begins what can be begun; the rest is asked for again. */
  carryOut(actions: readonly LifecycleAction[]): void {
    for (const action of actions) {
      const id = action.type === 'step' ? action.step.id : action.row.id;
      if (this.#busy.size >= AUTOSCALER_LIMITS.atOnce && action.type !== 'step') continue;
      if (this.#busy.has(id) || (action.type === 'leave' && this.#isWaiting(id))) continue;
      this.#busy.add(id);
      void this.#done(id, action);
    }
  }

  /** Says that something fails; a person is told once in an episode. Never throws. */
  async fail(provider: ScalingProvider, reason: string, hold?: number): Promise<void> {
    const { replica, term, log, signal, onFailure } = this.#options;
    onFailure();
    log.warn(
      { event: 'autoscaler.failed', provider, reason },
      'the autoscaler does not get what it asks for',
    );
    try {
      const held = hold === undefined ? {} : { holdMs: hold };
      await replica.propose({ type: 'autoscalerFailed', term, provider, reason, ...held });
    } catch (error) {
      if (!signal.aborted) log.warn({ error: messageOf(error) }, 'the failure is not in the log yet');
    }
  }

  #isWaiting(id: string): boolean {
    return (this.#departures.get(id) ?? 0) > this.#options.clock.monotonicMs();
  }

  /** Never throws. */
  async #done(id: string, action: LifecycleAction): Promise<void> {
    const { log, signal } = this.#options;
    try {
      await this.#do(action);
    } catch (error) {
      if (!signal.aborted)
        log.warn({ instance: id, error: messageOf(error) }, 'an instance does not go on yet');
    } finally {
      this.#busy.delete(id);
    }
  }

  async #do(action: LifecycleAction): Promise<void> {
    switch (action.type) {
      case 'step':
        return this.#step(action.step, action.failure);
      case 'create':
        return this.#create(action.row);
      case 'leave':
        return this.#leave(action.row, action.isGone);
      case 'terminate':
        return this.#terminate(action.row, action.providerId);
      default:
        return unreachable(action);
    }
  }

  async #step(step: InstanceStep, failure: string | null): Promise<void> {
    const { replica, log } = this.#options;
    const before = replica.state.instances.get(step.id);
    if (!(await this.#write(step))) return;
    const after = replica.state.instances.get(step.id);
    const fields = { instance: step.id, worker: after?.node ?? before?.node, phase: after?.phase ?? 'gone' };
    log.info({ event: 'autoscaler.instance', ...fields, reason: after?.reason }, 'an instance goes on');
    const isIn = after === undefined || (after.phase !== 'REQUESTED' && after.phase !== 'CREATED');
    if (isIn && before !== undefined) await this.#forgetTokens(before.node);
    if (failure === null || before === undefined) return;
    await this.#telling.use(() => this.#holdBack(before.provider, failure));
  }

  /** One after the other: those that fail together hold further ones back once, and not twice as long for each of them. */
  async #holdBack(provider: ScalingProvider, reason: string): Promise<void> {
    const { replica } = this.#options;
    const { scaling, cluster } = replica.state;
    const failure = scaling?.failure ?? null;
    if (failure !== null && (cluster?.timeMs ?? 0) < failure.heldUntilMs) return this.fail(provider, reason);
    // Another episode, or holds of a leader before this one.
    if (failure?.sinceMs !== this.#episodeMs) this.#holds = holdsWithin(failure);
    await this.fail(provider, reason, holdMs(this.#holds));
    this.#holds += 1;
    this.#episodeMs = replica.state.scaling?.failure?.sinceMs;
  }

  /** What is left with the next step, too, is of no use to others, and not for long. Never throws. */
  async #forgetTokens(node: string): Promise<void> {
    const { joinTokens, log, signal } = this.#options;
    try {
      await joinTokens?.removeOf(node);
    } catch (error) {
      if (!signal.aborted)
        log.warn({ worker: node, error: messageOf(error) }, 'its join token is not removed yet');
    }
  }

  async #create(row: InstanceRow): Promise<void> {
    const { replica, clusterId, providers, joinTokens, members, clock, signal } = this.#options;
    const host = row.host ?? this.#hostFor(row);
    if (host === null && isOfMachine(row.provider))
      return this.#failed(
        row,
        new ProviderError('capacity', 'no node is there on whose machine it could be made'),
      );
    let joinToken: { readonly id: string; readonly token: string } | null = null;
    try {
      joinToken = (await joinTokens?.make(row.node, LIFECYCLE_LIMITS.bootMs, signal)) ?? null;
    } catch (error) {
      return this.#failed(row, error);
    }
    const { id, revision, node, provider } = row;
    const intent = { type: 'asking', id, revision, host, joinTokenId: joinToken?.id ?? null } as const;
    if (!(await this.#write(intent))) return;
    const asked = replica.state.instances.get(id);
    const settings = replica.state.cluster?.config.autoscaling;
    if (asked === undefined || settings === undefined || signal.aborted) return;
    const request = {
      clientToken: id,
      clusterId,
      node,
      // It asks one of these: who has no copy cannot say who else is there.
      join: members()
        .filter(({ hasCopy }) => hasCopy)
        .map(({ address }) => address)
        .slice(0, AUTOSCALER_LIMITS.joinAddresses),
      joinToken: joinToken?.token ?? null,
      capacity: statedCapacityOf(settings, provider),
      labels: {},
    };
    try {
      const made = await withDeadline(clock, AUTOSCALER_LIMITS.createMs, signal, (limit) =>
        providers.of(provider, host).create(request, limit),
      );
      if (made.state === 'gone')
        throw new ProviderError('unavailable', `it has ended: ${made.message ?? 'no reason is known'}`);
      const seen = { id, revision: asked.revision, providerId: made.id };
      await this.#step(
        { type: 'moved', ...seen, phase: 'CREATED', reason: 'the provider has made it' },
        null,
      );
    } catch (error) {
      await this.#failed(asked, error);
    }
  }

  /** Of the nodes that are no instances themselves: the one with the fewest. */
  #hostFor({ provider }: InstanceRow): string | null {
    if (!isOfMachine(provider)) return null;
    const { state } = this.#options.replica;
    const rows = [...state.instances.values()];
    const hosted = (name: string): number => rows.filter(({ host }) => host === name).length;
    const hosts = machinesFor(provider, state).filter(({ status }) => status === 'AVAILABLE');
    hosts.sort((a, b) => hosted(a.name) - hosted(b.name) || (a.name < b.name ? -1 : 1));
    return hosts[0]?.name ?? null;
  }

  async #leave(row: InstanceRow, isGone: boolean): Promise<void> {
    const { departures, clock, signal } = this.#options;
    try {
      const hasLeft = await withDeadline(clock, AUTOSCALER_LIMITS.departureMs, signal, (limit) =>
        departures.leave(row.node, isGone, limit),
      );
      if (hasLeft) this.#departures.delete(row.id);
      else this.#departures.set(row.id, clock.monotonicMs() + AUTOSCALER_LIMITS.departureLookMs);
    } catch (error) {
      await this.#failed(row, error);
    }
  }

  async #terminate(row: InstanceRow, providerId: string): Promise<void> {
    const { providers, clock, signal } = this.#options;
    const { id, revision, provider, host } = row;
    try {
      await withDeadline(clock, AUTOSCALER_LIMITS.callMs, signal, (limit) =>
        providers.of(provider, host).terminate(providerId, limit),
      );
    } catch (error) {
      return this.#failed(row, error);
    }
    await this.#step({ type: 'ended', id, revision }, null);
  }

  /** It is tried again, later and later. Nothing is written once this node does not lead any more. */
  async #failed(row: InstanceRow, error: unknown): Promise<void> {
    const { signal } = this.#options;
    if (signal.aborted) return;
    const kind = error instanceof ProviderError ? error.kind : 'unavailable';
    const retryAfterMs = error instanceof JarvisError ? (error.retryAfterMs ?? null) : null;
    const { id, revision, failures, provider, node } = row;
    const retryMs = retryDelayMs(kind, failures, retryAfterMs);
    const reason = messageOf(error);
    await this.#write({ type: 'failed', id, revision, error: reason, retryMs });
    if (isTold(kind, failures)) await this.fail(provider, `node ${node}: ${reason}`);
    else this.#options.onFailure();
  }

  /** @returns whether it was taken: what it was meant for had not changed */
  async #write(step: InstanceStep): Promise<boolean> {
    const { replica, term } = this.#options;
    const command = { type: 'instanceProgress', term, steps: [step], hasRecovered: false } as const;
    const outcome = await replica.propose(command);
    return outcome.type === 'done' && (outcome.result as InstanceProgressResult).taken.length === 1;
  }
}
