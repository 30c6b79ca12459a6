/** What the autoscaler sees and does. */
import { autoscalerToJson, decisionsToJson } from '../../spec/scaling-json.ts';
import { groupsQuery, refusedQuery } from '../query.ts';
import { route } from '../route.ts';
import { autoscalerStatus, decisionList } from '../schemas/autoscaler.ts';

export const autoscalerRoutes = [
  route({
    method: 'GET',
    path: '/autoscaler',
    operation: 'getAutoscaler',
    summary: 'The load, what the rules come to now, and the nodes that the autoscaler has asked for',
    answer: autoscalerStatus,
    isRead: true,
    handler: async ({ operations, context }) =>
      autoscalerToJson(await operations.getAutoscaler({}, context())),
  }),
  route({
    method: 'GET',
    path: '/autoscaler/history',
    operation: 'listScalingDecisions',
    summary: 'What the autoscaler has decided, the newest first, and what has become of it',
    answer: decisionList,
    isRead: true,
    query: groupsQuery,
    handler: async ({ operations, query, context }) =>
      decisionsToJson(await refusedQuery(operations.listScalingDecisions(query, context()))),
  }),
];
