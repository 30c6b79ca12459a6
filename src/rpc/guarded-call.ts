/** A call of a server that may be refused: at its beginning, for one of its messages, or while it goes on. */
import * as grpc from '@grpc/grpc-js';

import { JarvisError } from '../lib/errors.ts';
import { toStatus } from './errors.ts';
import { isOfWrongUse, type PeerRefusal } from './peer-rules.ts';

type Listener = Parameters<grpc.ServerInterceptingCall['start']>[0];
type Status = Parameters<grpc.ServerInterceptingCall['sendStatus']>[0];

interface GuardedCallOptions {
  /** From the beginning. */
  readonly refusal: PeerRefusal | null;
  /** What is to be said against a message; null: nothing. */
  readonly refuses: (message: unknown) => PeerRefusal | null;
  readonly onOver: () => void;
}

export class GuardedCall extends grpc.ServerInterceptingCall {
  readonly #call: grpc.ServerInterceptingCallInterface;
  readonly #options: GuardedCallOptions;
  #isOver = false;

  constructor(call: grpc.ServerInterceptingCallInterface, options: GuardedCallOptions) {
    super(call);
    this.#call = call;
    this.#options = options;
  }

  override start(listener: Listener): void {
    super.start({
      onReceiveMetadata: (metadata) => {
        const { refusal } = this.#options;
        if (refusal !== null) this.refuse(refusal);
        if (!this.#isOver) listener.onReceiveMetadata(metadata);
      },
      onReceiveMessage: (message: unknown) => {
        const refusal = this.#isOver ? null : this.#options.refuses(message);
        if (refusal !== null) this.refuse(refusal);
        if (!this.#isOver) listener.onReceiveMessage(message);
      },
      onReceiveHalfClose: () => {
        if (!this.#isOver) listener.onReceiveHalfClose();
      },
      onCancel: () => {
        this.#options.onOver();
        listener.onCancel();
      },
    });
  }

  override sendMetadata(metadata: grpc.Metadata): void {
    if (!this.#isOver) super.sendMetadata(metadata);
  }

  override sendMessage(message: unknown, callback: () => void): void {
    if (!this.#isOver) super.sendMessage(message, callback);
  }

  override sendStatus(status: Status): void {
    this.#options.onOver();
    if (this.#isOver) return;
    this.#isOver = true;
    super.sendStatus(status);
  }

  /** Its operation hears of it as if the caller had gone. */
  refuse({ code, message }: PeerRefusal): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const kind = isOfWrongUse(code) ? 'forbidden' : 'unauthenticated';
    this.#call.sendStatus(toStatus(new JarvisError(kind, message)));
  }
}
