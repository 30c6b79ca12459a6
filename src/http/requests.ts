/** What a handler needs of an HTTP request: its caller's context, which ends with the connection or the time allowed. */
import type { FastifyReply, FastifyRequest } from 'fastify';

import { JarvisError } from '../lib/errors.ts';
import type { LabelChanges } from '../model/node.ts';
import type { CallContext } from '../operations/port.ts';
import { callerOf } from './authentication.ts';

export class Calls {
  readonly #open = new Map<AbortController, { readonly streams: boolean }>();

  /** @param timeoutMs null for answers that stream */
  context(reply: FastifyReply, timeoutMs: number | null): CallContext {
    const controller = new AbortController();
    this.#open.set(controller, { streams: timeoutMs === null });
    const timer =
      timeoutMs === null
        ? undefined
        : setTimeout(() => controller.abort(new JarvisError('timeout', 'no answer in time')), timeoutMs);
    reply.raw.once('close', () => {
      clearTimeout(timer);
      this.#open.delete(controller);
      controller.abort(new JarvisError('timeout', 'the caller has gone'));
    });
    const caller = callerOf(reply.request);
    return { caller, principal: 'anonymous', signal: controller.signal, forwarded: false };
  }

  /** Ends every answer that is under way. */
  abort(reason: JarvisError): void {
    for (const controller of this.#open.keys()) controller.abort(reason);
  }

  /** Ends those that have no end of their own. */
  abortStreams(reason: JarvisError): void {
    for (const [controller, { streams }] of this.#open) {
      if (streams) controller.abort(reason);
    }
  }
}

/** @throws JarvisError malformed */
export function idempotencyKey(request: FastifyRequest): string {
  const header = request.headers['idempotency-key'];
  if (header === undefined) return '';
  if (typeof header === 'string' && /^[\u0021-\u007e]{1,255}$/.test(header)) return header;
  const message = '1 to 255 visible ASCII characters are allowed';
  throw new JarvisError('malformed', `Idempotency-Key: ${message}`, {
    faults: [{ path: 'Idempotency-Key', message }],
  });
}

export function labelsToWire(labels: LabelChanges): {
  labels: Record<string, string>;
  remove_labels: string[];
} {
  return {
    labels: Object.fromEntries(labels.flatMap(([key, value]) => (value === null ? [] : [[key, value]]))),
    remove_labels: labels.flatMap(([key, value]) => (value === null ? [key] : [])),
  };
}
