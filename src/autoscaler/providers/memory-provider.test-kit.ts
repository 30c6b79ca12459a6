/** A provider whose instances exist in a test only: what the contract says, in the fewest words. */
import type { Clock } from '../../lib/clock.ts';
import type { ScalingProvider } from '../../model/autoscaling.ts';
import {
  checkRequest,
  ProviderError,
  throwIfAborted,
  type Instance,
  type InstanceRequest,
  type Provider,
} from './provider.ts';

interface Kept {
  readonly request: InstanceRequest;
  instance: Instance;
}

export class MemoryProvider implements Provider {
  readonly name: ScalingProvider;
  /** By client token. */
  readonly kept = new Map<string, Kept>();
  /** How many more there may be. */
  room = Infinity;
  readonly #clusterId: string;
  readonly #clock: Clock;

  constructor(options: {
    readonly name?: ScalingProvider;
    readonly clusterId: string;
    readonly clock: Clock;
  }) {
    this.name = options.name ?? 'process';
    this.#clusterId = options.clusterId;
    this.#clock = options.clock;
  }

  async create(request: InstanceRequest, signal: AbortSignal): Promise<Instance> {
    throwIfAborted(signal);
    checkRequest(request);
    const { clientToken, node } = request;
    const known = this.kept.get(clientToken);
    if (known !== undefined) {
      if (known.request.node !== node)
        throw new ProviderError('invalid', `${clientToken} is of node ${known.request.node}, not ${node}`);
      return known.instance;
    }
    if (this.room <= 0) throw new ProviderError('quota', 'no more instances are allowed');
    this.room -= 1;
    const instance: Instance = {
      id: `i-${clientToken}`,
      clientToken,
      node,
      state: 'running',
      launchedAtMs: this.#clock.wallMs(),
    };
    this.kept.set(clientToken, { request, instance });
    return instance;
  }

  async list(signal: AbortSignal): Promise<readonly Instance[]> {
    throwIfAborted(signal);
    return [...this.kept.values()]
      .filter(({ request }) => request.clusterId === this.#clusterId)
      .map(({ instance }) => instance);
  }

  async terminate(id: string, signal: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    this.end(id);
  }

  /** As if it had ended by itself. */
  end(id: string): void {
    for (const kept of this.kept.values()) {
      if (kept.instance.id !== id || kept.instance.state === 'gone') continue;
      kept.instance = { ...kept.instance, state: 'gone' };
      this.room += 1;
    }
  }
}
