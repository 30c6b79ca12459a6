/** When nodes are added and taken away, and by whom; rules as in use case 8. */
import { z } from 'zod';

import { formatCpuMillis, formatMemoryBytes, parseCpuMillis } from '../../lib/quantities.ts';
import type {
  Autoscaling,
  AwsScaling,
  CommandScaling,
  DockerScaling,
  ProcessScaling,
  ScalingCapacity,
  ScalingRule,
} from '../../model/autoscaling.ts';
import { SCALING_METRICS, SCALING_PROVIDERS } from '../../model/autoscaling.ts';
import { image } from '../container-fields.ts';
import { show, type LocatedFault } from '../faults.ts';
import { CPU_SCHEMA, command as words, quantity, wholeNumber } from '../fields.ts';
import { SettingsBlock } from './block.ts';
import { asSeconds, count, duration, flag, line, same, seconds, size } from './values.ts';

const MOST_NODES = 10_000;
const MOST_ADDED = 1000;
const MOST_RULES = 50;
const MOST_GROUPS = 50;
const MOST_TEXT = 256;
const MOST_MOUNTS = 32;
const MOST_MOUNT_TEXT = 4096;
const MOUNT = /^\/[^:]*:\/[^:]*(?::ro)?$/;
const SECOND_MS = 1000;
const DAY_MS = 24 * 3_600_000;

const ruleFields = {
  metric: z.enum(SCALING_METRICS).meta({ title: 'what is measured' }),
  threshold: z.number().min(0).max(1e12).meta({ title: 'tasks, seconds or percent, as the metric has it' }),
  cooldown: duration(0, 7 * DAY_MS)
    .meta({ title: 'since the last action of its kind; 0 where it is absent' })
    .nullish(),
  count: wholeNumber(1, MOST_ADDED).meta({ title: 'nodes; 1 where it is absent' }).nullish(),
};

function rules(action: 'add_nodes' | 'remove_nodes'): z.ZodType<readonly ScalingRule[]> {
  const rule = z
    .strictObject({
      ...ruleFields,
      action: z.enum([action]).meta({ title: 'may be said, for whoever reads it' }).nullish(),
    })
    .transform(({ metric, threshold, cooldown, count: nodes }): ScalingRule => ({
      metric,
      threshold,
      cooldownMs: cooldown ?? 0,
      count: nodes ?? 1,
    }));
  return z.array(rule).max(MOST_RULES);
}

function shownRules(action: string, list: readonly ScalingRule[]): readonly object[] {
  return list.map(({ metric, threshold, cooldownMs, count: nodes }) => ({
    metric,
    threshold,
    cooldown: seconds(cooldownMs),
    action,
    count: nodes,
  }));
}

const capacityFields = {
  cpu: quantity({
    parse: parseCpuMillis,
    allowed: 'cores such as 2 or 0.5, or thousandths such as 500m; more than 0',
    minimum: 1,
    maximum: 1_000_000_000,
    jsonSchema: CPU_SCHEMA,
  }).nullish(),
  memory: size(1, 2 ** 52).nullish(),
};

const capacity = z.strictObject(capacityFields).transform(({ cpu, memory }): ScalingCapacity => ({
  cpuMillis: cpu ?? null,
  memoryBytes: memory ?? null,
}));
const ANY_CAPACITY: ScalingCapacity = { cpuMillis: null, memoryBytes: null };

function shownCapacity({ cpuMillis, memoryBytes }: ScalingCapacity): object {
  return {
    cpu: cpuMillis === null ? null : formatCpuMillis(cpuMillis),
    memory: memoryBytes === null ? null : formatMemoryBytes(memoryBytes),
  };
}

const processFields = { capacity: capacity.nullish() };
const process: z.ZodType<ProcessScaling> = z
  .strictObject(processFields)
  .transform((plain) => ({ capacity: plain.capacity ?? ANY_CAPACITY }));

const mount = z
  .string()
  .max(MOST_MOUNT_TEXT)
  .regex(MOUNT, {
    error: ({ input }) => `${show(input)} is not SOURCE:TARGET or SOURCE:TARGET:ro, both absolute paths`,
  });
const dockerFields = {
  image,
  capacity: capacity.nullish(),
  network: line(MOST_TEXT)
    .meta({ title: '`host`, or the name of a network of the engine; `host` where it is absent' })
    .nullish(),
  mounts: z
    .array(mount)
    .max(MOST_MOUNTS)
    .meta({ title: 'SOURCE:TARGET or SOURCE:TARGET:ro, on the machine of the node that makes it' })
    .nullish(),
};
const docker: z.ZodType<DockerScaling> = z.strictObject(dockerFields).transform((plain) => ({
  image: plain.image,
  capacity: plain.capacity ?? ANY_CAPACITY,
  network: plain.network ?? null,
  mounts: plain.mounts ?? null,
}));

