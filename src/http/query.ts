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

/** What is text in a URL is a number or a truth value for clients: the document says `parameter` in place of what is parsed. */
function described(description: string, parameter: object) {
  return { description, parameter };
}

function truth(otherwise: boolean, description: string) {
  const schema = flag.transform((value) => value !== 'false').default(otherwise);
  return schema.meta(described(description, { type: 'boolean', default: otherwise }));
}

function optionalText(description: string) {
  return text.default('').meta(described(description, { type: 'string' }));
}

function anyOf(description: string) {
  return texts.default([]).meta(described(description, { type: 'array', items: { type: 'string' } }));
}

const page = {
  limit: count
    .refine((value) => Number(value) !== 0, { error: '0 is not allowed: 1 to 1000' })
    .transform(Number)
    .default(0)
    .meta(described('Items in one answer', { type: 'integer', minimum: 1, maximum: 1000, default: 100 })),
  cursor: optionalText('`next_cursor` of the page before'),
};

export const tasksQuery = z.strictObject({
  status: anyOf('In any of these statuses'),
  node: optionalText('On that node'),
  name: optionalText('With that name'),
  label: anyOf('With all of these labels, each as key=value'),
  ...page,
  batch_id: optionalText('Of that batch'),
  dag_id: optionalText('Of that DAG'),
});

/** Of lists of batches and DAGs. */
export const groupsQuery = z.strictObject(page);

export const logsQuery = z.strictObject({
  follow: truth(false, 'Goes on until the task is over'),
  tail: count
    .transform(Number)
    .optional()
    .meta(described('The last so many lines', { type: 'integer', minimum: 0, maximum: 999_999_999 })),
  stream: optionalText('stdout or stderr; absent: both'),
  since: text.optional().meta(described('Read then or later (RFC 3339)', { type: 'string' })),
  attempt: count
    .transform(Number)
    .default(0)
    .meta(
      described('Absent, or 0: the newest', {
        type: 'integer',
        minimum: 0,
        maximum: 999_999_999,
      }),
    ),
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
  since: optionalText('What came after that position; `oldest`; or from that time on (RFC 3339)'),
  follow: truth(true, 'Goes on as long as the connection does'),
  kind: anyOf('Of any of these kinds: task, batch, dag, node, instance, alert'),
  id: anyOf('Of any of these ids'),
});

export const alertsQuery = z.strictObject({
  webhook: count
    .transform(Number)
    .default(0)
    .meta(
      described('Only to that webhook, by its number; 0: to any', {
        type: 'integer',
        minimum: 0,
        maximum: 999_999_999,
        default: 0,
      }),
    ),
  status: optionalText('In that status: GATHERING, PENDING, DELIVERED or GIVEN_UP'),
});

/** Of every read. */
export const consistency = z
  .enum(['linearizable', 'stale'], {
    error: ({ input }) => `${show(input)} is not allowed: linearizable or stale`,
  })
  .default('linearizable')
  .describe('stale: as far as the node that is asked knows');

export const removeNodeQuery = z.strictObject({
  dead: truth(false, "The caller's word that nothing of it runs any more"),
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
