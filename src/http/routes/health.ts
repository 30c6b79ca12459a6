/** What is asked of a node alone. */
import { JarvisError } from '../../lib/errors.ts';
import { versionToJson } from '../../spec/json.ts';
import { route } from '../route.ts';
import { health, version } from '../schemas/cluster.ts';

export const healthRoutes = [
  route({
    method: 'GET',
    path: '/version',
    operation: 'getVersion',
    summary: 'What the node that answers is and runs',
    answer: version,
    isPublic: true,
    handler: async ({ operations }) => versionToJson(operations.version()),
  }),
  route({
    method: 'GET',
    path: '/healthz',
    operation: 'getHealth',
    summary: 'Whether the node that answers is alive',
    answer: health,
    isPublic: true,
    handler: async () => ({ status: 'ok' }),
  }),
  route({
    method: 'GET',
    path: '/readyz',
    operation: 'getReadiness',
    summary: 'Whether the node that answers takes requests',
    answer: health,
    isPublic: true,
    handler: async ({ readiness }) => {
      const { ready, reason } = readiness();
      if (!ready) throw new JarvisError('unavailable', reason);
      return { status: 'ready' };
    },
  }),
];
