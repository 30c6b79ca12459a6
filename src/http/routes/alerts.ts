/** What webhooks are told. */
import { alertsToJson, alertTestToJson } from '../../spec/alert-json.ts';
import { alertsQuery, parseBody, refusedQuery } from '../query.ts';
import { idempotencyKey } from '../requests.ts';
import { route } from '../route.ts';
import { alertList, alertTest, newAlertTest } from '../schemas/alerts.ts';

export const alertRoutes = [
  route({
    method: 'GET',
    path: '/alerts',
    operation: 'listAlerts',
    summary: 'Messages to webhooks that are not over, and the newest of those that are; and the webhooks',
    answer: alertList,
    isRead: true,
    query: alertsQuery,
    handler: async ({ operations, query, context }) =>
      alertsToJson(await refusedQuery(operations.listAlerts(query, context()))),
  }),
  route({
    method: 'POST',
    path: '/alerts/test',
    operation: 'testAlert',
    summary:
      'Sends a test to one webhook now, and says what became of it; with the same key it has the same id',
    answer: alertTest,
    body: { schema: newAlertTest },
    handler: async ({ operations, request, body, context }) => {
      const { webhook } = parseBody(newAlertTest, body);
      const asked = { webhook, idempotency_key: idempotencyKey(request) };
      return alertTestToJson(await operations.testAlert(asked, context()));
    },
  }),
];
