/** The cluster as a whole: its state, its settings, its snapshot. */
import { limits } from '../../lib/limits.ts';
import { settingsToJson } from '../../spec/json.ts';
import { sendCluster } from '../cluster-route.ts';
import { parseConfigBody } from '../config-routes.ts';
import { idempotencyKey } from '../requests.ts';
import { route } from '../route.ts';
import { cluster } from '../schemas/cluster.ts';
import { settings, settingsChange } from '../schemas/settings.ts';
import { sendSnapshot } from '../snapshot-route.ts';

export const clusterRoutes = [
  route({
    method: 'GET',
    path: '/cluster',
    operation: 'getCluster',
    summary: 'Who leads, who votes, and how each member is',
    answer: cluster,
    isRead: true,
    handler: async ({ reply, operations, context }) =>
      await sendCluster(reply, { operations, context: context() }),
  }),
  route({
    method: 'GET',
    path: '/snapshot',
    operation: 'saveSnapshot',
    summary: 'The state at one index, as a file',
    answer: 'application/octet-stream',
    isStream: true,
    handler: async ({ reply, operations, context }) =>
      await sendSnapshot(reply, operations.saveSnapshot(context(limits.httpSnapshotTimeoutMs))),
  }),
  route({
    method: 'GET',
    path: '/config',
    operation: 'getConfig',
    isRead: true,
    summary: 'The settings that belong to the cluster',
    answer: settings,
    handler: async ({ operations, context }) => settingsToJson(await operations.getConfig(context())),
  }),
  route({
    method: 'PUT',
    path: '/config',
    operation: 'setConfig',
    summary: 'Changes settings of the cluster; what is absent stays as it is',
    answer: settings,
    body: { schema: settingsChange },
    handler: async ({ request, operations, body, context }) => {
      const change = parseConfigBody(body, idempotencyKey(request));
      return settingsToJson(await operations.setConfig(change, context()));
    },
  }),
];
