/** Server side of a stream of requests that are each answered on their own: one answer per request, in their order. */
import type * as grpc from '@grpc/grpc-js';

import { onAbort } from '../lib/abort.ts';
import type { Log } from '../lib/log.ts';
import type { Admission } from '../operations/guard.ts';
import type { CallContext } from '../operations/port.ts';
import { toStatus } from './errors.ts';
import { contextOf, report } from './handlers.ts';

export interface PipelinedOperation<Request, Response> {
  readonly answer: (request: Request, context: CallContext) => Promise<Response>;
  /** A failure is an answer too: it ends nothing. */
  readonly refuse: (error: unknown) => Response;
  /** Absent: whoever calls is let in. Looked at when the stream begins; the stream ends when that is over. */
  readonly admit?: ((context: CallContext) => Promise<Pick<Admission, 'watch'>>) | undefined;
  /** Requests without an answer, beyond which none is read. */
  readonly window: number;
}

export function pipelinedHandler<Request, Response>(
  operation: PipelinedOperation<Request, Response>,
  log: Log,
): grpc.handleBidiStreamingCall<Request, Response> {
  return (call) => new Pipeline(call, operation, log).start();
}

/** `null` while it is waited for. */
interface Slot<Response> {
  response: Response | null;
}

class Pipeline<Request, Response> {
  readonly #call: grpc.ServerDuplexStream<Request, Response>;
  readonly #operation: PipelinedOperation<Request, Response>;
  readonly #log: Log;
  readonly #context: CallContext;
  readonly #slots: Slot<Response>[] = [];
  #isEnded = false;
  /** A status was sent: nothing more is. */
  #isRefused = false;
  #isWritable = true;

  constructor(
    call: grpc.ServerDuplexStream<Request, Response>,
    operation: PipelinedOperation<Request, Response>,
    log: Log,
  ) {
    this.#call = call;
    this.#operation = operation;
    this.#log = log;
    this.#context = contextOf(call);
  }

  start(): void {
    this.#call.on('data', (request: Request) => void this.#take(request));
    this.#call.on('drain', () => {
      this.#isWritable = true;
      this.#flush();
    });
    this.#call.on('end', () => {
      this.#isEnded = true;
      this.#flush();
    });
    // A request that cannot be read ends the stream with a status of its own.
    this.#call.on('error', (error) => report(this.#log, this.#call.getPath(), error));
    if (this.#operation.admit !== undefined) void this.#watch(this.#operation.admit);
  }

  /** Never throws. */
  async #watch(admit: NonNullable<PipelinedOperation<Request, Response>['admit']>): Promise<void> {
    try {
      const watch = (await admit(this.#context)).watch();
      const over = onAbort(watch.signal, () => this.#refuse(watch.signal.reason));
      this.#call.on('close', () => {
        over();
        watch[Symbol.dispose]();
      });
      if (watch.signal.aborted) this.#refuse(watch.signal.reason);
    } catch (error) {
      this.#refuse(error);
    }
  }

  #refuse(error: unknown): void {
    if (this.#isRefused || this.#context.signal.aborted) return;
    this.#isRefused = true;
    this.#call.emit('error', toStatus(error));
  }

  async #take(request: Request): Promise<void> {
    const { answer, refuse, window } = this.#operation;
    const slot: Slot<Response> = { response: null };
    this.#slots.push(slot);
    if (this.#slots.length >= window) this.#call.pause();
    try {
      slot.response = await answer(request, this.#context);
    } catch (error) {
      report(this.#log, this.#call.getPath(), error);
      slot.response = refuse(error);
    }
    this.#flush();
  }

  #flush(): void {
    if (this.#context.signal.aborted || this.#isRefused) return;
    let sent = 0;
    for (const { response } of this.#slots) {
      if (response === null || !this.#isWritable) break;
      this.#isWritable = this.#call.write(response);
      sent += 1;
    }
    if (sent > 0) this.#slots.splice(0, sent);
    // Also while the answers are not read: what waits here would grow without end.
    if (this.#isWritable && this.#slots.length < this.#operation.window) this.#call.resume();
    if (this.#isEnded && this.#slots.length === 0) this.#call.end();
  }
}
