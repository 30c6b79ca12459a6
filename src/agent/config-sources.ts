/** Where settings come from: a YAML file, JARVISD_* variables and flags, in rising precedence. */
import { readFileSync } from 'node:fs';

import { parse as parseYaml } from 'yaml';

import { JarvisError, messageOf } from '../lib/errors.ts';
import { invalidConfig } from './config-faults.ts';
import { CONFIG_KEYS, type RawConfig } from './config-schema.ts';

/** The file's values, the environment's above them, the flags' on top. @throws JarvisError invalid */
export function gatherConfig(sources: {
  readonly file: string | null;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly flags: RawConfig;
}): RawConfig {
  const fromFile = sources.file === null ? {} : readConfigFile(sources.file);
  const fromEnvironment: Record<string, unknown> = {};
  for (const [variable, value] of Object.entries(sources.environment)) {
    if (!variable.startsWith('JARVISD_') || value === undefined) continue;
    const key = variable.slice('JARVISD_'.length).toLowerCase();
    if (!CONFIG_KEYS.includes(key)) {
      throw invalidConfig([{ path: variable, message: `is not a setting; allowed: ${environmentNames()}` }]);
    }
    fromEnvironment[key] = value;
  }
  return { ...fromFile, ...fromEnvironment, ...sources.flags };
}

function environmentNames(): string {
  return CONFIG_KEYS.map((key) => `JARVISD_${key.toUpperCase()}`).join(', ');
}

function readConfigFile(file: string): RawConfig {
  let content: unknown;
  try {
    content = parseYaml(readFileSync(file, 'utf8'), { maxAliasCount: 100, logLevel: 'error' });
  } catch (error) {
    // Below the first line stands a picture of the place, which that line names already.
    const [what = ''] = messageOf(error).split('\n');
    throw new JarvisError('invalid', `--config ${file}: ${what.replace(/:$/, '')}`, { cause: error });
  }
  if (content === null || content === undefined) return {};
  if (typeof content !== 'object' || Array.isArray(content)) {
    throw new JarvisError('invalid', `--config ${file}: a map of settings is expected`);
  }
  return { ...content };
}
