/** A client that sends all its requests over one stream, and has their answers in the same order. */
import * as grpc from '@grpc/grpc-js';

import { channelOptions } from '../../src/rpc/channel.ts';
import type { Method } from '../../src/rpc/client.ts';
import type { Scope } from '../scope.ts';
import type { Load, RatedCallers } from './callers.ts';
import { atOnce } from './at-once.ts';

interface Waiter<Response> {
  readonly resolve: (response: Response) => void;
  readonly reject: (error: Error) => void;
}

export class StreamCallers<Request, Response> implements RatedCallers<Request, Response> {
  readonly #client: grpc.Client;
  readonly #stream: grpc.ClientDuplexStream<Request, Response>;
  #waiters: Waiter<Response>[] = [];
  #failure: Error | null = null;

  private constructor(
    address: string,
    { path, requestSerialize, responseDeserialize }: Method<Request, Response>,
  ) {
    this.#client = new grpc.Client(address, grpc.credentials.createInsecure(), channelOptions);
    this.#stream = this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
    this.#stream.on('data', (response: Response) => this.#waiters.shift()?.resolve(response));
    this.#stream.on('error', (error) => this.#fail(error));
    this.#stream.on('end', () => this.#fail(new Error(`${path}: the stream was ended`)));
  }

  static own<Request, Response>(
    scope: Scope,
    target: { readonly address: string; readonly method: Method<Request, Response> },
  ): Promise<StreamCallers<Request, Response>> {
    return scope.own({
      start: () => Promise.resolve(new StreamCallers(target.address, target.method)),
      end: (callers) => {
        callers.#stream.cancel();
        callers.#client.close();
        return Promise.resolve();
      },
    });
  }

  async rate(load: Load<Request, Response>, signal: AbortSignal): Promise<number> {
    const { calls, clients, request, check } = load;
    const begunMs = performance.now();
    await atOnce({ count: calls, width: clients, signal }, async (at) => {
      check(await this.#call(request(at)));
    });
    return (calls * 1000) / (performance.now() - begunMs);
  }

  async #call(request: Request): Promise<Response> {
    if (this.#failure !== null) throw this.#failure;
    return await new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
      this.#stream.write(request);
    });
  }

  #fail(error: Error): void {
    this.#failure = error;
    for (const { reject } of this.#waiters.splice(0)) reject(error);
  }
}
