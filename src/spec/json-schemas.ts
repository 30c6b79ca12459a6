/**
 * JSON Schemas of what users write, for editors and for programs that make such files: made from the same zod schemas that read them. What a
 * schema cannot say, such as that a DAG has no cycle, only the parser knows: what the schema refuses is refused, and not the other way round.
 */
import { z } from 'zod';

import { batchSchema } from './batch-schema.ts';
import { dagSchema } from './dag-schema.ts';
import { settingsSchema } from './settings/settings.ts';
import { taskSpecSchema } from './task-schema.ts';

export type JsonSchema = z.core.JSONSchema.JSONSchema;

/** What YAML language servers know best. */
const TARGET = 'draft-07';
const DIALECT = 'http://json-schema.org/draft-07/schema#';
const NOTHING = { type: 'null' } as const;

/** As it is written, before any default is filled in. */
export function inputSchemaOf(schema: z.ZodType): JsonSchema {
  const { $schema: _, ...json } = z.toJSONSchema(schema, {
    target: TARGET,
    io: 'input',
    unrepresentable: 'any',
  });
  return json;
}

export function titled(title: string, json: JsonSchema): JsonSchema {
  return { $schema: DIALECT, title, ...json };
}

function taskJson(): JsonSchema {
  const json = inputSchemaOf(taskSpecSchema);
  // Either says what to run.
  return { ...json, anyOf: [{ required: ['command'] }, { required: ['image'] }] };
}

export function taskSchema(): JsonSchema {
  return titled('A task of Jarvis', taskJson());
}

export function batchSchemaOf(): JsonSchema {
  const json = inputSchemaOf(batchSchema);
  const template = withoutPatterns(inputSchemaOf(taskSpecSchema)) as JsonSchema;
  return titled('A batch of Jarvis', {
    ...json,
    properties: {
      ...json.properties,
      kind: { anyOf: [{ const: 'Batch' }, NOTHING] },
      tasks: { anyOf: [{ type: 'array', minItems: 1, items: taskJson() }, NOTHING] },
      template: { anyOf: [template, NOTHING] },
      parameters: {
        anyOf: [
          {
            type: 'array',
            minItems: 1,
            items: { type: 'object', additionalProperties: { type: ['string', 'number', 'boolean'] } },
          },
          NOTHING,
        ],
      },
    },
    anyOf: [{ required: ['tasks'] }, { required: ['template'] }],
  });
}

export function dagSchemaOf(): JsonSchema {
  const json = inputSchemaOf(dagSchema);
  const task = taskJson();
  const name = task.properties?.['name'] ?? {};
  const listed: JsonSchema = {
    ...task,
    properties: {
      ...task.properties,
      id: name,
      dependencies: { anyOf: [{ type: 'array', items: { type: 'string' } }, NOTHING] },
    },
    required: [...(task.required ?? []), 'id'],
  };
  return titled('A DAG of Jarvis', {
    ...json,
    properties: {
      ...json.properties,
      kind: { anyOf: [{ const: 'Dag' }, NOTHING] },
      tasks: { type: 'array', minItems: 1, items: listed },
    },
  });
}

/** Blocks that belong to the cluster, as `PUT /config` takes them. */
export function settingsJson(): JsonSchema {
  return inputSchemaOf(settingsSchema);
}

/** Where `{{parameters}}` may stand, what a text looks like is known only once they are filled in. */
function withoutPatterns(json: unknown): unknown {
  if (Array.isArray(json)) return json.map(withoutPatterns);
  if (typeof json !== 'object' || json === null) return json;
  const entries = Object.entries(json as Readonly<Record<string, unknown>>);
  const isText = entries.some(([key, value]) => key === 'type' && value === 'string');
  return Object.fromEntries(
    entries
      .filter(([key]) => !(isText && key === 'pattern'))
      .map(([key, value]) => [key, key === 'propertyNames' ? value : withoutPatterns(value)]),
  );
}
