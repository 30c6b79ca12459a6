/** Where and when a task may run: between what users write, the messages of proto/cluster.proto, and the model. */
import type {
  Affinity as WireAffinity,
  Locality as WireLocality,
  Task,
  TaskSpec,
} from '../generated/cluster.ts';
import { affinityOf, concurrencyOf, localityOf } from '../model/earlier-rows.ts';
import type { LabelRule, WeightedRule } from '../model/placement.ts';
import type { TaskSpec as ModelSpec } from '../model/task.ts';

type Plain = Readonly<Record<string, unknown>>;
type PlacementFields = 'not_before' | 'concurrency' | 'affinity' | 'locality';
type WireRule = WireAffinity['required'][number];

/** @param plain as users write it, and found valid */
export function wirePlacement(plain: Plain): Pick<TaskSpec, PlacementFields> {
  const concurrency = object(plain['concurrency']);
  const affinity = object(plain['affinity']);
  const locality = object(plain['locality']);
  return {
    not_before: (plain['not_before'] ?? undefined) as string | undefined,
    concurrency:
      concurrency === undefined
        ? undefined
        : { key: concurrency['key'] as string, max: concurrency['max'] as number },
    affinity: affinity === undefined ? undefined : wireAffinity(affinity),
    locality:
      locality === undefined
        ? undefined
        : {
            near: list(locality['near']).map((one) =>
              typeof one === 'string' ? { place: one } : { task: (one as Plain)['task'] as string },
            ),
          },
  };
}

function wireAffinity(affinity: Plain): WireAffinity {
  return {
    required: list(affinity['required']).map((rule) => wireRule(rule as Plain)),
    preferred: list(affinity['preferred']).map((rule) => wireRule(rule as Plain)),
    anti: list(affinity['anti']).map((given) => {
      const rule = given as Plain;
      return {
        batch: (rule['batch'] ?? undefined) as string | undefined,
        labels: { ...(rule['labels'] as Record<string, string> | null | undefined) },
      };
    }),
  };
}

function wireRule(rule: Plain): WireRule {
  return {
    key: rule['key'] as string,
    operator: rule['operator'] as string,
    values: [...(list(rule['values']) as readonly string[])],
    weight: (rule['weight'] ?? undefined) as number | undefined,
  };
}

/** As users would have written it; what is absent stays so. */
export function plainPlacement(wire: Pick<TaskSpec, PlacementFields>): Plain {
  const { affinity, locality } = wire;
  return {
    not_before: wire.not_before,
    concurrency: wire.concurrency,
    affinity: affinity === undefined ? undefined : plainAffinity(affinity),
    locality: locality === undefined ? undefined : plainLocality(locality),
  };
}

function plainAffinity({ required, preferred, anti }: WireAffinity): Plain {
  return {
    required: required.map(plainRule),
    preferred: preferred.map(plainRule),
    anti: anti.map(({ batch, labels }) => ({
      ...(batch === undefined ? {} : { batch }),
      ...(Object.keys(labels).length === 0 ? {} : { labels }),
    })),
  };
}

function plainRule({ key, operator, values, weight }: WireRule): Plain {
  return {
    key,
    operator,
    ...(values.length === 0 ? {} : { values }),
    ...(weight === undefined ? {} : { weight }),
  };
}

function plainLocality({ near }: WireLocality): Plain {
  return { near: near.map(({ place, task }) => (task === undefined ? (place ?? '') : { task })) };
}

/** Of a task that is read. */
export function placementView(spec: ModelSpec): Pick<Task, 'concurrency' | 'affinity' | 'locality'> {
  const affinity = affinityOf(spec);
  const concurrency = concurrencyOf(spec);
  const locality = localityOf(spec);
  return {
    concurrency: concurrency === null ? undefined : { ...concurrency },
    affinity:
      affinity === null
        ? undefined
        : {
            required: affinity.required.map(ruleView),
            preferred: affinity.preferred.map(ruleView),
            anti: affinity.anti.map(({ batch, labels }) => ({
              batch: batch ?? undefined,
              labels: Object.fromEntries(labels ?? []),
            })),
          },
    locality:
      locality === null
        ? undefined
        : {
            near: locality.near.map(({ place, task }) =>
              place === null ? { task } : { place: `${place.key}=${place.value}` },
            ),
          },
  };
}

function ruleView(rule: LabelRule | WeightedRule): WireRule {
  const { key, operator, values } = rule;
  return { key, operator, values: [...values], weight: 'weight' in rule ? rule.weight : undefined };
}

/** Null where nothing is asked. */
export function placementToJson(task: Pick<Task, 'concurrency' | 'affinity' | 'locality'>): object {
  const { concurrency, affinity, locality } = task;
  return {
    concurrency: concurrency === undefined ? null : { key: concurrency.key, max: concurrency.max },
    affinity: affinity === undefined ? null : plainAffinity(affinity),
    locality: locality === undefined ? null : plainLocality(locality),
  };
}

function object(value: unknown): Plain | undefined {
  return value === null || value === undefined ? undefined : (value as Plain);
}

function list(value: unknown): readonly unknown[] {
  return (value ?? []) as readonly unknown[];
}
