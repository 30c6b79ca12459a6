/** Members tell nodes without a copy of the state whose a caller's token is (proto/callers.proto). */
import { CallersService, type CallersServer } from '../generated/callers.ts';
import { JarvisError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { Guard } from '../operations/guard.ts';
import { streamHandler } from './handlers.ts';
import type { Service } from './server.ts';

/** @param guard null: whoever calls is let in, and nobody has to ask */
export function callersService(clusterId: string, guard: Pick<Guard, 'identify'> | null, log: Log): Service {
  const handlers: CallersServer = {
    identify: streamHandler(({ cluster_id: asked }, context) => {
      if (asked !== clusterId)
        throw new JarvisError('conflict', `this is cluster ${clusterId}, not ${asked}`);
      if (guard === null) throw new JarvisError('invalid', 'this node asks nobody for a token');
      return identities(guard, context);
    }, log),
  };
  return { definition: CallersService, handlers };
}

async function* identities(guard: Pick<Guard, 'identify'>, context: Parameters<Guard['identify']>[0]) {
  for await (const { id, name, role } of guard.identify(context)) yield { id, name, role };
}
