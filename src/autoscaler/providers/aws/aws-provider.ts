/**
 * Nodes as machines of EC2. The leader asks EC2 itself, with the credentials of its own machine (docs/providers.md). EC2 is told
 * a token of its own for each instance, so that the same request makes one only; its lists are late by seconds.
 */
import { createHash } from 'node:crypto';

import type * as Ec2Module from '@aws-sdk/client-ec2';
import type {
  EC2Client,
  EC2ClientConfig,
  Instance as Ec2Instance,
  RunInstancesCommandInput,
} from '@aws-sdk/client-ec2';

import type { Clock } from '../../../lib/clock.ts';
import type { AwsScaling } from '../../../model/autoscaling.ts';
import {
  checkRequest,
  ProviderError,
  throwIfAborted,
  type Instance,
  type InstanceRequest,
  type Provider,
} from '../provider.ts';
import { Turns } from '../turns.ts';
import { codeOf, ec2ErrorOf } from './errors.ts';
import { userDataOf } from './user-data.ts';

const TAGS = { cluster: 'jarvis:cluster', token: 'jarvis:token', node: 'jarvis:node' } as const;
/** Of each call of EC2, with its credentials. */
const CALL_MS = 30_000;
const CONNECT_MS = 5000;
const PAGE = 1000;
/** More are not listed: what goes on for ever is an error. */
const MOST_PAGES = 100;
/** So long EC2 may not know what it has made: a machine is then not gone for being unknown. */
const UNKNOWN_MS = 300_000;

type Ec2 = typeof Ec2Module;

export interface AwsProviderOptions {
  readonly clusterId: string;
  /** At present; null: none are given. */
  readonly settings: () => AwsScaling | null;
  readonly clock: Clock;
  /** Instead of what the environment says, as SDKs of AWS read it: AWS_ENDPOINT_URL, AWS_PROFILE and the like. */
  readonly client?: Pick<EC2ClientConfig, 'endpoint' | 'credentials'>;
}

export class AwsProvider implements Provider {
  readonly name = 'aws';
  readonly #options: AwsProviderOptions;
  readonly #turns = new Turns();
  #opened: { readonly region: string; readonly client: EC2Client } | null = null;
  /** When, by id. */
  readonly #made = new Map<string, number>();

  constructor(options: AwsProviderOptions) {
    this.#options = options;
  }

