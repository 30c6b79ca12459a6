/** A node as the one that a machine belongs to: what other nodes ask of it goes to the providers of that machine. */
import type {
  CreateRequest,
  Instance as InstanceMessage,
  InstanceHostServer,
  ProviderFailure,
} from '../../../generated/instance_host.ts';
import { InstanceHostService } from '../../../generated/instance_host.ts';
import { JarvisError } from '../../../lib/errors.ts';
import type { Log } from '../../../lib/log.ts';
import type { DockerScaling } from '../../../model/autoscaling.ts';
import { unaryHandler } from '../../../rpc/handlers.ts';
import type { Service } from '../../../rpc/server.ts';
import {
  ProviderError,
  providerErrorOf,
  throwIfAborted,
  type Instance,
  type InstanceRequest,
  type MachineProvider,
  type Provider,
} from '../provider.ts';
import { HOST_LIMITS } from '../limits.ts';

/** The providers of this machine. */
export interface MachineProviders {
  /** @param settings of docker; null where nothing is made */
  provider(name: MachineProvider, settings: DockerScaling | null): Provider;
}

export function instanceHostService(parts: {
  readonly clusterId: string;
  readonly machine: MachineProviders;
  readonly log: Log;
}): Service {
  const { clusterId, machine, log } = parts;
  const chosen = (
    { cluster_id: named, provider: name }: { readonly cluster_id: string; readonly provider: string },
    settings: DockerScaling | null,
  ): Provider => {
    if (named !== clusterId)
      throw new JarvisError('forbidden', `this node is of another cluster than ${JSON.stringify(named)}`);
    if (name !== 'process' && name !== 'docker')
      throw new ProviderError(
        'invalid',
        `provider ${JSON.stringify(name)} is of no machine; allowed: process, docker`,
      );
    return machine.provider(name, settings);
  };
  const handlers: InstanceHostServer = {
    create: unaryHandler(
      (request, { signal }) =>
        answered(async () => {
          const limit = limited(signal, HOST_LIMITS.createMs);
          const provider = chosen(request, containerOf(request));
          const made = await provider.create(requestOf(request), limit);
          log.info(
            { instance: made.id, worker: request.node, state: made.state },
            'an instance was asked for',
          );
          return { instance: instanceMessage(made), failure: undefined };
        }),
      log,
    ),
    list: unaryHandler(
      (request, { signal }) =>
        answered(async () => {
          const found = await chosen(request, null).list(limited(signal, HOST_LIMITS.listMs));
          return { instances: found.map(instanceMessage), failure: undefined };
        }),
      log,
    ),
    terminate: unaryHandler(
      (request, { signal }) =>
        answered(async () => {
          await chosen(request, null).terminate(request.id, limited(signal, HOST_LIMITS.terminateMs));
          log.info({ instance: request.id }, 'an instance was ended');
          return { failure: undefined };
        }),
      log,
    ),
  };
  return { definition: InstanceHostService, handlers };
}

function limited(signal: AbortSignal, limitMs: number): AbortSignal {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(limitMs)]);
  throwIfAborted(limit);
  return limit;
}

/** What a provider says against it is an answer; what else goes wrong is an error of the call. */
async function answered<T extends { failure?: ProviderFailure | undefined }>(
  work: () => Promise<T>,
): Promise<T | { instance: undefined; instances: []; failure: ProviderFailure }> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof JarvisError && !(error instanceof ProviderError)) throw error;
    const { kind, message, retryAfterMs } = providerErrorOf(error);
    const failure = { kind, message, retry_after_ms: retryAfterMs ?? 0 };
    return { instance: undefined, instances: [], failure };
  }
}

function requestOf(request: CreateRequest): InstanceRequest {
  return {
    clientToken: request.client_token,
    clusterId: request.cluster_id,
    node: request.node,
    join: request.join,
    joinToken: request.join_token === '' ? null : request.join_token,
    capacity: {
      cpuMillis: request.cpu_millis === 0 ? null : request.cpu_millis,
      memoryBytes: request.memory_bytes === 0 ? null : request.memory_bytes,
    },
    labels: request.labels,
  };
}

function containerOf({ container }: CreateRequest): DockerScaling | null {
  if (container === undefined) return null;
  const { image, network, mounts } = container;
  // Whoever asks has put it into the request already.
  return { image, network, mounts, capacity: { cpuMillis: null, memoryBytes: null } };
}

function instanceMessage(instance: Instance): InstanceMessage {
  const { id, clientToken, node, state, launchedAtMs, message = '' } = instance;
  return {
    id,
    client_token: clientToken ?? '',
    node: node ?? '',
    state,
    launched_at_ms: launchedAtMs ?? 0,
    message,
  };
}
