/** What changes the replicated state: requests of clients, and commands that reached the log although they should not. */
import { ClusterService } from '../../../src/generated/cluster.ts';
import { invariant } from '../../../src/lib/assert.ts';
import { JarvisError, type ErrorCode } from '../../../src/lib/errors.ts';
import type { Command } from '../../../src/model/commands.ts';
import { testContext } from '../../../src/operations/operations.test-kit.ts';
import type { RoutingOperations } from '../../../src/operations/router.ts';
import { encodeCommand } from '../../../src/store/codec.ts';
import { decodeEntry } from '../../../src/store/entries.ts';
import { SchedulerCore } from '../../../src/store/scheduler-machine.ts';
import { mutated, pick } from '../mutations.ts';
import { operated } from '../operated.ts';
import { sampleCluster, sampleCommands } from '../samples.ts';
import { attemptAsync, expectSame, type Target } from '../target.ts';
import { changedValue } from '../values.ts';
import { encodedOr } from './node.ts';
import { requestSamples } from './request-samples.ts';

/** So many inputs share one cluster: what earlier ones left behind is input as well. */
const INPUTS_PER_CLUSTER = 100;

/** Of whoever follows something: what is to come does not come here. Other callers wait for as long as it takes. */
const PATIENCE_MS = 20;

/** What a client may be answered with. */
const ANSWERS: readonly ErrorCode[] = [
  ...(['malformed', 'invalid', 'not_found', 'ambiguous', 'conflict', 'idempotency_conflict'] as const),
  ...(['too_large', 'too_many', 'logs_unavailable', 'compacted', 'unauthenticated', 'forbidden'] as const),
  ...(['unavailable', 'no_leader', 'timeout'] as const),
];

type Method = Extract<keyof typeof ClusterService, keyof RoutingOperations>;
type Operation = (request: unknown, context: unknown) => unknown;

const METHODS = (Object.keys(ClusterService) as (keyof typeof ClusterService)[]).filter(
  (name): name is Method =>
    !ClusterService[name].requestStream && typeof Reflect.get(operated().operations, name) === 'function',
);

interface Codec {
  readonly requestSerialize: (value: unknown) => Buffer;
  readonly requestDeserialize: (bytes: Buffer) => unknown;
  readonly responseSerialize: (value: unknown) => Buffer;
}

function codecOf(method: Method): Codec {
  return ClusterService[method] as unknown as Codec;
}

const requests: Target = {
  name: 'operations',
  what: 'requests of every operation of the API against a model of a cluster: none brings a command that cannot be applied',
  weight: 8,
  open: async () => {
    const samples = await requestSamples();
    let { operations } = operated();
    let left = INPUTS_PER_CLUSTER;
    const reset = (): void => {
      [{ operations }, left] = [operated(), INPUTS_PER_CLUSTER];
    };
    return {
      reset,
      // Which operation it is comes first.
      input: (random) => {
        const method = pick(random, METHODS);
        const own = samples.get(method) ?? [Buffer.alloc(0)];
        const bytes =
          random() < 0.3
            ? mutated(random, random() < 0.9 ? own : [...samples.values()].flat())
            : encodedOr(random, own, () => {
                const { requestDeserialize, requestSerialize } = codecOf(method);
                return requestSerialize(changedValue(random, requestDeserialize(pick(random, own))));
              });
        return Buffer.concat([Buffer.of(METHODS.indexOf(method)), bytes]);
      },
      run: async (input) => {
        if ((left -= 1) < 0) reset();
        const method = METHODS[(input[0] ?? 0) % METHODS.length] ?? 'getTask';
        let request: unknown;
        try {
          request = codecOf(method).requestDeserialize(input.subarray(1));
        } catch {
          return 'undecodable';
        }
        return await attemptAsync(() => called(operations, method, request), ANSWERS);
      },
    };
  },
};

/** Its answer, or the first piece of it, is one that can be sent. */
async function called(operations: RoutingOperations, method: Method, request: unknown): Promise<void> {
  const controller = new AbortController();
  // Whoever follows something waits for what does not come here, until he goes.
  const timer = setTimeout(
    () => controller.abort(new JarvisError('timeout', 'the caller has gone')),
    PATIENCE_MS,
  );
  const context = testContext({ signal: controller.signal });
  const operation = (operations[method] as Operation).bind(operations);
  const { responseSerialize } = codecOf(method);
  const answer = operation.length === 1 ? operation(context, undefined) : operation(request, context);
  try {
    if (isStream(answer)) {
      for await (const piece of answer) {
        responseSerialize(piece);
        break;
      }
    } else responseSerialize(await answer);
  } finally {
    clearTimeout(timer);
    controller.abort();
  }
}

function isStream(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}

/** Two replicas that have applied the same commands. */
function twins(): readonly [
  ReturnType<typeof sampleCluster>['cluster'],
  ReturnType<typeof sampleCluster>['cluster'],
] {
  return [sampleCluster().cluster, sampleCluster().cluster];
}

const applied: Target = {
  name: 'apply',
  what: 'damaged commands in the log: replicas do the same with each, and one that is refused has changed nothing',
  weight: 6,
  open: () => {
    const core = new SchedulerCore();
    const commands = sampleCommands();
    const samples = commands.map((command) => Buffer.from(encodeCommand(command)));
    let replicas = twins();
    let left = INPUTS_PER_CLUSTER;
    const reset = (): void => {
      [replicas, left] = [twins(), INPUTS_PER_CLUSTER];
    };
    return {
      reset,
      input: (random) => {
        if (random() < 0.3) {
          const bytes = mutated(random, samples);
          if (bytes.length > 0) bytes[0] = 1;
          return bytes;
        }
        return encodedOr(random, samples, () =>
          encodeCommand(changedValue(random, pick(random, commands)) as object),
        );
      },
      run: (input) => {
        if ((left -= 1) < 0) reset();
        const entry = { term: 1, index: 1, type: 'normal', data: input } as const;
        const decoded = replicas.map(() => decodeEntry<Command>(core, entry).command);
        const results = replicas.flatMap((replica, at) => {
          const command = decoded[at] ?? null;
          return command === null ? [] : [runOn(replica, command)];
        });
        if (results.length === 0) return 'no command';
        expectSame('what one replica makes of a command', results[0], results[1]);
        const [result] = results;
        invariant(result !== undefined, 'there are two replicas');
        const { outcome, changes, poisoned } = result;
        invariant(outcome.type === 'done' || changes.length === 0, 'a refusal has changed nothing');
        return poisoned ? 'poison' : outcome.type;
      },
    };
  },
};

function runOn(replica: ReturnType<typeof sampleCluster>['cluster'], { atMs, ...input }: Command) {
  replica.atMs = atMs;
  return replica.run(input);
}

export const STATE_TARGETS: readonly Target[] = [requests, applied];
