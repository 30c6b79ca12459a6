/** The nodes, and what operators say of them. */
import { formatDurationMs } from '../../lib/quantities.ts';
import { listToJson, logLevelToJson, nodeChangeToJson, nodeToJson, removalToJson } from '../../spec/json.ts';
import { nodeUsageToJson } from '../../spec/usage-json.ts';
import { parseDrain, parseLogLevel, parseNodeUpdate } from '../../spec/node-changes.ts';
import { nodeUsageQuery, refusedQuery, removeNodeQuery } from '../query.ts';
import { idempotencyKey, labelsToWire } from '../requests.ts';
import type { RouteCall } from '../route.ts';
import { route } from '../route.ts';
import { drain, logLevelChange, nodeUpdate } from '../schemas/bodies.ts';
import { logLevel, node, nodeChange, nodeList, removal } from '../schemas/nodes.ts';
import { nodeUsage } from '../schemas/usage.ts';

/** The name in the URL, and the caller's key. */
function nodeNamed({ request, parameter }: Pick<RouteCall<unknown>, 'parameter' | 'request'>) {
  return { name: parameter('name'), idempotency_key: idempotencyKey(request) };
}

export const nodeRoutes = [
  route({
    method: 'GET',
    path: '/nodes',
    operation: 'listNodes',
    isRead: true,
    summary: 'The nodes, by name',
    answer: nodeList,
    handler: async ({ operations, context }) => {
      const { items, next_cursor: next } = await operations.listNodes(context());
      return listToJson(items.map(nodeToJson), next);
    },
  }),
  route({
    method: 'GET',
    path: '/nodes/:name',
    operation: 'getNode',
    isRead: true,
    summary: 'One node',
    answer: node,
    handler: async ({ operations, parameter, context }) =>
      nodeToJson(await operations.getNode({ name: parameter('name') }, context())),
  }),
  route({
    method: 'GET',
    path: '/nodes/:name/usage',
    operation: 'getNodeUsage',
    summary: 'What a node and the attempts on it use, with a short history',
    answer: nodeUsage,
    query: nodeUsageQuery,
    handler: async ({ operations, parameter, query, context }) => {
      const asked = { name: parameter('name'), since: query.since, limit: query.limit };
      return nodeUsageToJson(await refusedQuery(operations.getNodeUsage(asked, context())));
    },
  }),
  route({
    method: 'GET',
    path: '/nodes/:name/log-level',
    operation: 'getLogLevel',
    summary: 'From which level on a node logs',
    answer: logLevel,
    handler: async ({ operations, parameter, context }) =>
      logLevelToJson(await operations.getLogLevel({ name: parameter('name') }, context())),
  }),
  route({
    method: 'PUT',
    path: '/nodes/:name/log-level',
    operation: 'setLogLevel',
    summary: 'Changes from which level on a node logs, for a while',
    answer: logLevel,
    body: { schema: logLevelChange },
    handler: async ({ operations, parameter, body, context }) => {
      const { level, forMs } = parseLogLevel(body);
      const asked = {
        name: parameter('name'),
        level,
        for: forMs === null ? undefined : formatDurationMs(forMs),
      };
      return logLevelToJson(await operations.setLogLevel(asked, context()));
    },
  }),
  route({
    method: 'PATCH',
    path: '/nodes/:name',
    operation: 'labelNode',
    summary: 'Sets labels of a node, and takes away those that are null',
    answer: nodeChange,
    body: { schema: nodeUpdate },
    handler: async (call) => {
      const labels = parseNodeUpdate(call.body);
      const asked = { ...nodeNamed(call), ...labelsToWire(labels) };
      return nodeChangeToJson(await call.operations.labelNode(asked, call.context()));
    },
  }),
  route({
    method: 'DELETE',
    path: '/nodes/:name',
    operation: 'removeNode',
    summary: 'Takes a node that is gone off the list',
    answer: removal,
    query: removeNodeQuery,
    handler: async (call) => {
      const asked = { ...nodeNamed(call), dead: call.query.dead };
      return removalToJson(await call.operations.removeNode(asked, call.context()));
    },
  }),
  route({
    method: 'POST',
    path: '/nodes/:name/cordon',
    operation: 'cordonNode',
    summary: 'No new work for a node; what runs there runs on',
    answer: nodeChange,
    handler: async (call) =>
      nodeChangeToJson(await call.operations.cordonNode(nodeNamed(call), call.context())),
  }),
  route({
    method: 'POST',
    path: '/nodes/:name/drain',
    operation: 'drainNode',
    summary: 'No new work for a node; what runs there ends, or is stopped at the deadline and moved',
    answer: nodeChange,
    body: { schema: drain, isOptional: true },
    handler: async (call) => {
      const { withinMs, graceMs } = parseDrain(call.body);
      const durations = {
        deadline: formatDurationMs(withinMs),
        grace: graceMs === null ? undefined : formatDurationMs(graceMs),
      };
      const asked = { ...nodeNamed(call), ...durations, start_id: '' };
      return nodeChangeToJson(await call.operations.drainNode(asked, call.context()));
    },
  }),
  route({
    method: 'POST',
    path: '/nodes/:name/undrain',
    operation: 'undrainNode',
    summary: 'Ends a drain and a cordon',
    answer: nodeChange,
    handler: async (call) =>
      nodeChangeToJson(await call.operations.undrainNode(nodeNamed(call), call.context())),
  }),
];
