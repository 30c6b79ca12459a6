/**
 * Submissions that this node sends on to the leader for its callers: all of one token share a stream, which costs a third
 * of a call each. A stream is opened when it is needed, and closed when it was not for a while.
 */
import type * as grpc from '@grpc/grpc-js';

import type { SubmitAnswer, SubmitTasksRequest } from '../generated/cluster.ts';
import { ClusterService } from '../generated/cluster.ts';
import { onAbort } from '../lib/abort.ts';
import { JarvisError, isErrorCode } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { AcceptedTasks, CallContext } from '../operations/port.ts';
import type { ChannelPool } from './channel.ts';
import { connected } from './client.ts';
import { fromServiceError } from './errors.ts';
import { forwarded } from './forwarded.ts';

export class SubmitStreams {
  readonly #pool: ChannelPool;
  readonly #streams = new Map<string, SubmitStream>();

  constructor(pool: ChannelPool) {
    this.#pool = pool;
  }

  /** @throws JarvisError as {@link unaryCall} does for a write */
  async accept(address: string, request: SubmitTasksRequest, context: CallContext): Promise<AcceptedTasks> {
    const { caller, signal } = context;
    const client = this.#pool.client(address);
    await connected(client, { address, timeoutMs: limits.rpcConnectTimeoutMs, signal, pool: this.#pool });
    const key = `${address} ${caller?.token ?? ''}`;
    let stream = this.#streams.get(key);
    if (stream === undefined) {
      this.#makeRoom();
      const opened: SubmitStream = new SubmitStream(client, { address, metadata: forwarded(context) }, () => {
        if (this.#streams.get(key) === opened) this.#streams.delete(key);
      });
      this.#streams.set(key, opened);
      stream = opened;
    }
    return await stream.accept(request, signal);
  }

  close(): void {
    for (const stream of this.#streams.values()) stream.close();
  }

  /** @throws JarvisError too_many */
  #makeRoom(): void {
    if (this.#streams.size < limits.submitStreams) return;
    const idle = [...this.#streams.values()].find(({ isIdle }) => isIdle);
    if (idle === undefined)
      throw new JarvisError('too_many', `${limits.submitStreams} callers submit through this node`);
    idle.close();
  }
}

interface Waiter {
  readonly deadlineMs: number;
  readonly resolve: (accepted: AcceptedTasks) => void;
  readonly reject: (error: JarvisError) => void;
}

class SubmitStream {
  readonly #address: string;
  readonly #onEnd: () => void;
  readonly #stream: grpc.ClientDuplexStream<SubmitTasksRequest, SubmitAnswer>;
  /** In the order of their requests, which is that of the answers. */
  #waiters: Waiter[] = [];
  #timer: NodeJS.Timeout;
  #isOver = false;

  constructor(
    client: grpc.Client,
    { address, metadata }: { readonly address: string; readonly metadata: grpc.Metadata },
    onEnd: () => void,
  ) {
    this.#address = address;
    this.#onEnd = onEnd;
    const { path, requestSerialize, responseDeserialize } = ClusterService.streamSubmits;
    this.#stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
    this.#stream.on('data', (answer: SubmitAnswer) => this.#answered(answer));
    this.#stream.on('error', (error) => this.#end(fromServiceError(error, { address, write: true })));
    this.#stream.on('end', () =>
      this.#end(new JarvisError('outcome_unknown', `${address} ended the stream`)),
    );
    this.#timer = setTimeout(() => this.#look(), limits.submitStreamIdleMs);
  }

  /** Nobody waits for an answer. */
  get isIdle(): boolean {
    return this.#waiters.length === 0;
  }

  close(): void {
    this.#end(new JarvisError('outcome_unknown', 'this node is stopping'));
  }

  async accept(request: SubmitTasksRequest, signal: AbortSignal): Promise<AcceptedTasks> {
    if (this.#waiters.length >= limits.pendingProposals)
      throw new JarvisError('too_many', `${limits.pendingProposals} submissions wait for ${this.#address}`);
    const { promise, resolve, reject } = Promise.withResolvers<AcceptedTasks>();
    // Its place is kept: the answer will come, and nobody may take it for another one's.
    const giveUp = (): void =>
      reject(new JarvisError('outcome_unknown', 'given up before the answer came', { cause: signal.reason }));
    const stopListening = onAbort(signal, giveUp);
    if (signal.aborted) giveUp();
    if (this.#waiters.length === 0) this.#wakeIn(limits.forwardTimeoutMs);
    this.#waiters.push({ deadlineMs: performance.now() + limits.forwardTimeoutMs, resolve, reject });
    this.#stream.write(request);
    try {
      return await promise;
    } finally {
      stopListening();
    }
  }

  #answered({ task_ids: taskIds, refusal }: SubmitAnswer): void {
    const waiter = this.#waiters.shift();
    if (this.#waiters.length === 0) this.#wakeIn(limits.submitStreamIdleMs);
    if (waiter === undefined) return;
    if (refusal === undefined) return waiter.resolve({ taskIds });
    const { code, message, faults } = refusal;
    waiter.reject(new JarvisError(isErrorCode(code) ? code : 'internal', message, { faults }));
  }

  #wakeIn(delayMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(), delayMs);
  }

  /** Nothing was to be said for a while, or the oldest may have waited for too long. */
  #look(): void {
    const [oldest] = this.#waiters;
    const leftMs = oldest === undefined ? 0 : oldest.deadlineMs - performance.now();
    if (leftMs > 0) return this.#wakeIn(Math.ceil(leftMs));
    this.#end(new JarvisError('outcome_unknown', `${this.#address} does not answer`));
  }

  #end(error: JarvisError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#onEnd();
    for (const { reject } of this.#waiters.splice(0)) reject(error);
    this.#stream.cancel();
  }
}
