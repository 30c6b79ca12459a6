/**
 * The cluster's settings as founders compare them before a cluster forms. It is sent to them, and printed where two of them differ, so that
 * secrets, and addresses of webhooks, which often are secrets, stand in it only as what a slow hash makes of them: equal where they are equal,
 * and of no use otherwise.
 */
import { scryptSync } from 'node:crypto';

import { shownTarget } from '../lib/webhook-target.ts';
import type { ClusterConfig } from '../model/cluster.ts';

const HASH_BYTES = 16;

export function foundingText(config: ClusterConfig): string {
  const { alerts, ...others } = config;
  const webhooks = alerts?.webhooks.map(({ secret, url, ...webhook }) => ({
    ...webhook,
    url: `${shownTarget(url)} ${hashOf(url, 'url')}`,
    secret: secret === null ? null : hashOf(secret, url),
  }));
  return JSON.stringify({ ...others, alerts: { webhooks } });
}

function hashOf(text: string, salt: string): string {
  return scryptSync(text, salt, HASH_BYTES).toString('hex');
}
