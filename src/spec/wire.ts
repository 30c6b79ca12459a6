/** Between a task as users write it and as it travels to a node (proto/cluster.proto). What is absent stays absent. */
import type {
  Limits as WireLimits,
  RetryPolicy as WireRetryPolicy,
  TaskSpec as WireTaskSpec,
} from '../generated/cluster.ts';
import { plainPlacement, wirePlacement } from './placement-wire.ts';

type Plain = Readonly<Record<string, unknown>>;

/**
 * @param plain as users write it, and found valid by `checkTaskSpec`: nothing is checked here
 */
export function wireFromPlain(plain: Plain): WireTaskSpec {
  const resources = plain['resources'] as Plain | null | undefined;
  const policy = plain['retry_policy'] as Plain | null | undefined;
  return {
    name: text(plain['name']) ?? '',
    image: text(plain['image']),
    user: text(plain['user']),
    mounts: ((plain['mounts'] ?? []) as readonly Plain[]).map((mount) => ({
      source: text(mount['source']) ?? '',
      target: text(mount['target']) ?? '',
      read_only: mount['read_only'] === true,
    })),
    network: text(plain['network']),
    pull_policy: text(plain['pull_policy']),
    limits: wireLimits(plain['limits'] as Plain | null | undefined),
    command: [...((plain['command'] ?? []) as readonly string[])],
    ...wireEnvironment((plain['env'] ?? {}) as Plain),
    working_dir: text(plain['working_dir']),
    resources: isAbsent(resources)
      ? undefined
      : { cpu: text(resources['cpu']) ?? '', memory: text(resources['memory']) ?? '' },
    priority: text(plain['priority']),
    timeout: text(plain['timeout']),
    stop_grace: text(plain['stop_grace']),
    retry_policy: isAbsent(policy) ? undefined : wirePolicy(policy),
    on_node_loss: text(plain['on_node_loss']),
    labels: { ...(plain['labels'] as Record<string, string> | null | undefined) },
    ...wirePlacement(plain),
  };
}

function wireEnvironment(env: Plain): Pick<WireTaskSpec, 'env' | 'sensitive_env'> {
  const shown: [string, string][] = [];
  const hidden: [string, string][] = [];
  for (const [key, entry] of Object.entries(env)) {
    const isDescribed = typeof entry === 'object' && entry !== null;
    const { value, sensitive } = isDescribed ? (entry as Plain) : { value: entry, sensitive: false };
    (sensitive === true ? hidden : shown).push([key, String(value)]);
  }
  return { env: Object.fromEntries(shown), sensitive_env: Object.fromEntries(hidden) };
}

function plainEnvironment({ env, sensitive_env: hidden }: WireTaskSpec): Plain {
  const described = Object.entries(hidden).map(([key, value]) => [key, { value, sensitive: true }] as const);
  return described.length === 0 ? env : { ...env, ...Object.fromEntries(described) };
}

function wireLimits(limits: Plain | null | undefined): WireLimits | undefined {
  if (isAbsent(limits)) return undefined;
  return { cpu: text(limits['cpu']), memory: text(limits['memory']), pids: number(limits['pids']) };
}

function wirePolicy(policy: Plain): WireRetryPolicy {
  const retryable = policy['retryable_errors'] as readonly string[] | null | undefined;
  const nonRetryable = policy['non_retryable_errors'] as readonly string[] | null | undefined;
  return {
    max_attempts: number(policy['max_attempts']),
    backoff_strategy: text(policy['backoff_strategy']),
    backoff_base: number(policy['backoff_base']),
    max_backoff: number(policy['max_backoff']),
    // What is not given is for the cluster to fill in, which has a default of its own.
    retryable_errors: [...(retryable ?? [])],
    non_retryable_errors: [...(nonRetryable ?? [])],
    lists_given: !isAbsent(retryable) && !isAbsent(nonRetryable),
    no_retryable_errors: retryable?.length === 0,
    no_non_retryable_errors: nonRetryable?.length === 0,
  };
}

/** The task as users would have written it, for `parseTaskSpec`. */
export function plainFromWire(wire: WireTaskSpec): Plain {
  const { resources, limits, mounts, retry_policy: policy } = wire;
  return withoutAbsent({
    name: wire.name === '' ? undefined : wire.name,
    image: wire.image,
    user: wire.user,
    mounts: mounts.length === 0 ? undefined : mounts.map((mount) => ({ ...mount })),
    network: wire.network,
    pull_policy: wire.pull_policy,
    limits: limits === undefined ? undefined : withoutAbsent({ ...limits }),
    command: wire.command,
    env: plainEnvironment(wire),
    working_dir: wire.working_dir,
    resources:
      resources === undefined
        ? undefined
        : withoutAbsent({ cpu: resources.cpu || undefined, memory: resources.memory || undefined }),
    priority: wire.priority,
    timeout: wire.timeout,
    stop_grace: wire.stop_grace,
    retry_policy: policy === undefined ? undefined : plainPolicy(policy),
    on_node_loss: wire.on_node_loss,
    labels: wire.labels,
    ...plainPlacement(wire),
  });
}

function plainPolicy(policy: WireRetryPolicy): Plain {
  const listOf = (values: readonly string[], isNone: boolean): readonly string[] | undefined =>
    policy.lists_given || isNone || values.length > 0 ? values : undefined;
  return withoutAbsent({
    max_attempts: policy.max_attempts,
    backoff_strategy: policy.backoff_strategy || undefined,
    backoff_base: policy.backoff_base,
    max_backoff: policy.max_backoff,
    retryable_errors: listOf(policy.retryable_errors, policy.no_retryable_errors),
    non_retryable_errors: listOf(policy.non_retryable_errors, policy.no_non_retryable_errors),
  });
}

function isAbsent(value: unknown): value is null | undefined {
  return value === null || value === undefined;
}

/** Numbers are valid quantities and durations, and travel as what they look like. */
function text(value: unknown): string | undefined {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined;
}

function number(value: unknown): number | undefined {
  return isAbsent(value) ? undefined : (value as number);
}

function withoutAbsent(fields: Plain): Plain {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
