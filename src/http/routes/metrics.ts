/** What Prometheus asks a node for. */
import { JarvisError } from '../../lib/errors.ts';
import { route } from '../route.ts';

export const metricsRoutes = [
  route({
    method: 'GET',
    path: '/metrics',
    operation: 'getMetrics',
    summary: 'The metrics of the node that answers, as Prometheus reads them (docs/metrics.md)',
    answer: 'text/plain',
    handler: async ({ reply, metrics }) => {
      if (metrics === null) throw new JarvisError('unavailable', 'this node keeps no metrics');
      return await reply.type(metrics.contentType).send(await metrics.scrape());
    },
  }),
];
