/** The API's calls (docs/contract.md, section 2): parse, call, and the answer as JSON. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { formatDurationMs } from '../lib/quantities.ts';
import type { Log } from '../lib/log.ts';
import { formatTime } from '../lib/times.ts';
import type { LabelChanges } from '../model/node.ts';
import type { CallContext, ClusterOperations, Readiness } from '../operations/port.ts';
import {
  explanationToJson,
  listToJson,
  nodeChangeToJson,
  nodeToJson,
  planToJson,
  removalToJson,
  settingsToJson,
  taskToJson,
  versionToJson,
} from '../spec/json.ts';
import { parseDrain, parseNodeUpdate } from '../spec/node-changes.ts';
import { parseTaskSpec } from '../spec/task-schema.ts';
import { parseTaskUpdate } from '../spec/task-update.ts';
import { wireFromPlain } from '../spec/wire.ts';
import { parseConfigBody } from './config-routes.ts';
import { sendCluster } from './cluster-route.ts';
import { sendEvents } from './events-route.ts';
import { sendSnapshot } from './snapshot-route.ts';
import { registerGroups } from './group-routes.ts';
import { MemberRoutes } from './members-routes.ts';
import { planRequest } from './plan-request.ts';
import { sendLogs } from './logs-route.ts';
import {
  asMalformed,
  expectNoBody,
  expectNoQuery,
  parseClusterQuery,
  parseEventsQuery,
  parseLogsQuery,
  parseRemoveNodeQuery,
  parseTasksQuery,
} from './query.ts';
import type { Calls } from './requests.ts';
import { idempotencyKey } from './requests.ts';
import type { Handler } from './route.ts';
import { on, parameter } from './route.ts';

export interface RouteParts {
  readonly operations: ClusterOperations;
  readonly readiness: () => Readiness;
  readonly calls: Calls;
  readonly log: Log;
}

export function registerRoutes(app: FastifyInstance, parts: RouteParts): void {
  registerTasks(app, parts);
  registerGroups(app, parts);
  registerCluster(app, parts);
  registerHealth(app, parts);
}

function registerTasks(app: FastifyInstance, { operations, calls, log }: RouteParts): void {
  const contextOf = (reply: FastifyReply) => calls.context(reply, limits.httpTimeoutMs);
  on(app, '/tasks', {
    POST: async (request, reply) => {
      expectNoQuery(request.query);
      const key = idempotencyKey(request);
      parseTaskSpec(request.body);
      const task = wireFromPlain(request.body as Readonly<Record<string, unknown>>);
      const answer = await operations.submitTasks({ tasks: [task], idempotency_key: key }, contextOf(reply));
      const [created] = answer.tasks;
      if (created === undefined) throw new JarvisError('internal', 'no task came back');
      return reply.code(201).header('location', `/tasks/${created.id}`).send(taskToJson(created));
    },
    GET: async (request, reply) => {
      const query = parseTasksQuery(request.query);
      try {
        const { items, next_cursor: next } = await operations.listTasks(query, contextOf(reply));
        return listToJson(items.map(taskToJson), next);
      } catch (error) {
        throw asMalformed(error);
      }
    },
  });
  on(app, '/tasks/:id', {
    GET: async (request, reply) => {
      expectNoQuery(request.query);
      return taskToJson(await operations.getTask({ id: parameter(request, 'id') }, contextOf(reply)));
    },
    DELETE: async (request, reply) => {
      expectNoQuery(request.query);
      const cancelled = await operations.cancelTask(
        { id: parameter(request, 'id'), idempotency_key: idempotencyKey(request) },
        contextOf(reply),
      );
      return taskToJson(cancelled);
    },
    PATCH: async (request, reply) => {
      expectNoQuery(request.query);
      const { priority, labels = [], notBeforeMs } = parseTaskUpdate(request.body);
      const changed = await operations.updateTask(
        {
          id: parameter(request, 'id'),
          idempotency_key: idempotencyKey(request),
          priority,
          ...labelsToWire(labels),
          not_before:
            notBeforeMs === null ? '' : notBeforeMs === undefined ? undefined : formatTime(notBeforeMs),
        },
        contextOf(reply),
      );
      return taskToJson(changed);
    },
  });
  on(app, '/tasks/:id/retry', {
    POST: async (request, reply) => {
      expectNoQuery(request.query);
      expectNoBody(request.body);
      const begun = await operations.retryTask(
        { id: parameter(request, 'id'), idempotency_key: idempotencyKey(request) },
        contextOf(reply),
      );
      return taskToJson(begun);
    },
  });
  on(app, '/tasks/:id/explain', {
    GET: async (request, reply) => {
      expectNoQuery(request.query);
      const id = parameter(request, 'id');
      return explanationToJson(await operations.explainTask({ id }, contextOf(reply)));
    },
  });
  on(app, '/plan', {
    POST: async (request, reply) => {
      expectNoQuery(request.query);
      const plan = await operations.planTasks(await planRequest(request.body), contextOf(reply));
      // An answer, and nothing that was made.
      return reply.code(200).send(planToJson(plan));
    },
  });
  on(app, '/tasks/:id/logs', {
    GET: async (request, reply) => {
      const wanted = parseLogsQuery(parameter(request, 'id'), request.query);
      const context = calls.context(reply, wanted.follow ? null : limits.httpLogsTimeoutMs);
      await sendLogs(reply, { operations, request: wanted, context, log });
      return reply;
    },
  });
}

function labelsToWire(labels: LabelChanges): { labels: Record<string, string>; remove_labels: string[] } {
  return {
    labels: Object.fromEntries(labels.flatMap(([key, value]) => (value === null ? [] : [[key, value]]))),
    remove_labels: labels.flatMap(([key, value]) => (value === null ? [key] : [])),
  };
}

function registerCluster(app: FastifyInstance, { operations, calls, log }: RouteParts): void {
  const contextOf = (reply: FastifyReply) => calls.context(reply, limits.httpTimeoutMs);
  on(app, '/nodes', {
    GET: async (request, reply) => {
      expectNoQuery(request.query);
      const { items, next_cursor: next } = await operations.listNodes(contextOf(reply));
      return listToJson(items.map(nodeToJson), next);
    },
  });
  on(app, '/nodes/:name', {
    GET: async (request, reply) => {
      expectNoQuery(request.query);
      return nodeToJson(await operations.getNode({ name: parameter(request, 'name') }, contextOf(reply)));
    },
    DELETE: async (request, reply) => {
      const { dead } = parseRemoveNodeQuery(request.query);
      const removal = await operations.removeNode(
        { name: parameter(request, 'name'), dead, idempotency_key: idempotencyKey(request) },
        contextOf(reply),
      );
      return removalToJson(removal);
    },
    PATCH: async (request, reply) => {
      expectNoQuery(request.query);
      const labels = parseNodeUpdate(request.body);
      const change = await operations.labelNode(
        { ...nodeNamed(request), ...labelsToWire(labels) },
        contextOf(reply),
      );
      return nodeChangeToJson(change);
    },
  });
  registerNodeChanges(app, operations, contextOf);
  on(app, '/cluster', {
    GET: async (request, reply) => {
      const query = parseClusterQuery(request.query);
      return await sendCluster(reply, { operations, query, context: contextOf(reply) });
    },
  });
  on(app, '/events', {
    GET: async (request, reply) => {
      const wanted = parseEventsQuery(request.headers['last-event-id'], request.query);
      await sendEvents(reply, { operations, request: wanted, context: calls.context(reply, null), log });
      return reply;
    },
  });
  registerMembers(app, new MemberRoutes(operations), contextOf);
  on(app, '/snapshot', {
    GET: async (request, reply) => {
      expectNoQuery(request.query);
      const pieces = operations.saveSnapshot(calls.context(reply, limits.httpSnapshotTimeoutMs));
      return await sendSnapshot(reply, pieces);
    },
  });
  on(app, '/config', {
    GET: async (request, reply) => {
      expectNoQuery(request.query);
      return settingsToJson(await operations.getConfig(contextOf(reply)));
    },
    PUT: async (request, reply) => {
      expectNoQuery(request.query);
      const change = parseConfigBody(request.body, idempotencyKey(request));
      return settingsToJson(await operations.setConfig(change, contextOf(reply)));
    },
  });
  on(app, '/version', { GET: async () => versionToJson(operations.version()) });
}

/** The name in the URL, and the caller's key. */
function nodeNamed(request: FastifyRequest): { readonly name: string; readonly idempotency_key: string } {
  return { name: parameter(request, 'name'), idempotency_key: idempotencyKey(request) };
}

