/** The provider of an instance, as a leader reaches it: by its name, and by whose machine it is on. */
import type { Autoscaling, ScalingProvider } from '../../model/autoscaling.ts';
import type { ChannelPool } from '../../rpc/channel.ts';
import { CommandProvider } from './command/command-provider.ts';
import { PROGRAM_TIMEOUT_MS } from './limits.ts';
import { isOfMachine, ProviderError, type Provider } from './provider.ts';
import { RemoteProvider } from './remote/remote-provider.ts';

export interface ClusterProviderParts {
  readonly clusterId: string;
  readonly pool: ChannelPool;
  /** At present. */
  readonly settings: () => Autoscaling;
  /** host:port; null: there is no such node. */
  readonly addressOf: (node: string) => string | null;
  /** Those that need neither a machine of the cluster nor a program. */
  readonly clouds: ReadonlyMap<ScalingProvider, Provider>;
}

export class ClusterProviders {
  readonly #parts: ClusterProviderParts;
  readonly #command: CommandProvider;

  constructor(parts: ClusterProviderParts) {
    this.#parts = parts;
    this.#command = new CommandProvider({
      clusterId: parts.clusterId,
      settings: () => parts.settings().command,
      timeoutMs: PROGRAM_TIMEOUT_MS,
    });
  }

  /**
   * @param host the node whose machine the instance is on; null for providers of no machine
   * @throws ProviderError invalid where the cluster has no such provider; unavailable where there is no such node
   */
  of(name: ScalingProvider, host: string | null): Provider {
    const { clusterId, pool, settings, addressOf, clouds } = this.#parts;
    if (name === 'command') return this.#command;
    if (!isOfMachine(name)) {
      const cloud = clouds.get(name);
      if (cloud === undefined) throw new ProviderError('invalid', `there is no provider ${name} here`);
      return cloud;
    }
    if (host === null) throw new ProviderError('invalid', `${name}: it is not said on whose machine`);
    const address = addressOf(host);
    if (address === null)
      throw new ProviderError('unavailable', `${name}: the node ${host} is not there, whose machine it is`);
    const machine = { name: host, address };
    return new RemoteProvider({ name, clusterId, host: machine, settings, pool });
  }
}
