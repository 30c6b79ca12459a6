/**
 * Who makes and ends the machines, processes or containers that nodes run on. One interface for all of them; what each must do is
 * in `provider-contract.test-kit.ts`, and how to write one in docs/providers.md.
 */
import { JarvisError, messageOf, type ErrorCode } from '../../lib/errors.ts';
import { isName, NAME_RULE } from '../../lib/names.ts';
import type { ScalingCapacity, ScalingProvider } from '../../model/autoscaling.ts';

export interface InstanceRequest {
  /** A name (lib/names.ts), made anew for each instance that is wanted: the same one never makes two. */
  readonly clientToken: string;
  readonly clusterId: string;
  /** The name of the node to be. */
  readonly node: string;
  /** host:port of members, by which it joins. */
  readonly join: readonly string[];
  /** Null where the cluster asks for none. A secret: in no message, log or list of processes. */
  readonly joinToken: string | null;
  /** Of the node to be; null: what the provider's settings say, and else what it finds. */
  readonly capacity: ScalingCapacity;
  /** Of the node to be. */
  readonly labels: Readonly<Record<string, string>>;
}

export const INSTANCE_STATES = ['pending', 'running', 'stopping', 'gone'] as const;
type InstanceState = (typeof INSTANCE_STATES)[number];

export interface Instance {
  /** The provider's. */
  readonly id: string;
  /** Null where its tag is not (yet) known. */
  readonly clientToken: string | null;
  readonly node: string | null;
  /**
   * `pending`: asked for, and not begun; `running`: begun, which says nothing of the node on it; `stopping`: on its way out;
   * `gone`: over, also by itself, never coming back, and nothing that it has begun runs any more: with that word its tasks are given
   * up and begun elsewhere. One that is gone may be listed for a while, or not at all.
   */
  readonly state: InstanceState;
  readonly launchedAtMs: number | null;
  /** Why it is in this state, for people, where the provider says it. */
  readonly message?: string;
}

/** All but `name` end by the signal's abort at the latest, and have deadlines of their own. They throw ProviderErrors. */
export interface Provider {
  readonly name: ScalingProvider;
  /**
   * The instance of that client token: made where there was none, else found, in whatever state. After an error that is not
   * `invalid`, `denied` or `quota` it may have been made all the same: asked again with the same token, it is found.
   */
  create(request: InstanceRequest, signal: AbortSignal): Promise<Instance>;
  /** All that are tagged with this cluster's id, also those on their way out. May be late in what it shows. */
  list(signal: AbortSignal): Promise<readonly Instance[]>;
  /**
   * Resolves once the end has begun for sure, or is over; what is gone already, or was never there, is fine. What has not ended
   * by then is listed as `stopping`.
   * What is tagged by another cluster is let be.
   * @param id as `Instance.id` has it
   */
  terminate(id: string, signal: AbortSignal): Promise<void>;
}

/** Those whose instances are on the machine of a node, which makes and ends them. */
export type MachineProvider = 'process' | 'docker';

export function isOfMachine(name: ScalingProvider): name is MachineProvider {
  return name === 'process' || name === 'docker';
}

export const PROVIDER_ERROR_KINDS = [
  'throttled',
  'quota',
  'capacity',
  'denied',
  'invalid',
  'unavailable',
] as const;
/**
 * `throttled`: asked too often; later. `quota`: no more are allowed, until one is ended or a person changes that. `capacity`: there
 * is no room now. `denied`: credentials or rights are missing. `invalid`: the settings or the request are wrong; asking again does
 * not help. `unavailable`: anything else, such as no answer in time.
 */
export type ProviderErrorKind = (typeof PROVIDER_ERROR_KINDS)[number];

const CODES: Readonly<Record<ProviderErrorKind, ErrorCode>> = {
  throttled: 'too_many',
  quota: 'too_many',
  capacity: 'unavailable',
  denied: 'forbidden',
  invalid: 'invalid',
  unavailable: 'unavailable',
};

export class ProviderError extends JarvisError {
  readonly kind: ProviderErrorKind;

  /** @param message never with a join token whole: the secrets of tokens in it are left out */
  constructor(
    kind: ProviderErrorKind,
    message: string,
    options: { readonly cause?: unknown; readonly retryAfterMs?: number | null } = {},
  ) {
    const { cause, retryAfterMs = null } = options;
    super(CODES[kind], message, { cause, ...(retryAfterMs === null ? {} : { retryAfterMs }) });
    this.kind = kind;
  }
}

/** Anything thrown, as providers throw it. */
export function providerErrorOf(error: unknown): ProviderError {
  if (error instanceof ProviderError) return error;
  return new ProviderError('unavailable', messageOf(error), { cause: error });
}

/** Client tokens become names of files, containers and tags: nothing else may get through. @throws ProviderError invalid */
export function checkRequest({ clientToken, node }: InstanceRequest): void {
  if (!isName(clientToken))
    throw new ProviderError('invalid', `client token ${JSON.stringify(clientToken)} is not ${NAME_RULE}`);
  if (!isName(node)) throw new ProviderError('invalid', `node ${JSON.stringify(node)} is not ${NAME_RULE}`);
}

/** @throws ProviderError unavailable where whoever asks has given up */
export function throwIfAborted(signal: AbortSignal): void {
  if (!signal.aborted) return;
  throw new ProviderError('unavailable', `given up: ${messageOf(signal.reason)}`, { cause: signal.reason });
}
