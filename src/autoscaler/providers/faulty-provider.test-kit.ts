/** Any provider, with what goes wrong with them: it refuses, is slow, does half of it, or lists what is not so (yet, or any more). */
import { pause } from '../../lib/backoff.ts';
import type { Clock } from '../../lib/clock.ts';
import type { ScalingProvider } from '../../model/autoscaling.ts';
import { ProviderError, type Instance, type InstanceRequest, type Provider } from './provider.ts';

type Verb = 'create' | 'list' | 'terminate';

export type ProviderFault =
  /** Nothing has happened. */
  | { readonly type: 'refuse'; readonly error: ProviderError }
  /** All of it has happened, and the answer is lost. */
  | { readonly type: 'lose' }
  /** It happens after so long, by the clock. */
  | { readonly type: 'slow'; readonly delayMs: number }
  /** Nothing happens, and no answer comes before the caller gives up. */
  | { readonly type: 'hang' };

export class FaultyProvider implements Provider {
  /** Every call, in the order in which it came: `create TOKEN`, `list`, `terminate ID`. */
  readonly calls: string[] = [];
  /** Lists show a new instance, and that one is gone, so much later. */
  lateMs = { made: 0, gone: 0 };
  /** Ids that lists leave out. */
  readonly hidden = new Set<string>();
  /** In lists beside what there is. */
  readonly ghosts: Instance[] = [];
  readonly #inner: Provider;
  readonly #clock: Clock;
  readonly #next = new Map<Verb, ProviderFault[]>();
  readonly #always = new Map<Verb, ProviderFault>();
  /** When lists could first show it, by id; and what it was when it was gone. */
  readonly #madeAt = new Map<string, number>();
  readonly #gone = new Map<string, { readonly atMs: number; readonly before: Instance }>();
  readonly #before = new Map<string, Instance>();

  constructor(inner: Provider, clock: Clock) {
    this.#inner = inner;
    this.#clock = clock;
  }

  get name(): ScalingProvider {
    return this.#inner.name;
  }

  /** Of the next calls each has one of these, in this order. */
  next(verb: Verb, ...faults: readonly ProviderFault[]): void {
    this.#next.set(verb, [...(this.#next.get(verb) ?? []), ...faults]);
  }

  /** Of all calls for which none was said otherwise; null: none. */
  always(verb: Verb, fault: ProviderFault | null): void {
    if (fault === null) this.#always.delete(verb);
    else this.#always.set(verb, fault);
  }

  async create(request: InstanceRequest, signal: AbortSignal): Promise<Instance> {
    this.calls.push(`create ${request.clientToken}`);
    return this.#with('create', signal, async () => {
      const made = await this.#inner.create(request, signal);
      if (!this.#madeAt.has(made.id)) this.#madeAt.set(made.id, this.#clock.monotonicMs());
      return made;
    });
  }

  async list(signal: AbortSignal): Promise<readonly Instance[]> {
    this.calls.push('list');
    return this.#with('list', signal, async () => this.#late(await this.#inner.list(signal)));
  }

  async terminate(id: string, signal: AbortSignal): Promise<void> {
    this.calls.push(`terminate ${id}`);
    return this.#with('terminate', signal, () => this.#inner.terminate(id, signal));
  }

  async #with<T>(verb: Verb, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const fault = this.#next.get(verb)?.shift() ?? this.#always.get(verb);
    if (fault?.type === 'refuse') throw fault.error;
    if (fault?.type === 'hang') await aborted(signal);
    if (fault?.type === 'slow') await pause(this.#clock, fault.delayMs, signal);
    if (signal.aborted) throw new ProviderError('unavailable', 'given up', { cause: signal.reason });
    const result = await work();
    if (fault?.type === 'lose') throw new ProviderError('unavailable', 'the answer was lost');
    return result;
  }

  #late(present: readonly Instance[]): readonly Instance[] {
    const nowMs = this.#clock.monotonicMs();
    this.#note(present, nowMs);
    const shown = present.filter(
      ({ id }) => !this.hidden.has(id) && nowMs - (this.#madeAt.get(id) ?? -Infinity) >= this.lateMs.made,
    );
    const stale = [...this.#gone.values()]
      .filter(({ atMs, before }) => nowMs - atMs < this.lateMs.gone && !this.hidden.has(before.id))
      .map(({ before }) => before);
    const staleIds = new Set(stale.map(({ id }) => id));
    return [...shown.filter(({ id }) => !staleIds.has(id)), ...stale, ...this.ghosts];
  }

  #note(present: readonly Instance[], nowMs: number): void {
    const alive = new Map(present.filter(({ state }) => state !== 'gone').map((each) => [each.id, each]));
    for (const [id, before] of this.#before) {
      if (!alive.has(id) && !this.#gone.has(id)) this.#gone.set(id, { atMs: nowMs, before });
    }
    for (const [id, instance] of alive) this.#before.set(id, instance);
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
