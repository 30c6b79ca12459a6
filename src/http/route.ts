/**
 * The calls of the HTTP API as data: each says what it is named, where it is, what it takes and who answers. From the
 * table of them come the routes of the server, the OpenAPI document, and what may be called by whom.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from 'fastify';
import { z } from 'zod';

import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { Log } from '../lib/log.ts';
import type { CallContext, ClusterOperations, Freshness, Readiness } from '../operations/port.ts';
import { sendProblem } from './problem.ts';
import { consistency, expectNoBody, parseQuery } from './query.ts';
import type { Calls } from './requests.ts';

type Method = 'DELETE' | 'GET' | 'PATCH' | 'POST' | 'PUT';

/** What answers come from. */
export interface RouteParts {
  readonly operations: ClusterOperations;
  readonly readiness: () => Readiness;
  readonly calls: Calls;
  readonly log: Log;
  /** JSON Schema of the file of a node's settings, of which only the agent knows. */
  readonly nodeFileSchema: () => object;
  /** Null: none are kept. */
  readonly metrics: MetricsText | null;
}

/** The metrics of a node as text, made when it is asked for. */
export interface MetricsText {
  readonly contentType: string;
  scrape(): Promise<string>;
}

interface RouteBody {
  /** What the document says of it; handlers check what they take. */
  readonly schema: z.ZodType;
  /** Without one everything is as by default. */
  readonly isOptional?: boolean;
}

interface RouteFacts {
  readonly method: Method;
  /** Parameters as `:name`. */
  readonly path: string;
  /** A name that stays, for clients that are generated and for permissions; unique. */
  readonly operation: string;
  readonly summary: string;
  /** Of an answer in JSON; absent: `application/json`. */
  readonly mediaType?: string;
  /** Of the answer; 200 where it is absent. */
  readonly status?: number;
  /** The answer comes as it is made: no HEAD, nothing compressed, no end of its own. */
  readonly isStream?: boolean;
  /** Of the state of the cluster: with `?consistency=stale` any node answers it alone. */
  readonly isRead?: boolean;
  /** Answered whoever asks. */
  readonly isPublic?: boolean;
  /** Absent where the URL says everything: then none is taken. */
  readonly body?: RouteBody;
  /** What the document says of it: a shape in JSON, or another media type. */
  readonly answer: z.ZodType | 'application/octet-stream' | 'text/event-stream' | 'text/plain';
}

export interface Route extends RouteFacts {
  /** Of the URL. */
  readonly query: z.ZodObject;
  readonly run: (request: FastifyRequest, reply: FastifyReply, parts: RouteParts) => Promise<unknown>;
}

/** One request, and all that a handler may use. */
export interface RouteCall<Query> {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly operations: ClusterOperations;
  readonly readiness: () => Readiness;
  readonly log: Log;
  readonly nodeFileSchema: () => object;
  readonly metrics: MetricsText | null;
  /** Of the URL, checked. */
  readonly query: Query;
  readonly body: unknown;
  /** Of the path; empty where there is none. */
  readonly parameter: (name: string) => string;
  /** Begins the time allowed. @param timeoutMs null: no end, for streams */
  readonly context: (timeoutMs?: number | null) => CallContext;
}

declare module 'fastify' {
  interface FastifyContextConfig {
    route?: Route;
  }
}

/** An entry of the table. What is wrong with a request is thrown when it comes, as JarvisError malformed or invalid. */
export function route<Shape extends z.ZodRawShape = Readonly<Record<string, never>>>(
  definition: RouteFacts & {
    readonly query?: z.ZodObject<Shape, z.core.$strict>;
    readonly handler: (call: RouteCall<z.output<z.ZodObject<Shape, z.core.$strict>>>) => Promise<unknown>;
  },
): Route {
  const { handler, query, ...facts } = definition;
  type Query = z.output<z.ZodObject<Shape, z.core.$strict>>;
  const own: z.ZodObject<z.ZodRawShape, z.core.$strict> = query ?? z.strictObject({});
  const schema = facts.isRead === true ? own.extend({ consistency }) : own;
  return {
    ...facts,
    query: schema,
    run: async (request, reply, { operations, readiness, calls, log, nodeFileSchema, metrics }) => {
      const parsed = parseQuery(schema, request.query);
      const isStale = parsed['consistency'] === 'stale';
      if (request.method !== 'GET' && facts.body === undefined) expectNoBody(request.body);
      if (facts.status !== undefined) reply.code(facts.status);
      const onFreshness = (freshness: Freshness): void => tellFreshness(reply, freshness);
      const own = isStale ? operations.freshness() : null;
      if (own !== null) onFreshness(own);
      return await handler({
        request,
        reply,
        operations,
        readiness,
        log,
        nodeFileSchema,
        metrics,
        // What the schema of its own has made, and at most the consistency beside it.
        query: parsed as Query,
        body: request.body,
        parameter: (name) => parameter(request, name),
        context: (timeoutMs = limits.httpTimeoutMs) => {
          const context = calls.context(reply, timeoutMs);
          return isStale ? { ...context, isStale, onFreshness } : context;
        },
      });
    },
  };
}

/** Of the state that the answer is made from, or of an older one. */
function tellFreshness(reply: FastifyReply, { index, ageMs }: Freshness): void {
  reply.header('jarvis-index', index);
  if (ageMs !== null) reply.header('jarvis-age-ms', ageMs);
}

/** Which call of the table a request is; null where it is none. */
export function routeOf(request: FastifyRequest): Route | null {
  return request.routeOptions.config.route ?? null;
}

const METHODS: readonly HTTPMethods[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

/** Every other method of a path is answered with 405 and the ones there are. */
export function registerRoutes(app: FastifyInstance, routes: readonly Route[], parts: RouteParts): void {
  for (const [path, ofPath] of Map.groupBy(routes, ({ path: url }) => url)) {
    const allowed = new Set<HTTPMethods>();
    for (const one of ofPath) {
      // HEAD of a stream would read it all.
      const hasHead = one.method === 'GET' && one.isStream !== true;
      allowed.add(one.method);
      if (hasHead) allowed.add('HEAD');
      app.route({
        method: one.method,
        url: path,
        config: { route: one },
        exposeHeadRoute: hasHead,
        ...(one.isStream === true ? { compress: false as const } : {}),
        handler: async (request, reply) => await one.run(request, reply, parts),
      });
    }
    refuseOthers(app, path, allowed);
  }
}

function refuseOthers(app: FastifyInstance, path: string, allowed: ReadonlySet<HTTPMethods>): void {
  app.route({
    method: METHODS.filter((method) => !allowed.has(method)),
    url: path,
    // Before any body is looked at.
    onRequest: async (request, reply) => {
      const error = new JarvisError('malformed', `${request.method} is not allowed here`);
      return sendProblem(reply.header('allow', [...allowed].join(', ')), error, 405);
    },
    handler: async () => undefined,
  });
}

function parameter(request: FastifyRequest, name: string): string {
  const value = (request.params as Readonly<Record<string, string | undefined>>)[name];
  return value ?? '';
}
