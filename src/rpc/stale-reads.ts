/** Reads whose caller may choose who answers: the leader, or the node that is asked, however old its state is. */
import type * as grpc from '@grpc/grpc-js';

import { JarvisError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { isStale } from '../operations/cluster-reports.ts';
import type { CallContext, Freshness } from '../operations/port.ts';
import { metadataOf } from './freshness.ts';
import { unaryHandler } from './handlers.ts';

interface Read {
  readonly consistency?: string | undefined;
}

export function readHandler<Request extends Read, Response>(
  operation: (request: Request, context: CallContext) => Promise<Response>,
  { log, freshness }: { readonly log: Log; readonly freshness: () => Freshness | null },
): grpc.handleUnaryCall<Request, Response> {
  return (call, callback) => {
    const answer = async (request: Request, context: CallContext): Promise<Response> => {
      if (!isStale(request.consistency ?? '')) return await operation(request, context);
      // Asked before the state is read, which can only be newer then.
      let told = freshness();
      const onFreshness = (another: Freshness): void => void (told = another);
      const response = await operation(request, { ...context, isStale: true, onFreshness });
      if (told !== null) call.sendMetadata(metadataOf(told));
      return response;
    };
    unaryHandler(answer, log)(call, callback);
  };
}

/** For what only the leader answers. @throws JarvisError invalid */
export function refuseStale({ consistency = '' }: Read): void {
  if (!isStale(consistency)) return;
  const message = '"stale" is not allowed here: only what is read once may be stale';
  throw new JarvisError('invalid', `consistency: ${message}`, { faults: [{ path: 'consistency', message }] });
}
