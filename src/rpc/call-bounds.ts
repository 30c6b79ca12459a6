/**
 * Bounds of every call that a server takes, whichever service it belongs to and whatever its client says: how long it may
 * take, how long its reader may leave what is sent unread, how much all of them may hold of what they have sent and have not
 * read, and that callers hear of a stop.
 */
import { constants, type ServerHttp2Stream } from 'node:http2';

import * as grpc from '@grpc/grpc-js';

import { CallersService } from '../generated/callers.ts';
import { ClusterService } from '../generated/cluster.ts';
import { HealthService } from '../generated/health.ts';
import { NodeLogsService } from '../generated/worker.ts';
import { invariant } from '../lib/assert.ts';
import type { Clock } from '../lib/clock.ts';
import { ByteBudget, type Holding } from '../lib/byte-budget.ts';
import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { codeIn, toStatus } from './errors.ts';
import { ReceivedBytes } from './received-bytes.ts';
import { serviceName } from './service-name.ts';

/** Streams of other services are those of peers and workers, which look after themselves. */
const CALLERS: ReadonlySet<string> = new Set(
  [ClusterService, HealthService, NodeLogsService, CallersService].map(serviceName),
);

/** A call that has got its status. */
export interface EndedCall {
  /** As `service/method`. */
  readonly method: string;
  /** By its name. */
  readonly status: string;
  /** Code of the JarvisError that it ended with; null: none, or a library's own status. */
  readonly error: string | null;
  readonly isStream: boolean;
  readonly durationMs: number;
}

type Call = grpc.ServerInterceptingCallInterface;
type Listener = Parameters<grpc.ServerInterceptingCall['start']>[0];
type Status = Parameters<grpc.ServerInterceptingCall['sendStatus']>[0];

type StatusReading = Pick<Status, 'code' | 'metadata'>;

/** None of these carries a code of ours: whether a write has happened is for the client to judge. */
const STOPPING: Status = { code: grpc.status.UNAVAILABLE, details: 'this node is stopping' };
const TOO_OLD: Status = {
  code: grpc.status.UNAVAILABLE,
  details: 'the stream is too old: begin another one',
};
const TOO_LONG: Status = { code: grpc.status.DEADLINE_EXCEEDED, details: 'the call has taken too long' };

const FULL = toStatus(
  new JarvisError('too_many', 'this node holds as much of what its callers have sent as it may: later'),
);

export class CallBounds {
  readonly #clock: Clock;
  readonly #onEnded: (call: EndedCall) => void;
  readonly #received: ByteBudget;
  readonly #unread: ByteBudget;
  readonly #calls = new Set<BoundedCall>();
  #isStopping = false;
  #cancelLook: (() => void) | null = null;

  /**
   * @param bytes that all calls of callers may hold together: of what they have sent, and of what they have not read
   * @param onEnded told each call that got its status, or was given up
   */
  constructor(
    clock: Clock,
    bytes: { readonly received: number; readonly unread: number },
    onEnded: (call: EndedCall) => void = () => {},
  ) {
    this.#clock = clock;
    this.#received = new ByteBudget(bytes.received);
    this.#unread = new ByteBudget(bytes.unread);
    this.#onEnded = onEnded;
  }

