/** Every call of the API (docs/contract.md, section 2). */
import type { Route } from '../route.ts';
import { alertRoutes } from './alerts.ts';
import { autoscalerRoutes } from './autoscaler.ts';
import { clusterRoutes } from './cluster.ts';
import { documentRoute } from './document.ts';
import { eventRoutes } from './events.ts';
import { groupRoutes } from './groups.ts';
import { healthRoutes } from './health.ts';
import { joinTokenRoutes } from './join-tokens.ts';
import { memberRoutes } from './members.ts';
import { metricsRoutes } from './metrics.ts';
import { nodeRoutes } from './nodes.ts';
import { prometheusRoutes } from './prometheus.ts';
import { schemaRoutes } from './schemas.ts';
import { taskRoutes } from './tasks.ts';
import { tokenRoutes } from './tokens.ts';

export const ROUTES: readonly Route[] = [
  ...taskRoutes,
  ...groupRoutes,
  ...nodeRoutes,
  ...clusterRoutes,
  ...memberRoutes,
  ...tokenRoutes,
  ...joinTokenRoutes,
  ...alertRoutes,
  ...autoscalerRoutes,
  ...eventRoutes,
  ...prometheusRoutes,
  ...healthRoutes,
  ...metricsRoutes,
  ...schemaRoutes,
  documentRoute(() => ROUTES),
];
