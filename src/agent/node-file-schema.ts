/** The JSON Schema of a node's file (docs/configuration.md): its own settings, and those of the cluster that founders may state there. */
import type { JsonSchema } from '../spec/json-schemas.ts';
import { inputSchemaOf, settingsJson, titled } from '../spec/json-schemas.ts';
import { rawSchema } from './config-schema.ts';
import { policySchema } from './policy-config.ts';

/** What is required may as well come from flags and variables. */
export function nodeFileSchema(): JsonSchema {
  const { required: _, ...json } = inputSchemaOf(rawSchema);
  return titled("The file of a node's settings", {
    ...json,
    properties: { ...json.properties, policy: inputSchemaOf(policySchema), ...settingsJson().properties },
  });
}