  readonly interceptor: grpc.ServerInterceptor = (method, call) => {
    const isStream = method.requestStream || method.responseStream;
    const isCallers = CALLERS.has(method.path.split('/')[1] ?? '');
    // The intercepting call of the library's own does nothing.
    if (isStream && !isCallers) return new grpc.ServerInterceptingCall(call);
    const stream = streamOf(call);
    const beganMs = this.#clock.monotonicMs();
    const onStatus = ({ code, metadata }: StatusReading): void =>
      this.#onEnded({
        method: method.path.slice(1),
        status: grpc.status[code] ?? 'UNKNOWN',
        error: codeIn(metadata),
        isStream,
        durationMs: this.#clock.monotonicMs() - beganMs,
      });
    const bounded = new BoundedCall(call, { isStream, stream, clock: this.#clock, onStatus });
    this.#calls.add(bounded);
    stream.once('close', () => {
      this.#calls.delete(bounded);
      bounded.gone();
    });
    if (isCallers) this.#count(bounded, { call, stream, isAnsweredEach: method.requestStream });
    if (isStream && this.#isStopping) bounded.end(STOPPING);
    this.#cancelLook ??= this.#clock.after(limits.rpcLookMs, () => this.#look());
    return bounded;
  };

  /** From now on the streams of callers end with UNAVAILABLE, those that are open and those that come. */
  endStreams(): void {
    this.#isStopping = true;
    for (const call of this.#calls) if (call.isStream) call.end(STOPPING);
  }

  /** The same for every call. */
  endAll(): void {
    for (const call of this.#calls) call.end(STOPPING);
  }

  close(): void {
    this.#cancelLook?.();
    this.#cancelLook = null;
  }

  #count(
    bounded: BoundedCall,
    parts: { call: Call; stream: ServerHttp2Stream; isAnsweredEach: boolean },
  ): void {
    const { call, stream, isAnsweredEach } = parts;
    const received = new ReceivedBytes(this.#received, { isCompressed: isCompressed(call) });
    const unread = this.#unread.hold();
    if (isAnsweredEach) bounded.received = received;
    bounded.unread = {
      take: (bytes) => this.#makeRoom(bounded, unread, bytes),
      give: (bytes) => unread.give(bytes),
      close: () => unread.close(),
    };
    stream.on('data', ({ length }: Buffer) => {
      // What comes after the end of the answer is dropped by grpc-js.
      if (stream.writableEnded) received.close();
      else if (!received.came(length)) bounded.refuse();
    });
    stream.once('close', () => {
      received.close();
      unread.close();
    });
  }

  /** Whoever has read nothing for longest makes room for the others. */
  #makeRoom(bounded: BoundedCall, unread: Holding, bytes: number): void {
    while (!unread.take(bytes)) {
      const slowest = this.#slowest();
      slowest.reset();
      this.#calls.delete(slowest);
      if (slowest === bounded) return;
    }
  }

  #slowest(): BoundedCall {
    let slowest: BoundedCall | null = null;
    for (const call of this.#calls)
      if (call.unreadSinceMs !== null && call.unreadSinceMs < (slowest?.unreadSinceMs ?? Infinity))
        slowest = call;
    invariant(slowest !== null, 'a call that sends waits for its reader');
    return slowest;
  }

  #look(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const call of this.#calls) call.look(nowMs);
    this.#cancelLook =
      this.#calls.size === 0 ? null : this.#clock.after(limits.rpcLookMs, () => this.#look());
  }
}

interface BoundedCallOptions {
  readonly isStream: boolean;
  readonly stream: ServerHttp2Stream;
  readonly clock: Clock;
  /** Once. */
  readonly onStatus: (status: StatusReading) => void;
}

class BoundedCall extends grpc.ServerInterceptingCall {
  readonly isStream: boolean;
  /** Of a stream whose messages are each answered. */
  received: ReceivedBytes | null = null;
  /** Of a call of a caller. */
  unread: (Omit<Holding, 'take'> & { take(bytes: number): void }) | null = null;
  readonly #call: grpc.ServerInterceptingCallInterface;
  readonly #options: BoundedCallOptions;
  readonly #endMs: number;
  /** Since when a message waits for its reader, or the end of the call for the client's; null: nothing does. */
  #unreadSinceMs: number | null = null;
  #hasStatus = false;

  constructor(call: grpc.ServerInterceptingCallInterface, options: BoundedCallOptions) {
    super(call);
    this.isStream = options.isStream;
    this.#call = call;
    this.#options = options;
    this.#endMs = options.clock.monotonicMs() + boundMs(call, options.isStream);
  }

  override start(listener: Listener): void {
    const { received } = this;
    if (received === null) return super.start(listener);
    return super.start({
      onReceiveMetadata: (metadata) => listener.onReceiveMetadata(metadata),
      onReceiveMessage: (message: unknown) => {
        received.taken();
        listener.onReceiveMessage(message);
      },
      onReceiveHalfClose: () => listener.onReceiveHalfClose(),
      onCancel: () => listener.onCancel(),
    });
  }

  override sendMessage(message: unknown, callback: () => void): void {
    if (this.#hasStatus) return;
    this.received?.answered();
    this.#unreadSinceMs ??= this.#options.clock.monotonicMs();
    let isRead = false;
    let held = 0;
    super.sendMessage(message, () => {
      isRead = true;
      this.unread?.give(held);
      if (!this.#hasStatus) this.#unreadSinceMs = null;
      callback();
    });
    if (isRead || this.#options.stream.closed) return;
    held = this.#options.stream.writableLength;
    this.unread?.take(held);
  }

  override sendStatus(status: Status): void {
    if (this.#hasStatus) return;
    this.#noteStatus(status);
    super.sendStatus(status);
  }

  /** The operation hears of it as if the caller had gone. */
  end(status: Status): void {
    if (this.#hasStatus) return;
    this.#noteStatus(status);
    this.#call.sendStatus(status);
  }

  /** What it has sent already is let go at once: its stream is closed, once the answer is out. */
  refuse(): void {
    if (this.#hasStatus) return;
    this.end(FULL);
    this.#options.stream.close(constants.NGHTTP2_NO_ERROR);
  }

  get unreadSinceMs(): number | null {
    return this.#unreadSinceMs;
  }

  /** A status would wait behind what is not read. */
  reset(): void {
    this.#options.stream.close(constants.NGHTTP2_CANCEL);
    this.unread?.close();
  }

  look(nowMs: number): void {
    const isUnread = this.#unreadSinceMs !== null && nowMs - this.#unreadSinceMs >= limits.rpcUnreadMs;
    if (isUnread) this.reset();
    else if (nowMs >= this.#endMs) this.end(this.isStream ? TOO_OLD : TOO_LONG);
  }

  /** Its client, or the connection. */
  gone(): void {
    if (!this.#hasStatus) this.#options.onStatus({ code: grpc.status.CANCELLED });
    this.#hasStatus = true;
  }

  #noteStatus(status: StatusReading): void {
    this.#hasStatus = true;
    this.#options.onStatus(status);
    this.#unreadSinceMs ??= this.#options.clock.monotonicMs();
  }
}

/** A client's own deadline counts where it is given, up to a bound. */
function boundMs(call: grpc.ServerInterceptingCallInterface, isStream: boolean): number {
  if (isStream) return limits.rpcStreamMs;
  return call.getDeadline() === Infinity ? limits.rpcCallMs : limits.rpcLongestCallMs;
}

/** As grpc-js has it from the headers, which it shows nobody. */
function isCompressed(call: grpc.ServerInterceptingCallInterface): boolean {
  const { incomingEncoding } = call as unknown as { readonly incomingEncoding?: string };
  invariant(incomingEncoding !== undefined, 'a call of grpc-js knows its encoding');
  return incomingEncoding !== 'identity';
}

/** grpc-js keeps it to itself, and has no other way to end one stream of a connection. */
function streamOf(call: grpc.ServerInterceptingCallInterface): ServerHttp2Stream {
  const { stream } = call as unknown as { readonly stream?: ServerHttp2Stream };
  invariant(stream !== undefined, 'a call of grpc-js has its stream');
  return stream;
}
