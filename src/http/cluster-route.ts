/** `GET /cluster`. Where there is no leader the refusal carries what this node knows, for whoever must find out why. */
import type { FastifyReply } from 'fastify';

import { JarvisError } from '../lib/errors.ts';
import type { CallContext, ClusterOperations } from '../operations/port.ts';
import { clusterToJson } from '../spec/json.ts';
import { PROBLEM_TYPE, problemOf, RETRY_AFTER_SECONDS } from './problem.ts';

export async function sendCluster(
  reply: FastifyReply,
  call: { operations: ClusterOperations; context: CallContext },
): Promise<unknown> {
  const { operations, context } = call;
  try {
    return clusterToJson(await operations.getCluster({ consistency: '' }, context));
  } catch (error) {
    if (!(error instanceof JarvisError) || problemOf(error).status !== 503) throw error;
    const cluster = await ownView(operations, context);
    if (cluster === null) throw error;
    return reply
      .code(503)
      .header('retry-after', String(RETRY_AFTER_SECONDS))
      .header('content-type', PROBLEM_TYPE)
      .send(JSON.stringify({ ...problemOf(error), cluster }));
  }
}

/** Null where this node knows nothing yet: it is starting. */
async function ownView(operations: ClusterOperations, context: CallContext): Promise<object | null> {
  try {
    return clusterToJson(await operations.getCluster({ consistency: 'stale' }, context));
  } catch (error) {
    if (error instanceof JarvisError) return null;
    throw error;
  }
}
