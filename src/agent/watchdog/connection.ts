/** One connection of the daemon to its watchdog: requests with deadlines, and events. */
import { closeSync, openSync } from 'node:fs';
import type { Socket } from 'node:net';
import { connect } from 'node:net';

import { isErrorCode, JarvisError } from '../../lib/errors.ts';
import { encodeFrame, FrameDecoder } from './frames.ts';
import { socketAddress } from './paths.ts';
import type { Answers, Reply, RequestBody, WatchdogEvent } from './protocol.ts';

interface Pending {
  readonly resolve: (answer: never) => void;
  readonly reject: (error: JarvisError) => void;
  readonly timer: NodeJS.Timeout;
}

export class WatchdogConnection {
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;
  #onEvent: (event: WatchdogEvent) => void = () => {};
  readonly closed: Promise<void>;

  private constructor(socket: Socket) {
    this.#socket = socket;
    const decoder = new FrameDecoder();
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const message of decoder.push(chunk)) this.#receive(message as Reply | WatchdogEvent);
      } catch (error) {
        socket.destroy(error instanceof Error ? error : new Error(String(error)));
      }
    });
    let cause: unknown;
    socket.on('error', (error) => {
      cause = error;
    });
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#failAll(cause);
        resolve();
      });
    });
  }

  /** @param directory the watchdog's. @throws the system's error (ENOENT, ECONNREFUSED: nobody listens) */
  static async connect(directory: string): Promise<WatchdogConnection> {
    const descriptor = openSync(directory, 'r');
    try {
      const socket = await new Promise<Socket>((resolve, reject) => {
        const connecting = connect(socketAddress(descriptor));
        connecting.once('error', reject);
        connecting.once('connect', () => {
          connecting.off('error', reject);
          resolve(connecting);
        });
      });
      return new WatchdogConnection(socket);
    } finally {
      closeSync(descriptor);
    }
  }

  set onEvent(callback: (event: WatchdogEvent) => void) {
    this.#onEvent = callback;
  }

  /** @throws JarvisError: what the watchdog refused with; `timeout`; `unavailable` when the connection broke */
  async request<Body extends RequestBody>(body: Body, timeoutMs: number): Promise<Answers[Body['type']]> {
    if (!this.#socket.writable)
      throw new JarvisError('unavailable', 'the connection to the watchdog is closed');
    this.#lastId += 1;
    const id = this.#lastId;
    const frame = encodeFrame({ ...body, id });
    return new Promise<Answers[Body['type']]>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(new JarvisError('timeout', `the watchdog did not answer ${body.type} within ${timeoutMs} ms`));
      }, timeoutMs);
      this.#pending.set(id, { resolve, reject, timer });
      this.#socket.write(frame);
    });
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #receive(message: Reply | WatchdogEvent): void {
    if ('event' in message) {
      this.#onEvent(message);
      return;
    }
    const pending = this.#pending.get(message.id);
    if (pending === undefined) return;
    this.#pending.delete(message.id);
    clearTimeout(pending.timer);
    if ('answer' in message) {
      pending.resolve(message.answer as never);
    } else {
      const { code, message: text } = message.refusal;
      pending.reject(new JarvisError(isErrorCode(code) ? code : 'internal', text));
    }
  }

  #failAll(cause: unknown): void {
    for (const { reject, timer } of this.#pending.values()) {
      clearTimeout(timer);
      reject(new JarvisError('unavailable', 'the connection to the watchdog broke', { cause }));
    }
    this.#pending.clear();
  }
}