  async create(request: InstanceRequest, signal: AbortSignal): Promise<Instance> {
    checkRequest(request);
    const settings = this.#settings();
    const userData = userDataOf(request);
    return this.#turns.take(request.clientToken, async () => {
      // Another leader has asked with another join token: EC2 takes that for another request.
      const known = await this.#find(request, signal);
      if (known !== null) return known;
      try {
        const made = await this.#run(inputOf(request, settings, userData), signal);
        this.#note(made.id);
        return made;
      } catch (error) {
        if (codeOf(error) !== 'IdempotentParameterMismatch') throw ec2ErrorOf(error, 'RunInstances');
        const found = await this.#find(request, signal);
        if (found !== null) return found;
        throw new ProviderError('unavailable', `aws: ${request.clientToken} was made and is not listed yet`, {
          cause: error,
        });
      }
    });
  }

  async list(signal: AbortSignal): Promise<readonly Instance[]> {
    return this.#described({ [TAGS.cluster]: this.#options.clusterId }, signal);
  }

  async terminate(id: string, signal: AbortSignal): Promise<void> {
    // A cluster that was made of another one's snapshot has that one's rows, which may live.
    if (!this.#made.has(id) && (await this.#isForeign(id, signal))) return;
    try {
      await this.#call(signal, async ({ TerminateInstancesCommand }, client, abortSignal) =>
        client.send(new TerminateInstancesCommand({ InstanceIds: [id] }), { abortSignal }),
      );
    } catch (error) {
      const code = codeOf(error);
      if (code === 'InvalidInstanceID.Malformed') return;
      if (code !== 'InvalidInstanceID.NotFound') throw ec2ErrorOf(error, 'TerminateInstances');
      this.#forgetOld();
      if (!this.#made.has(id)) return;
      throw new ProviderError('unavailable', `aws: ${id} was made, and EC2 does not know it yet`, {
        cause: error,
      });
    }
  }

  async #run(input: RunInstancesCommandInput, signal: AbortSignal): Promise<Instance> {
    const { Instances = [] } = await this.#call(signal, ({ RunInstancesCommand }, client, abortSignal) =>
      client.send(new RunInstancesCommand(input), { abortSignal }),
    );
    const [made] = Instances.flatMap(instanceOf);
    if (made === undefined) throw new ProviderError('unavailable', 'aws: RunInstances named no instance');
    return made;
  }

  /** @throws ProviderError invalid where it is another node's */
  async #find(
    { clusterId, clientToken, node }: InstanceRequest,
    signal: AbortSignal,
  ): Promise<Instance | null> {
    const [found] = await this.#described({ [TAGS.cluster]: clusterId, [TAGS.token]: clientToken }, signal);
    if (found === undefined) return null;
    if (found.node !== node)
      throw new ProviderError('invalid', `${clientToken} is of node ${found.node}, not ${node}`);
    return found;
  }

  /** Tagged by another cluster. Of what is not known (yet) there is no telling. */
  async #isForeign(id: string, signal: AbortSignal): Promise<boolean> {
    const found = await this.#machines({ 'instance-id': id }, signal);
    const clusters = found.map(({ Tags = [] }) => Tags.find(({ Key }) => Key === TAGS.cluster)?.Value);
    return clusters.some((cluster) => cluster !== undefined && cluster !== this.#options.clusterId);
  }

  async #described(
    tags: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<readonly Instance[]> {
    const filters = Object.entries(tags).map(([key, value]) => [`tag:${key}`, value] as const);
    return (await this.#machines(Object.fromEntries(filters), signal)).flatMap(instanceOf);
  }

  async #machines(
    filters: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<readonly Ec2Instance[]> {
    const Filters = Object.entries(filters).map(([Name, value]) => ({ Name, Values: [value] }));
    const found: Ec2Instance[] = [];
    let NextToken: string | undefined;
    try {
      for (let page = 0; page < MOST_PAGES; page += 1) {
        const input = { Filters, MaxResults: PAGE, NextToken };
        const answer = await this.#call(signal, ({ DescribeInstancesCommand }, client, abortSignal) =>
          client.send(new DescribeInstancesCommand(input), { abortSignal }),
        );
        const { Reservations = [] } = answer;
        found.push(...Reservations.flatMap(({ Instances = [] }) => Instances));
        ({ NextToken } = answer);
        // The last page may have an empty one.
        if (NextToken === undefined || NextToken === '') return found;
      }
    } catch (error) {
      throw ec2ErrorOf(error, 'DescribeInstances');
    }
    throw new ProviderError('unavailable', `aws: DescribeInstances goes on after ${MOST_PAGES} pages`);
  }

  /** Ends with the signal also where the credentials hang, which no signal reaches. */
  async #call<T>(
    caller: AbortSignal,
    work: (ec2: Ec2, client: EC2Client, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    throwIfAborted(caller);
    const ec2 = await import('@aws-sdk/client-ec2');
    const signal = AbortSignal.any([caller, AbortSignal.timeout(CALL_MS)]);
    const ended = Promise.withResolvers<never>();
    const end = (): void => {
      try {
        throwIfAborted(signal);
      } catch (error) {
        ended.reject(error);
      }
    };
    signal.addEventListener('abort', end, { once: true });
    try {
      return await Promise.race([work(ec2, this.#client(ec2), signal), ended.promise]);
    } finally {
      signal.removeEventListener('abort', end);
    }
  }

  #client({ EC2Client: Client }: Ec2): EC2Client {
    const { region } = this.#settings();
    if (this.#opened?.region === region) return this.#opened.client;
    this.#opened?.client.destroy();
    const client = new Client({
      region,
      // The autoscaler asks again, in its own time.
      maxAttempts: 1,
      requestHandler: { connectionTimeout: CONNECT_MS, requestTimeout: CALL_MS },
      ...this.#options.client,
    });
    this.#opened = { region, client };
    return client;
  }

  #settings(): AwsScaling {
    const settings = this.#options.settings();
    if (settings === null) throw new ProviderError('invalid', 'autoscaling.aws is required for provider aws');
    return settings;
  }

  #note(id: string): void {
    this.#forgetOld();
    this.#made.set(id, this.#options.clock.monotonicMs());
  }

  #forgetOld(): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const [id, atMs] of this.#made) if (nowMs - atMs >= UNKNOWN_MS) this.#made.delete(id);
  }
}

