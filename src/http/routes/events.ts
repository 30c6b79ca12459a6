/** What happens, as it happens. */
import { sendEvents } from '../events-route.ts';
import { eventsQuery, eventsRequest } from '../query.ts';
import { route } from '../route.ts';

export const eventRoutes = [
  route({
    method: 'GET',
    path: '/events',
    operation: 'watchEvents',
    summary: 'Changes of state in the order of the log, as server-sent events',
    answer: 'text/event-stream',
    query: eventsQuery,
    isStream: true,
    handler: async ({ request, reply, operations, query, log, context }) => {
      const wanted = eventsRequest(request.headers['last-event-id'], query);
      await sendEvents(reply, { operations, request: wanted, context: context(null), log });
      return reply;
    },
  }),
];
