/** The settings that belong to the cluster: taken from the founders' files, which must agree (docs/configuration.md). */
import { z } from 'zod';

import type { Fault } from '../lib/errors.ts';
import { formatPath } from '../spec/faults.ts';
import type { AllSettings, StatedSettings } from '../spec/settings/settings.ts';
import { SETTING_NAMES, checkStated, defaultSettings, resolveSettings } from '../spec/settings/settings.ts';
import { splitPairs, yamlOfText } from './config-fields.ts';

/** They are read by the same rules as those of a request, in {@link parseClusterConfig}. */
export const clusterFields = Object.fromEntries(SETTING_NAMES.map((name) => [name, z.unknown().optional()]));

/** @param founders how many nodes vote where nothing is said */
export function parseClusterConfig(
  raw: Readonly<Record<string, unknown>>,
  founders: number,
  faults: Fault[],
): { readonly cluster: AllSettings; readonly stated: StatedSettings } {
  const defaults = defaultSettings(founders);
  const given = SETTING_NAMES.filter((name) => raw[name] !== undefined);
  const result = checkStated(Object.fromEntries(given.map((name) => [name, mapOf(raw[name])])));
  const stated = result.type === 'valid' ? result.stated : {};
  const { settings, faults: between } = resolveSettings(stated, defaults, defaults);
  const found = result.type === 'valid' ? between : result.faults;
  for (const { path, message } of found) faults.push({ path: formatPath(path), message });
  return { cluster: settings, stated };
}

/** A map in the file; YAML, or `interval=1s,timeout=5s`, in a variable. */
function mapOf(value: unknown): unknown {
  const given = yamlOfText(value);
  return typeof given === 'string' && given.includes('=') ? Object.fromEntries(splitPairs(given)) : given;
}
