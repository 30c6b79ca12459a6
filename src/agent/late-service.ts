/**
 * Services that are announced before they can answer: a node listens from its start, also while its cluster forms and
 * its state is recovered, and says so to whoever calls meanwhile.
 */
import type * as grpc from '@grpc/grpc-js';

import { JarvisError } from '../lib/errors.ts';
import { toStatus } from '../rpc/errors.ts';
import type { Service } from '../rpc/server.ts';

export interface LateService {
  readonly service: Service;
  /** From now on calls go there. */
  become(service: Service): void;
  /** It never will be there, as what this node is now: calls are told so. */
  refuse(reason: string): void;
}

type AnyCall = grpc.ServerUnaryCall<unknown, unknown> & grpc.ServerDuplexStream<unknown, unknown>;
type AnyHandler = (call: AnyCall, callback?: grpc.sendUnaryData<unknown>) => void;

export function lateService(definition: grpc.ServiceDefinition): LateService {
  let present: Service | null = null;
  let absence = 'this node is starting';
  const handlers: Record<string, AnyHandler> = {};
  for (const name of Object.keys(definition)) {
    handlers[name] = (call, callback) => {
      const handler = present?.handlers[name] as AnyHandler | undefined;
      if (handler !== undefined) {
        handler(call, callback);
        return;
      }
      const status = toStatus(new JarvisError('unavailable', absence));
      if (callback !== undefined) callback(status);
      else call.emit('error', status);
    };
  }
  return {
    service: { definition, handlers: handlers as grpc.UntypedServiceImplementation },
    become(service) {
      present = service;
    },
    refuse(reason) {
      absence = reason;
    },
  };
}
