/** Who calls over HTTP: looked at before a body is read, so that nobody is fed who will be refused. */
import type { FastifyInstance, FastifyRequest } from 'fastify';

import { JarvisError } from '../lib/errors.ts';
import type { Operation } from '../operations/permissions.ts';
import { PERMISSIONS } from '../operations/permissions.ts';
import type { Caller } from '../operations/port.ts';
import { routeOf } from './route.ts';

/** Where authentication is on. */
export interface HttpAdmission {
  /**
   * @param operation null where it is not known what is asked for: then any token does
   * @throws JarvisError unauthenticated, forbidden, too_many, unavailable
   */
  authenticate(caller: Caller, operation: Operation | null, signal: AbortSignal): Promise<void>;
}

/** Calls of the API that have a name of their own for what one operation does. */
const OPERATIONS: Readonly<Record<string, Operation>> = {
  submitTask: 'submitTasks',
  // Any node answers alone, whatever may be said of the cluster at that moment.
  getMetrics: 'getCluster',
  listPrometheusTargets: 'listNodes',
  listMembers: 'getCluster',
  addMember: 'changeMember',
  removeMember: 'changeMember',
  promoteMember: 'changeMember',
  demoteMember: 'changeMember',
};

export function requireTokens(app: FastifyInstance, admission: HttpAdmission): void {
  app.addHook('onRequest', async (request, reply) => {
    const route = routeOf(request);
    if (route?.isPublic === true) return;
    const controller = new AbortController();
    const gone = (): void => controller.abort(new JarvisError('timeout', 'the caller has gone'));
    reply.raw.once('close', gone);
    try {
      await admission.authenticate(callerOf(request), operationOf(route?.operation), controller.signal);
    } finally {
      reply.raw.off('close', gone);
    }
  });
}

/** What came with the request. */
export function callerOf(request: FastifyRequest): Caller {
  const { authorization } = request.headers;
  // Whatever is no bearer's is taken for a token, and will be refused.
  const token = authorization === undefined ? null : authorization.replace(/^Bearer +/i, '');
  return { token, address: request.socket.remoteAddress ?? '', node: null };
}

/** @param name of a call of the API; null where it asks for nothing that has a role */
export function operationOf(name: string | undefined): Operation | null {
  if (name === undefined) return null;
  if (Object.hasOwn(PERMISSIONS, name)) return name as Operation;
  return OPERATIONS[name] ?? null;
}
