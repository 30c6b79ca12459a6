/** What the autoscaler needs of the node that leads. */
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import type { ScalingProvider } from '../model/autoscaling.ts';
import type { Replica } from '../scheduler/ports.ts';
import type { ScalingMember } from './core/leaving-nodes.ts';
import type { Provider } from './providers/provider.ts';

export interface InstanceProviders {
  /**
   * @param host the node whose machine it is; null for a provider that knows no machines
   * @throws ProviderError where its settings are missing
   */
  of(name: ScalingProvider, host: string | null): Provider;
}

export interface JoinTokenMaker {
  /** Good for one node of that name; the same as long as there is one that this leader has made. @throws JarvisError */
  make(
    node: string,
    validMs: number,
    signal: AbortSignal,
  ): Promise<{ readonly id: string; readonly token: string }>;
  /** All that were made for it, by whichever leader. */
  removeOf(node: string): Promise<void>;
}

export interface Departures {
  /**
   * The next thing that is to be done for a node to leave members and list.
   * @param isGone the provider's word that nothing of it runs any more
   * @returns whether it has left; false: it is under way, and this is to be called again
   * @throws JarvisError what stands against it
   */
  leave(node: string, isGone: boolean, signal: AbortSignal): Promise<boolean>;
}

export type AutoscalerMembers = readonly (ScalingMember & { readonly address: string })[];

export interface AutoscalerParts {
  readonly replica: Pick<Replica, 'onApplied' | 'propose' | 'state'>;
  readonly clusterId: string;
  readonly providers: InstanceProviders;
  /** Also those that work without a copy. */
  readonly members: () => AutoscalerMembers;
  /** That are kept. */
  readonly voters: () => number;
  /** Null: nodes come in without. */
  readonly joinTokens: JoinTokenMaker | null;
  readonly departures: Departures;
  readonly clock: Clock;
  readonly log: Log;
}
