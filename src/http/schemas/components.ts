/** Shapes that have a name in the OpenAPI document, and what they are made of. */
import { z } from 'zod';

/** By the name that clients know each by. */
export const components = z.registry<{ id: string }>();

/** Gives a shape its name in the document. */
export function component<Schema extends z.ZodType>(id: string, schema: Schema): Schema {
  components.add(schema, { id });
  return schema;
}

export const text = z.string();
export const texts = z.array(text);
export const flag = z.boolean();
export const count = z.int().min(0);
export const number = z.number();
/** In UTC. */
export const time = z.string().meta({ format: 'date-time' });
/** By name, such as labels. */
export const textsByName = z.record(text, text);
export const countsByName = z.record(text, count);

export function list(id: string, item: z.ZodType): z.ZodType {
  return component(
    id,
    z.object({
      items: z.array(item),
      next_cursor: text.nullable().describe('Of the next page; null at the end'),
    }),
  );
}

export const problem = component(
  'Problem',
  z.object({
    type: z.literal('about:blank'),
    title: text,
    status: z.int().min(400).max(599),
    detail: text.describe('What is wrong, in a sentence'),
    code: text.describe('What is wrong, for programs: it stays as it is'),
    faults: z
      .array(z.object({ path: text.describe('Such as tasks[1].resources.cpu'), message: text }))
      .optional()
      .describe('Of invalid input: one for each thing that is wrong'),
    log_tail: text.optional().describe('Of logs that are gone: what is known of their end'),
    cluster: z
      .looseObject({})
      .optional()
      .describe('Where there is no leader: what this node knows of the cluster'),
  }),
);
