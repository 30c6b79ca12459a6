/**
 * Nodes as containers of this machine's engine. The name of a container is that of its cluster and client token, so that the
 * engine itself makes no second one; its labels say the rest, and nothing is kept beside the engine.
 */
import { createHash } from 'node:crypto';

import { joinAddress } from '../../../lib/address.ts';
import { Slots } from '../../../lib/slots.ts';
import type { DockerScaling } from '../../../model/autoscaling.ts';
import { freePorts } from '../free-ports.ts';
import { nodeVariables } from '../node-variables.ts';
import {
  checkRequest,
  ProviderError,
  throwIfAborted,
  type Instance,
  type InstanceRequest,
  type Provider,
} from '../provider.ts';
import { Turns } from '../turns.ts';
import type { Container, ContainerSettings, Engine } from './engine.ts';

const LABELS = {
  cluster: 'jarvis:cluster',
  token: 'jarvis:token',
  node: 'jarvis:node',
  ports: 'jarvis:ports',
} as const;
const PORTS = [7101, 8101] as const;
const ANY_HOST = '0.0.0.0';

export interface DockerProviderOptions {
  readonly clusterId: string;
  readonly engine: Engine;
  /** Null where nothing is made. */
  readonly settings: DockerScaling | null;
  /** Of nodes on the network of this machine, without ports. */
  readonly hosts: { readonly listen: string; readonly advertise: string; readonly http: string };
  /** Variables that every node of this one's making has, as `JARVISD_*` without that. */
  readonly common: Readonly<Record<string, string>>;
  /** At most so many at once on this machine. */
  readonly most: number;
  /** After SIGTERM; then it is killed. */
  readonly stopGraceMs: number;
  /** Of this machine: what is done to one instance, and the choice of ports, comes one after the other. */
  readonly turns: DockerTurns;
}

export class DockerTurns {
  readonly names = new Turns();
  readonly making = new Slots(1);
}

export class DockerProvider implements Provider {
  readonly name = 'docker';
  readonly #options: DockerProviderOptions;

  constructor(options: DockerProviderOptions) {
    this.#options = options;
  }

  async create(request: InstanceRequest, signal: AbortSignal): Promise<Instance> {
    checkRequest(request);
    const { engine, turns } = this.#options;
    const name = nameOf(request);
    return turns.names.take(name, async () => {
      let found = await engine.inspect(name, signal);
      if (found !== null) expectSame(found, request);
      // Made and never begun, by who had another join token, which may be good no more.
      if (found?.state === 'created' && !isOfToken(found.environment, request.joinToken)) {
        await engine.remove(found.id, signal);
        found = null;
      }
      if (found === null) await turns.making.use(() => this.#make(name, request, signal));
      if (found === null || found.state === 'created') await engine.start(name, signal);
      const made = await engine.inspect(name, signal);
      if (made === null) throw new ProviderError('unavailable', `docker: ${name} went as it was made`);
      expectSame(made, request);
      return instanceOf(made);
    });
  }

  async list(signal: AbortSignal): Promise<readonly Instance[]> {
    return (await this.#all(signal)).map(instanceOf);
  }

  async terminate(id: string, signal: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    const { engine, clusterId, stopGraceMs } = this.#options;
    const found = await engine.inspect(id, signal);
    // Any container may be named; others are not touched.
    if (found === null || found.labels[LABELS.cluster] !== clusterId) return;
    await engine.stop(found.id, stopGraceMs, signal);
    await engine.remove(found.id, signal);
  }

  #all(signal: AbortSignal): Promise<readonly Container[]> {
    const { engine, clusterId } = this.#options;
    return engine.list(`${LABELS.cluster}=${clusterId}`, signal);
  }

  async #make(name: string, request: InstanceRequest, signal: AbortSignal): Promise<void> {
    const { engine, settings, most } = this.#options;
    if (settings === null)
      throw new ProviderError('invalid', 'autoscaling.docker is required for provider docker');
    const present = await this.#all(signal);
    if (present.length >= most) {
      const message = `there are ${present.length} containers of nodes on this machine; allowed: ${most}`;
      throw new ProviderError('quota', message);
    }
    const taken = new Set(present.flatMap(({ labels }) => portsOf(labels)));
    const container = await this.#settingsOf(name, request, settings, taken);
    let made = await engine.create(container, signal);
    if (made === 'no-image') {
      await engine.pull(settings.image, signal);
      made = await engine.create(container, signal);
    }
    if (made === 'no-image')
      throw new ProviderError('invalid', `docker: there is no image ${settings.image}`);
    // Where the name is taken, a call whose answer was lost has come through since: it is found by its name.
  }

