/** How a receiver knows that a message comes from the cluster, and is new (docs/alerts.md shows how to check it). */
import { createHmac } from 'node:crypto';

/**
 * HMAC-SHA256 over the time, a full stop and the body: the time is covered, so that nobody who has recorded a request can
 * send it again later as if it were new.
 * @param wallMs of this very request
 */
export function signatureOf(secret: string, wallMs: number, body: string): string {
  const seconds = Math.floor(wallMs / 1000);
  const digest = createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex');
  return `t=${seconds},v1=${digest}`;
}
