/** Clients of a gRPC service that each wait for an answer before they call again; the same for ours, a ceiling or a peer. */
import * as grpc from '@grpc/grpc-js';

import { channelOptions } from '../../src/rpc/channel.ts';
import type { Method } from '../../src/rpc/client.ts';
import type { Scope } from '../scope.ts';
import { atOnce } from './at-once.ts';

const CALL_TIMEOUT_MS = 30_000;

export interface Load<Request, Response> {
  /** Of one round. */
  readonly calls: number;
  /** Calls under way at once: each is a client's only one. */
  readonly clients: number;
  readonly request: (at: number) => Request;
  /** @throws Error where the answer is not what it should be */
  readonly check: (response: Response) => void;
}

export interface RatedCallers<Request, Response> {
  /** @returns calls per second. @throws the first failure */
  rate(load: Load<Request, Response>, signal: AbortSignal): Promise<number>;
}

export class Callers<Request, Response> implements RatedCallers<Request, Response> {
  readonly #connections: readonly grpc.Client[];
  readonly #method: Method<Request, Response>;

  private constructor(address: string, method: Method<Request, Response>, connections: number) {
    this.#method = method;
    // Else grpc-js would give them all the same connection.
    const options = { ...channelOptions, 'grpc.use_local_subchannel_pool': 1 };
    this.#connections = Array.from(
      { length: connections },
      () => new grpc.Client(address, grpc.credentials.createInsecure(), options),
    );
  }

  static own<Request, Response>(
    scope: Scope,
    target: {
      readonly address: string;
      readonly method: Method<Request, Response>;
      readonly connections: number;
    },
  ): Promise<Callers<Request, Response>> {
    return scope.own({
      start: () => Promise.resolve(new Callers(target.address, target.method, target.connections)),
      end: (callers) => {
        for (const connection of callers.#connections) connection.close();
        return Promise.resolve();
      },
    });
  }

  async rate(load: Load<Request, Response>, signal: AbortSignal): Promise<number> {
    const { calls, clients, request, check } = load;
    const begunMs = performance.now();
    await atOnce({ count: calls, width: clients, signal }, async (at) => {
      check(await this.#call(request(at), at));
    });
    return (calls * 1000) / (performance.now() - begunMs);
  }

  #call(request: Request, at: number): Promise<Response> {
    const { path, requestSerialize, responseDeserialize } = this.#method;
    const connection = this.#connections[at % this.#connections.length];
    const deadline = Date.now() + CALL_TIMEOUT_MS;
    return new Promise((resolve, reject) => {
      connection?.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        new grpc.Metadata(),
        { deadline },
        (error, response) => {
          if (error === null && response !== undefined) resolve(response);
          else reject(error ?? new Error(`${path}: no answer`));
        },
      );
    });
  }
}
