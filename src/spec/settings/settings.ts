/**
 * The settings that belong to the cluster as a whole (docs/configuration.md): all blocks, as files and requests state them, as the state holds
 * them and as answers show them.
 */
import { z } from 'zod';

import { JarvisError } from '../../lib/errors.ts';
import type { ClusterConfig, Retention } from '../../model/cluster.ts';
import { DEFAULT_LOG_RETENTION, DEFAULT_MEMBERSHIP, DEFAULT_RETENTION } from '../../model/cluster.ts';
import type { KnownFields, LocatedFault } from '../faults.ts';
import { faultsOf } from '../faults.ts';
import { DEFAULT_RETRY_POLICY } from '../task-schema.ts';
import { alerts, withKeptSecrets } from './alerts.ts';
import { autoscaling } from './autoscaling.ts';
import type { DescribedSetting, SettingsBlock, Stated } from './block.ts';
import { heartbeat, membership, retention, retryPolicy, scheduling } from './cluster-blocks.ts';

/** With every default filled in. */
export interface AllSettings extends Required<ClusterConfig> {
  readonly retention: Required<Retention>;
}

/** What is said of them; null stands for the defaults of a whole block. */
export type StatedSettings = { readonly [Key in keyof AllSettings]?: Stated<AllSettings[Key]> | null };

type Blocks = { readonly [Key in keyof AllSettings]: SettingsBlock<AllSettings[Key]> };

const BLOCKS: Blocks = {
  heartbeat,
  membership,
  retention,
  retryPolicy,
  scheduling,
  autoscaling,
  alerts,
};
type AnyModel = Readonly<Record<string, unknown>>;
type PerBlock<Value> = Readonly<Record<keyof AllSettings, Value>>;

/** The same, where it is not known which of them is meant: each is only ever given what is its own. */
const SETTINGS = BLOCKS as unknown as PerBlock<SettingsBlock<AnyModel>>;

function perBlock(settings: AllSettings): PerBlock<AnyModel> {
  return settings as unknown as PerBlock<AnyModel>;
}

const KEYS = Object.keys(SETTINGS) as readonly (keyof AllSettings)[];

export const SETTING_NAMES: readonly string[] = KEYS.map((key) => SETTINGS[key].name);

const KNOWN: Readonly<Record<string, KnownFields>> = Object.assign(
  { '': { fields: SETTING_NAMES, unsupported: [] } },
  ...KEYS.map((key) => SETTINGS[key].known),
) as Readonly<Record<string, KnownFields>>;

/** Field by field, without the rules between fields: a change is judged together with what it changes. */
export const settingsSchema = z.strictObject(
  Object.fromEntries(KEYS.map((key) => [SETTINGS[key].name, (SETTINGS[key].schema as z.ZodType).nullish()])),
);

/** @param voters kept where nothing is said */
export function defaultSettings(voters: number): AllSettings {
  return {
    heartbeat: { intervalMs: 2000, warningMs: 10_000, timeoutMs: 30_000 },
    membership: { voters, ...DEFAULT_MEMBERSHIP },
    retention: { ...DEFAULT_RETENTION, ...DEFAULT_LOG_RETENTION },
    retryPolicy: DEFAULT_RETRY_POLICY,
    scheduling: { policy: 'spread' },
    autoscaling: {
      enabled: false,
      dryRun: false,
      minNodes: 1,
      maxNodes: 20,
      scaleUpRules: [],
      scaleDownRules: [],
      intervalMs: 10_000,
      provider: 'process',
      process: null,
      docker: null,
      aws: null,
      command: null,
    },
    alerts: { webhooks: [] },
  };
}

/** What counts in a cluster, also in one that was formed before there were all of them. */
export function allSettings(config: ClusterConfig, defaults: AllSettings): AllSettings {
  return {
    ...defaults,
    ...config,
    retention: { ...defaults.retention, ...config.retention },
    autoscaling: { ...defaults.autoscaling, ...config.autoscaling },
  };
}

export type StatedResult =
  | { readonly type: 'valid'; readonly stated: StatedSettings }
  | { readonly type: 'invalid'; readonly faults: readonly LocatedFault[] };

/** @param plain of blocks by their names, as users write them; what is absent is not stated. Never throws. */
export function checkStated(plain: unknown): StatedResult {
  const result = settingsSchema.safeParse(plain, { reportInput: true });
  if (!result.success) return { type: 'invalid', faults: faultsOf(result.error, KNOWN) };
  const stated: Record<string, unknown> = {};
  for (const key of KEYS) {
    const value = result.data[SETTINGS[key].name];
    if (value !== undefined) stated[key] = value;
  }
  return { type: 'valid', stated };
}

/** What the settings are once that is said of them, and whatever is wrong with that. */
export function resolveSettings(
  stated: StatedSettings,
  current: AllSettings,
  defaults: AllSettings,
): { readonly settings: AllSettings; readonly faults: readonly LocatedFault[] } {
  const settings: Record<string, unknown> = {};
  const before = perBlock(current);
  const otherwise = perBlock(defaults);
  for (const key of KEYS) {
    const said = stated[key];
    settings[key] =
      said === undefined ? before[key] : SETTINGS[key].resolve(said, before[key], otherwise[key]);
  }
  const resolved = settings as unknown as AllSettings;
  const webhooks = withKeptSecrets(resolved.alerts.webhooks, current.alerts);
  const complete = { ...resolved, alerts: { ...resolved.alerts, webhooks } };
  // What is not touched is not the fault of whoever changes something else.
  const touched = KEYS.filter((key) => stated[key] !== undefined);
  return {
    settings: complete,
    faults: touched.flatMap((key) => SETTINGS[key].faultsOf(perBlock(complete)[key])),
  };
}

/** As the API shows them. */
export function showSettings(
  settings: AllSettings,
): Readonly<Record<string, Readonly<Record<string, unknown>>>> {
  return Object.fromEntries(
    KEYS.map((key) => [SETTINGS[key].name, SETTINGS[key].show(perBlock(settings)[key])]),
  );
}

/** All of them, block by block, with their values: for docs/configuration.md. */
export function describedSettings(
  settings: AllSettings,
): Readonly<Record<string, readonly DescribedSetting[]>> {
  return Object.fromEntries(
    KEYS.map((key) => [SETTINGS[key].name, SETTINGS[key].described(perBlock(settings)[key])]),
  );
}

/** What a file states and the cluster has otherwise, as users name it. */
export function differingSettings(
  stated: StatedSettings,
  counts: AllSettings,
  defaults: AllSettings,
): readonly string[] {
  return KEYS.flatMap((key) => {
    const said = stated[key];
    return said === undefined
      ? []
      : SETTINGS[key].differing(said, perBlock(counts)[key], perBlock(defaults)[key]);
  });
}

/** Whether the setting of that name, such as `heartbeat.timeout`, is shown in seconds. */
export function isDurationSetting(name: string): boolean {
  const [block, field = ''] = name.split('.');
  const key = KEYS.find((one) => SETTINGS[one].name === block);
  return key !== undefined && SETTINGS[key].isDuration(field);
}

/** The changes that a request holds as text. @throws JarvisError invalid where it is no JSON */
export function plainChanges(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (error) {
    // Nothing of them: secrets may be among them.
    throw new JarvisError('invalid', `the changes, ${json.length} characters, are no JSON`, { cause: error });
  }
}
