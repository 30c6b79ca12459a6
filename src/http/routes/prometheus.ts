/** For Prometheus' HTTP service discovery: where each node's metrics are (docs/monitoring.md). */
import { z } from 'zod';

import type { Node } from '../../generated/cluster.ts';
import { component, text, textsByName } from '../schemas/components.ts';
import { route } from '../route.ts';

const targets = z.array(
  component('PrometheusTarget', z.object({ targets: z.array(text).length(1), labels: textsByName })),
);

export const prometheusRoutes = [
  route({
    method: 'GET',
    path: '/prometheus/targets',
    operation: 'listPrometheusTargets',
    summary: "Every node as a target, in the form of Prometheus' HTTP service discovery",
    answer: targets,
    handler: async ({ operations, context }) => {
      // Without a leader, too: that is when metrics are wanted most, and the list is seldom other than a moment ago.
      const { items } = await operations.listNodes({ ...context(), isStale: true });
      return items.map(targetOf);
    },
  }),
];

/** Also of a node that is away: what cannot be scraped shall be seen. */
function targetOf({ name, http, address, version, labels }: Node): object {
  const own = Object.entries(labels).map(([key, value]) => [
    `__meta_jarvis_label_${key.replaceAll(/[^A-Za-z0-9_]/g, '_')}`,
    value,
  ]);
  return {
    targets: [reachable(http, address)],
    labels: { __meta_jarvis_node: name, __meta_jarvis_version: version, ...Object.fromEntries(own) },
  };
}

/** A node that listens on all its addresses is reached at the one that other nodes know. */
function reachable(http: string, address: string): string {
  const [, host, port] = /^(.*):(\d+)$/.exec(http) ?? [];
  if (host !== '0.0.0.0' && host !== '[::]') return http;
  return `${address.slice(0, address.lastIndexOf(':'))}:${port}`;
}
