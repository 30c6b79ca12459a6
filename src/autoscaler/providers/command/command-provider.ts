/** Nodes that programs of an operator make, list and end: any cloud. What they read and write is in docs/providers.md. */
import { z } from 'zod';

import { withoutTokens } from '../../../lib/token-text.ts';
import type { CommandScaling } from '../../../model/autoscaling.ts';
import {
  checkRequest,
  INSTANCE_STATES,
  PROVIDER_ERROR_KINDS,
  ProviderError,
  throwIfAborted,
  type Instance,
  type InstanceRequest,
  type Provider,
} from '../provider.ts';
import { runProgram, type ProgramResult } from './run-program.ts';

const MOST_INSTANCES = 10_000;
const MOST_MESSAGE = 512;
const text = z.string().max(1024);

const instanceSchema = z.object({
  id: text.min(1),
  client_token: text.nullish(),
  /** Where it is said, it is looked at. */
  cluster_id: text.nullish(),
  node: text.nullish(),
  state: z.enum(INSTANCE_STATES),
  /** Milliseconds since 1970. */
  launched_at_ms: z.number().nullish(),
  message: text.nullish(),
});
const createdSchema = z.object({ instance: instanceSchema });
const listedSchema = z.object({ instances: z.array(instanceSchema).max(MOST_INSTANCES) });
const endedSchema = z.object({});
const failedSchema = z.object({
  error: z.object({
    kind: z.enum(PROVIDER_ERROR_KINDS),
    message: z.string(),
    retry_after_seconds: z.number().min(0).nullish(),
  }),
});

type Verb = 'create' | 'list' | 'terminate';

export class CommandProvider implements Provider {
  readonly name = 'command';
  readonly #clusterId: string;
  readonly #settings: () => CommandScaling | null;
  readonly #timeoutMs: number;

  /** @param options.timeoutMs of each program; then it is killed */
  constructor(options: {
    readonly clusterId: string;
    /** At present. */
    readonly settings: () => CommandScaling | null;
    readonly timeoutMs: number;
  }) {
    this.#clusterId = options.clusterId;
    this.#settings = options.settings;
    this.#timeoutMs = options.timeoutMs;
  }

  async create(request: InstanceRequest, signal: AbortSignal): Promise<Instance> {
    checkRequest(request);
    const { clientToken, clusterId, node, join, joinToken, capacity, labels } = request;
    const told = {
      client_token: clientToken,
      cluster_id: clusterId,
      node,
      join,
      join_token: joinToken,
      capacity: { cpu_millis: capacity.cpuMillis, memory_bytes: capacity.memoryBytes },
      labels,
    };
    const { instance } = await this.#run('create', told, createdSchema, signal);
    const made = instanceOf(instance);
    const isOther =
      !this.#isOwn(instance) ||
      (made.clientToken ?? clientToken) !== clientToken ||
      (made.node ?? node) !== node;
    // What is ended later must not be somebody else's.
    if (isOther)
      throw new ProviderError(
        'invalid',
        `${clientToken} of node ${node} was asked for, and the answer is of another one`,
      );
    return made;
  }

  async list(signal: AbortSignal): Promise<readonly Instance[]> {
    const { instances } = await this.#run('list', { cluster_id: this.#clusterId }, listedSchema, signal);
    return instances.filter((one) => this.#isOwn(one)).map(instanceOf);
  }

  async terminate(id: string, signal: AbortSignal): Promise<void> {
    await this.#run('terminate', { cluster_id: this.#clusterId, id }, endedSchema, signal);
  }

  #isOwn({ cluster_id: clusterId }: z.infer<typeof instanceSchema>): boolean {
    return (clusterId ?? this.#clusterId) === this.#clusterId;
  }

  async #run<T>(verb: Verb, told: object, schema: z.ZodType<T>, caller: AbortSignal): Promise<T> {
    throwIfAborted(caller);
    const command = this.#commandOf(verb);
    const limit = AbortSignal.timeout(this.#timeoutMs);
    const signal = AbortSignal.any([caller, limit]);
    const [program = ''] = command;
    let result: ProgramResult;
    try {
      result = await runProgram(command, `${JSON.stringify({ version: 1, verb, ...told })}\n`, signal);
    } catch (error) {
      if (limit.aborted)
        throw new ProviderError('unavailable', `${program} took longer than ${this.#timeoutMs} ms`, {
          cause: error,
        });
      throw error;
    }
    return answerOf(program, result, schema);
  }

  #commandOf(verb: Verb): readonly string[] {
    const settings = this.#settings();
    const { add = [], remove = [], list = [] } = settings ?? {};
    const command = { create: add, list, terminate: remove }[verb];
    if (command.length > 0) return command;
    const name = { create: 'add', list: 'list', terminate: 'remove' }[verb];
    throw new ProviderError('invalid', `autoscaling.command.${name} names no program`);
  }
}

function answerOf<T>(program: string, { exitCode, stdout, stderr }: ProgramResult, schema: z.ZodType<T>): T {
  const answer = jsonOf(stdout);
  const failed = failedSchema.safeParse(answer);
  if (failed.success) {
    const { kind, message, retry_after_seconds: seconds = null } = failed.data.error;
    const retryAfterMs = seconds === null ? null : seconds * 1000;
    throw new ProviderError(kind, `${program}: ${message.slice(0, MOST_MESSAGE)}`, { retryAfterMs });
  }
  if (exitCode !== 0) {
    // Of a token that is cut off at its beginning nobody could tell what the rest is.
    const end = exitCode === null ? 'was killed' : `ended with exit code ${exitCode}`;
    throw new ProviderError(
      'unavailable',
      `${program} ${end}: ${withoutTokens(stderr).slice(-MOST_MESSAGE)}`,
    );
  }
  const parsed = schema.safeParse(answer);
  if (parsed.success) return parsed.data;
  const what = answer === undefined ? 'no JSON' : z.prettifyError(parsed.error).slice(0, MOST_MESSAGE);
  throw new ProviderError('unavailable', `${program} answered what is none: ${what}`);
}

/** @returns undefined where it is no JSON */
function jsonOf(output: string): unknown {
  try {
    return JSON.parse(output) as unknown;
  } catch {
    // Whoever asked says so.
    return undefined;
  }
}

function instanceOf(answer: z.infer<typeof instanceSchema>): Instance {
  const { id, client_token: clientToken, node, state, launched_at_ms: launchedAtMs = null } = answer;
  const message = answer.message ?? null;
  // A tag that is not there is empty for some.
  const tags = { clientToken: clientToken || null, node: node || null };
  return { id, ...tags, state, launchedAtMs, ...(message === null ? {} : { message }) };
}
