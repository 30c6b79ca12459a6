/** The queries of the API's URLs. Whatever is wrong with one is answered with 400, naming the parameter. */
import { z } from 'zod';

import type { EventsRequest, LogsRequest } from '../generated/cluster.ts';
import { JarvisError } from '../lib/errors.ts';
import { formatPath, show } from '../spec/faults.ts';
import { closest } from '../spec/suggest.ts';

const text = z.string({ error: ({ input }) => `${show(input)} is not allowed: given once` });
const texts = z.union([z.string().transform((one) => [one]), z.array(z.string())]);
const flag = z.enum(['true', 'false', ''], {
  error: ({ input }) => `${show(input)} is not allowed: true or false`,
});
const count = text.regex(/^\d{1,9}$/, {
  error: ({ input }) => `${show(input)} is not allowed: a whole number`,
});

/** Of a page of a list. */
const limit = count
  .refine((value) => Number(value) !== 0, { error: '0 is not allowed: 1 to 1000' })
  .transform(Number)
  .default(0);

export const tasksQuery = z.strictObject({
  status: texts.default([]),
  node: text.default(''),
  name: text.default(''),
  label: texts.default([]),
  limit,
  cursor: text.default(''),
  batch_id: text.default(''),
  dag_id: text.default(''),
});

/** Of lists of batches and DAGs. */
export const groupsQuery = z.strictObject({ limit, cursor: text.default('') });

export const logsQuery = z.strictObject({
  follow: flag.transform((value) => value !== 'false').default(false),
  tail: count.transform(Number).optional(),
  stream: text.default(''),
  since: text.optional(),
  attempt: count.transform(Number).default(0),
});

/** Of what a node uses. */
export const nodeUsageQuery = z.strictObject({
  since: text.optional(),
  limit: count
    .refine((value) => Number(value) !== 0, { error: '0 is not allowed: 1 or more' })
    .transform(Number)
    .optional(),
});

export const taskUsageQuery = z.strictObject({ since: text.optional() });

export const eventsQuery = z.strictObject({
  since: text.default(''),
  follow: flag.transform((value) => value !== 'false').default(true),
  kind: texts.default([]),
  id: texts.default([]),
});

/** Of every read. */
export const consistency = z
  .enum(['linearizable', 'stale'], {
    error: ({ input }) => `${show(input)} is not allowed: linearizable or stale`,
  })
  .default('linearizable');

export const removeNodeQuery = z.strictObject({
  dead: flag.transform((value) => value !== 'false').default(false),
});

export function logsRequest(id: string, query: z.output<typeof logsQuery>): LogsRequest {
  return { id, ...query, tail: query.tail, since: query.since };
}

/** @param lastEventId of a reader that comes back: it knows better than the URL that it began with */
export function eventsRequest(lastEventId: unknown, query: z.output<typeof eventsQuery>): EventsRequest {
  return typeof lastEventId === 'string' && lastEventId !== '' ? { ...query, since: lastEventId } : query;
}

/** @throws JarvisError invalid, where there is more than an empty object */
export function expectNoBody(body: unknown): void {
  if (body === undefined || body === null) return;
  if (typeof body === 'object' && !Array.isArray(body) && Object.keys(body).length === 0) return;
  const message = `${show(body)} is not allowed: nothing is to be said`;
  throw new JarvisError('invalid', message, { faults: [{ path: '', message }] });
}

/** @throws JarvisError invalid, with a fault for each thing that is wrong */
export function parseBody<T>(schema: z.ZodType<T>, body: unknown): T {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const faults = result.error.issues.map(({ path, message }) => ({ path: path.join('.'), message }));
  const lines = faults.map((fault) =>
    fault.path === '' ? fault.message : `${fault.path}: ${fault.message}`,
  );
  throw new JarvisError('invalid', lines.join('; '), { faults });
}

/** The answer, or why there is none, as of what stands in a URL. */
export async function refusedQuery<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    throw asMalformed(error);
  }
}

/** In a URL a value that is not allowed is a malformed request, not an invalid body. */
export function asMalformed(error: unknown): unknown {
  if (!(error instanceof JarvisError) || error.code !== 'invalid') return error;
  return new JarvisError('malformed', error.message, { cause: error, faults: error.faults });
}

/** @throws JarvisError malformed, with a fault for each parameter that is wrong */
export function parseQuery<Shape extends z.ZodRawShape>(
  schema: z.ZodObject<Shape, z.core.$strict>,
  query: unknown,
): z.output<z.ZodObject<Shape, z.core.$strict>> {
  const result = schema.safeParse({ ...(query as object) });
  if (result.success) return result.data;
  const known = Object.keys(schema.shape);
  throw malformed(
    result.error.issues.flatMap((issue) =>
      issue.code === 'unrecognized_keys'
        ? issue.keys.map((key) => ({ path: key, message: unknownParameter(key, known) }))
        : [{ path: formatPath(issue.path.map(String)), message: issue.message }],
    ),
  );
}

function unknownParameter(name: string, known: readonly string[]): string {
  if (known.length === 0) return `unknown parameter ${show(name)} (none is allowed here)`;
  const meant = closest(name, known);
  const hint = meant === null ? '' : `, did you mean ${meant}?`;
  return `unknown parameter ${show(name)}${hint} (known: ${known.join(', ')})`;
}

function malformed(faults: readonly { readonly path: string; readonly message: string }[]): JarvisError {
  const [first] = faults;
  return new JarvisError('malformed', `${first?.path ?? ''}: ${first?.message ?? ''}`, { faults });
}