function registerNodeChanges(
  app: FastifyInstance,
  operations: ClusterOperations,
  contextOf: (reply: FastifyReply) => CallContext,
): void {
  on(app, '/nodes/:name/cordon', {
    POST: async (request, reply) => {
      expectNoQuery(request.query);
      expectNoBody(request.body);
      const change = await operations.cordonNode(nodeNamed(request), contextOf(reply));
      return reply.code(200).send(nodeChangeToJson(change));
    },
  });
  on(app, '/nodes/:name/undrain', {
    POST: async (request, reply) => {
      expectNoQuery(request.query);
      expectNoBody(request.body);
      const change = await operations.undrainNode(nodeNamed(request), contextOf(reply));
      return reply.code(200).send(nodeChangeToJson(change));
    },
  });
  on(app, '/nodes/:name/drain', {
    POST: async (request, reply) => {
      expectNoQuery(request.query);
      const { withinMs, graceMs } = parseDrain(request.body);
      const durations = {
        deadline: formatDurationMs(withinMs),
        grace: graceMs === null ? undefined : formatDurationMs(graceMs),
      };
      const asked = { ...nodeNamed(request), ...durations, start_id: '' };
      const change = await operations.drainNode(asked, contextOf(reply));
      return reply.code(200).send(nodeChangeToJson(change));
    },
  });
}

function registerMembers(
  app: FastifyInstance,
  members: MemberRoutes,
  contextOf: (reply: FastifyReply) => CallContext,
): void {
  const named =
    (call: (name: string, body: unknown, context: CallContext) => Promise<object>): Handler =>
    async (request, reply) => {
      expectNoQuery(request.query);
      return await call(parameter(request, 'name'), request.body, contextOf(reply));
    };
  on(app, '/cluster/transfer', { POST: named((_, body, context) => members.transfer(body, context)) });
  on(app, '/cluster/members', {
    GET: named((_name, _body, context) => members.list(context)),
    POST: named((_, body, context) => members.add(body, context)),
  });
  on(app, '/cluster/members/:name', {
    DELETE: named((name, _body, context) => members.remove(name, context)),
  });
  on(app, '/cluster/members/:name/promote', {
    POST: named((name, body, context) => members.promote(name, body, context)),
  });
  on(app, '/cluster/members/:name/demote', {
    POST: named((name, body, context) => members.demote(name, body, context)),
  });
}

function registerHealth(app: FastifyInstance, { readiness }: RouteParts): void {
  on(app, '/healthz', { GET: async () => ({ status: 'ok' }) });
  on(app, '/readyz', {
    GET: async () => {
      const { ready, reason } = readiness();
      if (!ready) throw new JarvisError('unavailable', reason);
      return { status: 'ready' };
    },
  });
}
