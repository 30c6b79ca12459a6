/** A provider of another node's machine, through that node: so that a later leader ends what an earlier one has begun. */
import type { Instance as InstanceMessage, ProviderFailure } from '../../../generated/instance_host.ts';
import { InstanceHostService } from '../../../generated/instance_host.ts';
import { JarvisError } from '../../../lib/errors.ts';
import type { DockerScaling, ProcessScaling } from '../../../model/autoscaling.ts';
import type { ChannelPool } from '../../../rpc/channel.ts';
import { unaryCall, type Method } from '../../../rpc/client.ts';
import {
  checkRequest,
  INSTANCE_STATES,
  PROVIDER_ERROR_KINDS,
  ProviderError,
  throwIfAborted,
  type Instance,
  type InstanceRequest,
  type MachineProvider,
  type Provider,
} from '../provider.ts';
import { HOST_LIMITS } from '../limits.ts';

export interface RemoteProviderOptions {
  readonly name: MachineProvider;
  readonly clusterId: string;
  /** Whose machine it is. */
  readonly host: { readonly name: string; readonly address: string };
  /** Of each, at present; null: none are set. */
  readonly settings: () => {
    readonly process: ProcessScaling | null;
    readonly docker: DockerScaling | null;
  };
  readonly pool: ChannelPool;
}

export class RemoteProvider implements Provider {
  readonly name: MachineProvider;
  readonly #options: RemoteProviderOptions;

  constructor(options: RemoteProviderOptions) {
    this.name = options.name;
    this.#options = options;
  }

  async create(request: InstanceRequest, signal: AbortSignal): Promise<Instance> {
    checkRequest(request);
    const { clientToken, clusterId, node, join, joinToken, capacity, labels } = request;
    const settings = this.#options.settings();
    const container = this.name === 'docker' ? settings.docker : null;
    const set = settings[this.name]?.capacity;
    const { instance } = await this.#call(
      InstanceHostService.create,
      {
        cluster_id: clusterId,
        provider: this.name,
        client_token: clientToken,
        node,
        join: [...join],
        join_token: joinToken ?? '',
        cpu_millis: capacity.cpuMillis ?? set?.cpuMillis ?? 0,
        memory_bytes: capacity.memoryBytes ?? set?.memoryBytes ?? 0,
        labels: { ...labels },
        container:
          container !== null
            ? {
                image: container.image,
                network: container.network ?? '',
                mounts: [...(container.mounts ?? [])],
              }
            : undefined,
      },
      HOST_LIMITS.createMs,
      signal,
    );
    if (instance === undefined)
      throw new ProviderError('unavailable', `${this.#options.host.name} answered without an instance`);
    return instanceOf(instance);
  }

  async list(signal: AbortSignal): Promise<readonly Instance[]> {
    const request = { cluster_id: this.#options.clusterId, provider: this.name };
    const { instances } = await this.#call(InstanceHostService.list, request, HOST_LIMITS.listMs, signal);
    return instances.map(instanceOf);
  }

  async terminate(id: string, signal: AbortSignal): Promise<void> {
    const request = { cluster_id: this.#options.clusterId, provider: this.name, id };
    await this.#call(InstanceHostService.terminate, request, HOST_LIMITS.terminateMs, signal);
  }

  async #call<Request, Reply extends { readonly failure?: ProviderFailure | undefined }>(
    method: Method<Request, Reply>,
    request: Request,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<Reply> {
    throwIfAborted(signal);
    const { pool, host } = this.#options;
    let reply: Reply;
    try {
      reply = await unaryCall({
        pool,
        address: host.address,
        node: host.name,
        method,
        request,
        timeoutMs,
        signal,
        // Done twice it is the same.
        write: false,
      });
    } catch (error) {
      throw callFailed(host.name, error);
    }
    if (reply.failure !== undefined) throw failureOf(reply.failure);
    return reply;
  }
}

function callFailed(host: string, error: unknown): ProviderError {
  const isRefused = error instanceof JarvisError && ['forbidden', 'unauthenticated'].includes(error.code);
  const message = error instanceof Error ? error.message : String(error);
  return new ProviderError(isRefused ? 'denied' : 'unavailable', `${host}: ${message}`, { cause: error });
}

function failureOf({ kind, message, retry_after_ms: retryAfterMs }: ProviderFailure): ProviderError {
  // A node of a later version may know more kinds.
  const known = PROVIDER_ERROR_KINDS.find((each) => each === kind) ?? 'unavailable';
  return new ProviderError(known, message, { retryAfterMs: retryAfterMs === 0 ? null : retryAfterMs });
}

function instanceOf(message: InstanceMessage): Instance {
  const { id, client_token: clientToken, node, state, launched_at_ms: launchedAtMs } = message;
  const known = INSTANCE_STATES.find((each) => each === state);
  if (known === undefined) throw new ProviderError('unavailable', `instance ${id} is in the state ${state}`);
  return {
    id,
    clientToken: clientToken === '' ? null : clientToken,
    node: node === '' ? null : node,
    state: known,
    launchedAtMs: launchedAtMs === 0 ? null : launchedAtMs,
    ...(message.message === '' ? {} : { message: message.message }),
  };
}