const name = line(MOST_TEXT);
const awsFields = {
  region: name,
  instance_type: name,
  capacity: capacity.nullish(),
  image_id: name.nullish(),
  subnet_id: name.nullish(),
  security_group_ids: z.array(name).max(MOST_GROUPS).nullish(),
  key_name: name.nullish(),
  instance_profile: name.nullish(),
};
const aws: z.ZodType<AwsScaling> = z.strictObject(awsFields).transform((plain) => ({
  region: plain.region,
  instanceType: plain.instance_type,
  capacity: plain.capacity ?? ANY_CAPACITY,
  imageId: plain.image_id ?? null,
  subnetId: plain.subnet_id ?? null,
  securityGroupIds: plain.security_group_ids ?? [],
  keyName: plain.key_name ?? null,
  instanceProfile: plain.instance_profile ?? null,
}));

const program = words
  .refine((list) => list.length > 0, 'must name a program')
  .meta({ title: 'a program and its arguments' });
const commandFields = { add: program, remove: program, list: program, capacity: capacity.nullish() };
const command: z.ZodType<CommandScaling> = z
  .strictObject(commandFields)
  .transform((plain) => ({ ...plain, capacity: plain.capacity ?? ANY_CAPACITY }));

export const autoscaling = new SettingsBlock<Autoscaling>('autoscaling', {
  fields: {
    enabled: { key: 'enabled', schema: flag, show: same, meaning: 'whether the rules count' },
    dry_run: {
      key: 'dryRun',
      schema: flag,
      show: same,
      meaning: 'what the rules come to is recorded, and nothing is done',
    },
    min_nodes: {
      key: 'minNodes',
      schema: count(1, MOST_NODES),
      show: same,
      meaning: 'never fewer; at most `max_nodes`',
    },
    max_nodes: { key: 'maxNodes', schema: count(1, MOST_NODES), show: same, meaning: 'never more' },
    scale_up_rules: {
      key: 'scaleUpRules',
      schema: rules('add_nodes'),
      show: (list) => shownRules('add_nodes', list),
      meaning: 'add nodes while the metric is above the threshold',
    },
    scale_down_rules: {
      key: 'scaleDownRules',
      schema: rules('remove_nodes'),
      show: (list) => shownRules('remove_nodes', list),
      meaning: 'remove nodes while the metric is below the threshold',
    },
    interval: {
      key: 'intervalMs',
      schema: duration(SECOND_MS, DAY_MS),
      ...asSeconds,
      meaning: 'how often the rules are looked at',
    },
    provider: {
      key: 'provider',
      schema: z.enum(SCALING_PROVIDERS),
      show: same,
      meaning: 'who makes nodes; all but `process` need a block of that name',
    },
    process: {
      key: 'process',
      schema: process,
      show: (given) => given && { capacity: shownCapacity(given.capacity) },
      meaning: 'nodes as processes: what each offers, if not what its machine has',
    },
    docker: {
      key: 'docker',
      schema: docker,
      show: (given) =>
        given && {
          image: given.image,
          capacity: shownCapacity(given.capacity),
          network: given.network,
          mounts: given.mounts,
        },
      meaning: 'nodes as containers',
    },
    aws: {
      key: 'aws',
      schema: aws,
      show: shownAws,
      meaning: 'nodes as instances of EC2, by the names that it has for these',
    },
    command: {
      key: 'command',
      schema: command,
      show: (given) => given && { ...given, capacity: shownCapacity(given.capacity ?? ANY_CAPACITY) },
      meaning: 'nodes that programs of yours add, remove and list (docs/providers.md)',
    },
  },
  known: {
    scale_up_rules: [...Object.keys(ruleFields), 'action'],
    scale_down_rules: [...Object.keys(ruleFields), 'action'],
    process: Object.keys(processFields),
    'process.capacity': Object.keys(capacityFields),
    docker: Object.keys(dockerFields),
    'docker.capacity': Object.keys(capacityFields),
    aws: Object.keys(awsFields),
    'aws.capacity': Object.keys(capacityFields),
    command: Object.keys(commandFields),
    'command.capacity': Object.keys(capacityFields),
  },
  faultsOf,
});

function shownAws(given: AwsScaling | null): object | null {
  if (given === null) return null;
  return {
    region: given.region,
    instance_type: given.instanceType,
    capacity: shownCapacity(given.capacity ?? ANY_CAPACITY),
    image_id: given.imageId,
    subnet_id: given.subnetId,
    security_group_ids: given.securityGroupIds,
    key_name: given.keyName,
    instance_profile: given.instanceProfile,
  };
}

function faultsOf(model: Autoscaling): readonly LocatedFault[] {
  const faults: LocatedFault[] = [];
  if (model.minNodes > model.maxNodes) {
    const message = `${model.minNodes} is not allowed: at most max_nodes, which is ${model.maxNodes}`;
    faults.push({ path: ['min_nodes'], message });
  }
  for (const [field, list] of [
    ['scale_up_rules', model.scaleUpRules],
    ['scale_down_rules', model.scaleDownRules],
  ] as const) {
    for (const [index, { metric, threshold }] of list.entries()) {
      if (metric !== 'cluster_utilization' || threshold <= 100) continue;
      const message = `${threshold} is too large: at most 100, for it is percent`;
      faults.push({ path: [field, index, 'threshold'], message });
    }
  }
  // A process needs nothing that the node which starts it does not know.
  if (model.enabled && model.provider !== 'process' && model[model.provider] === null)
    faults.push({ path: [model.provider], message: `is required while provider is ${model.provider}` });
  return faults;
}
