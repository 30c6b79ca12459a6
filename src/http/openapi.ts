/** The OpenAPI 3.1 document, made from the table of calls: what it says is what the server does. */
import { z } from 'zod';

import { STATUS_CODES } from '../lib/node-http.ts';
import type { Route } from './route.ts';
import { components, problem } from './schemas/components.ts';
import { event } from './schemas/cluster.ts';

type Json = Readonly<Record<string, unknown>>;

const SCHEMAS = '#/components/schemas/';

/** @param version of the product */
export function openApiDocument(routes: readonly Route[], version: string): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const route of routes) {
    const path = route.path.replaceAll(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operationOf(route) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Jarvis',
      version,
      description: 'A distributed task scheduler. Every node answers every call (docs/contract.md).',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    security: [{ token: [] }, {}],
    paths,
    components: {
      schemas: schemas(),
      responses: Object.fromEntries(ERRORS.map(({ status }) => [nameOf(status), errorAnswer(status)])),
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: 'Where the cluster asks for tokens' },
      },
    },
  };
}

/** Where a route can fail so. */
const ERRORS: readonly { readonly status: number; readonly applies: (route: Route) => boolean }[] = [
  { status: 400, applies: () => true },
  { status: 401, applies: ({ isPublic }) => isPublic !== true },
  // Also of a host that is not this node's.
  { status: 403, applies: () => true },
  { status: 404, applies: ({ path }) => path.includes(':') },
  { status: 405, applies: () => true },
  { status: 408, applies: ({ body }) => body !== undefined },
  { status: 409, applies: ({ path, method }) => path.includes(':') || method !== 'GET' },
  { status: 410, applies: ({ operation }) => operation === 'readLogs' || operation === 'watchEvents' },
  { status: 413, applies: ({ method }) => method !== 'GET' },
  { status: 414, applies: ({ path }) => path.includes(':') },
  { status: 415, applies: ({ method }) => method !== 'GET' },
  { status: 422, applies: ({ method }) => method !== 'GET' },
  { status: 429, applies: () => true },
  { status: 431, applies: () => true },
  { status: 500, applies: () => true },
  { status: 503, applies: () => true },
  { status: 504, applies: ({ isPublic }) => isPublic !== true },
];

function nameOf(status: number): string {
  return (STATUS_CODES[status] ?? String(status)).replaceAll(/[^A-Za-z]/g, '');
}

function errorAnswer(status: number): Json {
  const headers = {
    ...(status === 429 || status === 503
      ? { 'Retry-After': header('Seconds after which another try makes sense', 'integer') }
      : {}),
    ...(status === 405 ? { Allow: header('The methods that there are') } : {}),
    ...(status === 401 ? { 'WWW-Authenticate': header('Bearer') } : {}),
  };
  return {
    description: STATUS_CODES[status] ?? String(status),
    ...(Object.keys(headers).length === 0 ? {} : { headers }),
    content: { 'application/problem+json': { schema: reference(problem) } },
  };
}

function header(description: string, type = 'string'): Json {
  return { description, schema: { type } };
}

function operationOf(route: Route): Json {
  const errors = ERRORS.filter(({ applies }) => applies(route));
  return {
    operationId: route.operation,
    summary: route.summary,
    ...(route.isPublic === true ? { security: [] } : {}),
    parameters: parametersOf(route),
    ...(route.body === undefined
      ? {}
      : {
          requestBody: {
            required: route.body.isOptional !== true,
            content: { 'application/json': { schema: reference(route.body.schema) } },
          },
        }),
    responses: {
      [route.status ?? 200]: answerOf(route),
      ...Object.fromEntries(
        errors.map(({ status }) => [status, { $ref: `#/components/responses/${nameOf(status)}` }]),
      ),
    },
  };
}

function answerOf(route: Route): Json {
  const { status, isRead } = route;
  const headers = {
    ...(status === 201 ? { Location: header('Of what was made') } : {}),
    ...(isRead === true
      ? {
          'Jarvis-Index': header('Of a stale read: the index of the log that the state is at', 'integer'),
          'Jarvis-Age-Ms': header(
            'Of a stale read: the state is what the cluster had committed so long ago, or newer; absent where that is not known',
            'integer',
          ),
        }
      : {}),
  };
  return {
    description: STATUS_CODES[status ?? 200] ?? '',
    ...(Object.keys(headers).length === 0 ? {} : { headers }),
    content: contentOf(route),
  };
}

function contentOf({ answer, mediaType = 'application/json' }: Route): Json {
  if (answer === 'text/event-stream')
    return {
      [answer]: {
        schema: { type: 'string', description: `The data of each event: ${SCHEMAS}${idOf(event)}` },
      },
    };
  if (answer === 'application/octet-stream') return { [answer]: {} };
  if (typeof answer === 'string') return { [answer]: { schema: { type: 'string' } } };
  return { [mediaType]: { schema: reference(answer) } };
}

function parametersOf(route: Route): readonly Json[] {
  const inPath = [...route.path.matchAll(/:(\w+)/g)].map(([, name = '']) => ({
    name,
    in: 'path',
    required: true,
    description: describedParameter(route.path, name),
    schema: { type: 'string' },
  }));
  const { properties = {} } = z.toJSONSchema(route.query, { io: 'input' });
  const inQuery = Object.entries(properties).map(([name, property]) => {
    const { description, parameter, ...schema } = property as Json;
    return {
      name,
      in: 'query',
      required: false,
      ...(description === undefined ? {} : { description }),
      schema: parameter ?? schema,
    };
  });
  return [...inPath, ...inQuery, ...headersOf(route)];
}

function describedParameter(path: string, name: string): string {
  if (path.startsWith('/dags')) return 'The id, an unambiguous beginning of it, or a name: its newest run';
  if (/^\/(tasks|batches)/.test(path)) return 'The id, or an unambiguous beginning of it';
  return /^\/(nodes|cluster\/members)/.test(path) ? 'The name of a node' : name;
}

function headersOf({ method, operation }: Route): readonly Json[] {
  const named = (name: string, description: string, schema: Json): Json => ({
    name,
    in: 'header',
    required: false,
    description,
    schema: { type: 'string', ...schema },
  });
  if (operation === 'watchEvents')
    return [named('Last-Event-ID', 'Goes on after that event; stands above `since`', {})];
  if (method === 'GET') return [];
  const repeated =
    'The same key and body within 24 hours do nothing more, and are answered as the first time';
  return [named('Idempotency-Key', repeated, { pattern: '^[!-~]{1,255}$' })];
}

function idOf(schema: z.ZodType): string | undefined {
  return components.get(schema)?.id;
}

function reference(schema: z.ZodType): Json {
  const id = idOf(schema);
  if (id !== undefined) return { $ref: `${SCHEMAS}${id}` };
  return withoutMarks(z.toJSONSchema(schema, { io: 'input' }));
}

function schemas(): Json {
  const made = z.toJSONSchema(components, {
    io: 'input',
    // Values that are read by code of their own say in their `meta` what they take.
    unrepresentable: 'any',
    uri: (id) => `${SCHEMAS}${id}`,
  });
  return Object.fromEntries(
    Object.entries(made.schemas)
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([id, schema]) => [id, withoutMarks(schema)]),
  );
}

/** A schema by itself says what it is and where; within the document that is said already. */
function withoutMarks(schema: Json): Json {
  return Object.fromEntries(Object.entries(schema).filter(([key]) => key !== '$schema' && key !== '$id'));
}