  async #settingsOf(
    name: string,
    request: InstanceRequest,
    { image, network, mounts }: DockerScaling,
    taken: ReadonlySet<number>,
  ): Promise<ContainerSettings> {
    const { hosts, common } = this.#options;
    const isHost = network === null || network === '' || network === 'host';
    const [rpc = 0, http = 0] = isHost ? await freePorts(2, hosts.listen, taken) : PORTS;
    // Names of containers may be longer than those of hosts.
    const alias = `jarvis-${createHash('sha256').update(name).digest('hex').slice(0, 16)}`;
    const addresses = {
      LISTEN: joinAddress(isHost ? hosts.listen : ANY_HOST, rpc),
      ADVERTISE: joinAddress(isHost ? hosts.advertise : alias, rpc),
      HTTP: joinAddress(isHost ? hosts.http : ANY_HOST, http),
    };
    const variables = { ...common, ...variablesOf(request), ...addresses };
    return {
      name,
      Image: image,
      Env: Object.entries(variables).map(([key, value]) => `JARVISD_${key}=${value}`),
      Labels: {
        [LABELS.cluster]: request.clusterId,
        [LABELS.token]: request.clientToken,
        [LABELS.node]: request.node,
        ...(isHost ? { [LABELS.ports]: `${rpc},${http}` } : {}),
      },
      HostConfig: {
        NetworkMode: isHost ? 'host' : network,
        Binds: [...(mounts ?? [])],
        // One that has ended stays ended: another one takes its place.
        RestartPolicy: { Name: 'no' },
      },
      ...(isHost ? {} : { NetworkingConfig: { EndpointsConfig: { [network]: { Aliases: [alias] } } } }),
    };
  }
}

function nameOf({ clusterId, clientToken }: InstanceRequest): string {
  return `jarvis-${clusterId}-${clientToken}`;
}

function isOfToken(environment: readonly string[], joinToken: string | null): boolean {
  const found = environment.find((variable) => variable.startsWith('JARVISD_JOIN_TOKEN='));
  return found === (joinToken === null ? undefined : `JARVISD_JOIN_TOKEN=${joinToken}`);
}

/** @throws ProviderError invalid where the token is of another node */
function expectSame({ labels }: Container, { clientToken, clusterId, node }: InstanceRequest): void {
  const { [LABELS.cluster]: cluster, [LABELS.node]: other } = labels;
  if (cluster !== clusterId || other !== node)
    throw new ProviderError('invalid', `${clientToken} is of node ${other} of cluster ${cluster}`);
}

function variablesOf(request: InstanceRequest): Readonly<Record<string, string>> {
  const { joinToken } = request;
  const token: Record<string, string> = joinToken === null ? {} : { JOIN_TOKEN: joinToken };
  return { ...nodeVariables('docker', request, token), KILL_TASKS_ON_EXIT: 'true' };
}

function portsOf(labels: Readonly<Record<string, string>>): readonly number[] {
  return (labels[LABELS.ports] ?? '').split(',').filter(Boolean).map(Number);
}

function instanceOf({ id, labels, state: found, createdAtMs, message }: Container): Instance {
  const state = stateOf(found);
  return {
    id,
    clientToken: labels[LABELS.token] ?? null,
    node: labels[LABELS.node] ?? null,
    state,
    launchedAtMs: createdAtMs,
    ...(state === 'gone' ? { message } : {}),
  };
}

function stateOf(state: string): Instance['state'] {
  if (state === 'created') return 'pending';
  if (state === 'exited' || state === 'dead') return 'gone';
  return state === 'removing' ? 'stopping' : 'running';
}
