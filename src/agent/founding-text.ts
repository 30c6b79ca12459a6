/**
 * The cluster's settings as founders compare them before a cluster forms. It is sent to them, and printed where two of them differ, so that
 * secrets stand in it only as what a slow hash makes of them: equal where they are equal, and of no use otherwise.
 */
import { scryptSync } from 'node:crypto';

import type { ClusterConfig } from '../model/cluster.ts';

const HASH_BYTES = 16;

export function foundingText(config: ClusterConfig): string {
  const { alerts, ...others } = config;
  const webhooks = alerts?.webhooks.map(({ secret, ...webhook }) => ({
    ...webhook,
    secret: secret === null ? null : scryptSync(secret, webhook.url, HASH_BYTES).toString('hex'),
  }));
  return JSON.stringify({ ...others, alerts: { webhooks } });
}
