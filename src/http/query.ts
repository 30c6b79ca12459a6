/** The queries of the API's URLs. Whatever is wrong with one is answered with 400, naming the parameter. */
import { z } from 'zod';

import type {
  EventsRequest,
  GetClusterRequest,
  ListGroupsRequest,
  ListTasksRequest,
  LogsRequest,
} from '../generated/cluster.ts';
import { JarvisError } from '../lib/errors.ts';
import { formatPath, show } from '../spec/faults.ts';
import { closest } from '../spec/suggest.ts';

/** Of the contract, but not of this version. */
const LATER_PARAMETERS: ReadonlySet<string> = new Set(['consistency']);

const text = z.string({ error: ({ input }) => `${show(input)} is not allowed: given once` });
const texts = z.union([z.string().transform((one) => [one]), z.array(z.string())]);
const flag = z.enum(['true', 'false', ''], {
  error: ({ input }) => `${show(input)} is not allowed: true or false`,
});
const count = text.regex(/^\d{1,9}$/, {
  error: ({ input }) => `${show(input)} is not allowed: a whole number`,
});

const parameters = {
  tasks: z.strictObject({
    status: texts.default([]),
    node: text.default(''),
    name: text.default(''),
    label: texts.default([]),
    limit: count.transform(Number).default(0),
    cursor: text.default(''),
    batch_id: text.default(''),
    dag_id: text.default(''),
  }),
  groups: z.strictObject({
    limit: count.transform(Number).default(0),
    cursor: text.default(''),
  }),
  logs: z.strictObject({
    follow: flag.transform((value) => value !== 'false').default(false),
    tail: count.transform(Number).optional(),
    stream: text.default(''),
    since: text.optional(),
    attempt: count.transform(Number).default(0),
  }),
  events: z.strictObject({
    since: text.default(''),
    follow: flag.transform((value) => value !== 'false').default(true),
    kind: texts.default([]),
    id: texts.default([]),
  }),
  cluster: z.strictObject({
    consistency: z
      .enum(['linearizable', 'stale'], {
        error: ({ input }) => `${show(input)} is not allowed: linearizable or stale`,
      })
      .default('linearizable'),
  }),
  removeNode: z.strictObject({
    dead: flag.transform((value) => value !== 'false').default(false),
  }),
  none: z.strictObject({}),
};

/** @throws JarvisError malformed */
export function parseTasksQuery(query: unknown): ListTasksRequest {
  const parsed = parse(parameters.tasks, query);
  if ((query as { limit?: string }).limit !== undefined && parsed.limit === 0) {
    throw malformed([{ path: 'limit', message: '0 is not allowed: 1 to 1000' }]);
  }
  return parsed;
}

/** Of lists of batches and DAGs. @throws JarvisError malformed */
export function parseGroupsQuery(query: unknown): ListGroupsRequest {
  const parsed = parse(parameters.groups, query);
  if ((query as { limit?: string }).limit !== undefined && parsed.limit === 0) {
    throw malformed([{ path: 'limit', message: '0 is not allowed: 1 to 1000' }]);
  }
  return parsed;
}

/** @throws JarvisError malformed */
export function parseLogsQuery(id: string, query: unknown): LogsRequest {
  const parsed = parse(parameters.logs, query);
  return { id, ...parsed, tail: parsed.tail, since: parsed.since };
}

/** @param lastEventId of a reader that comes back: it knows better than the URL that it began with @throws JarvisError malformed */
export function parseEventsQuery(lastEventId: unknown, query: unknown): EventsRequest {
  const parsed = parse(parameters.events, query);
  return typeof lastEventId === 'string' && lastEventId !== '' ? { ...parsed, since: lastEventId } : parsed;
}

/** @throws JarvisError malformed */
export function parseClusterQuery(query: unknown): GetClusterRequest {
  return parse(parameters.cluster, query);
}

/** @throws JarvisError malformed */
export function parseRemoveNodeQuery(query: unknown): { readonly dead: boolean } {
  return parse(parameters.removeNode, query);
}

/** @throws JarvisError malformed, where there is a query at all */
export function expectNoQuery(query: unknown): void {
  parse(parameters.none, query);
}

/** @throws JarvisError invalid, where there is more than an empty object */
export function expectNoBody(body: unknown): void {
  if (body === undefined || body === null) return;
  if (typeof body === 'object' && !Array.isArray(body) && Object.keys(body).length === 0) return;
  const message = `${show(body)} is not allowed: nothing is to be said`;
  throw new JarvisError('invalid', message, { faults: [{ path: '', message }] });
}

/** In a URL a value that is not allowed is a malformed request, not an invalid body. */
export function asMalformed(error: unknown): unknown {
  if (!(error instanceof JarvisError) || error.code !== 'invalid') return error;
  return new JarvisError('malformed', error.message, { cause: error, faults: error.faults });
}

function parse<Shape extends z.ZodRawShape>(
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
  if (LATER_PARAMETERS.has(name)) return 'not supported by this version';
  if (known.length === 0) return `unknown parameter ${show(name)} (none is allowed here)`;
  const meant = closest(name, known);
  const hint = meant === null ? '' : `, did you mean ${meant}?`;
  return `unknown parameter ${show(name)}${hint} (known: ${known.join(', ')})`;
}

function malformed(faults: readonly { readonly path: string; readonly message: string }[]): JarvisError {
  const [first] = faults;
  return new JarvisError('malformed', `${first?.path ?? ''}: ${first?.message ?? ''}`, { faults });
}