function inputOf(
  { clusterId, clientToken, node }: InstanceRequest,
  settings: AwsScaling,
  userData: string,
): RunInstancesCommandInput {
  const { instanceType, imageId, subnetId, securityGroupIds, keyName, instanceProfile } = settings;
  if (imageId === null)
    throw new ProviderError('invalid', 'autoscaling.aws.image_id is required: an image that has jarvisd');
  const Tags = Object.entries({
    [TAGS.cluster]: clusterId,
    [TAGS.token]: clientToken,
    [TAGS.node]: node,
    Name: node,
  }).map(([Key, Value]) => ({ Key, Value }));
  return {
    MinCount: 1,
    MaxCount: 1,
    // At most 64 characters, and others of the account may have the same.
    ClientToken: createHash('sha256').update(`${clusterId}/${clientToken}`).digest('hex'),
    // The SDK knows those of its day; EC2 may have more.
    InstanceType: instanceType as NonNullable<RunInstancesCommandInput['InstanceType']>,
    ImageId: imageId,
    ...(subnetId === null ? {} : { SubnetId: subnetId }),
    ...(securityGroupIds.length === 0 ? {} : { SecurityGroupIds: [...securityGroupIds] }),
    ...(keyName === null ? {} : { KeyName: keyName }),
    ...(instanceProfile === null ? {} : { IamInstanceProfile: profileOf(instanceProfile) }),
    UserData: Buffer.from(userData).toString('base64'),
    // Who switches it off from within means it to go.
    InstanceInitiatedShutdownBehavior: 'terminate',
    TagSpecifications: [
      { ResourceType: 'instance', Tags },
      { ResourceType: 'volume', Tags },
    ],
  };
}

function profileOf(profile: string): { readonly Arn: string } | { readonly Name: string } {
  return profile.startsWith('arn:') ? { Arn: profile } : { Name: profile };
}

/** None where EC2 says not even its id. */
function instanceOf({ InstanceId: id, Tags = [], State, StateReason, LaunchTime }: Ec2Instance): Instance[] {
  if (id === undefined) return [];
  const tags = new Map(Tags.map(({ Key, Value }) => [Key, Value]));
  const state = stateOf(State?.Name);
  const why = State?.Name === 'stopped' ? 'stopped, and not terminated' : StateReason?.Message;
  return [
    {
      id,
      clientToken: tags.get(TAGS.token) ?? null,
      node: tags.get(TAGS.node) ?? null,
      state,
      launchedAtMs: LaunchTime?.getTime() ?? null,
      ...(why === undefined || state === 'pending' || state === 'running' ? {} : { message: why }),
    },
  ];
}

function stateOf(name: string | undefined): Instance['state'] {
  if (name === 'running') return 'running';
  if (name === 'terminated') return 'gone';
  return name === 'shutting-down' || name === 'stopping' || name === 'stopped' ? 'stopping' : 'pending';
}
