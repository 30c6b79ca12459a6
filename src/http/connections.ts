/** Bounds on connections: what never says what it wants, and what does not take what it asked for, is closed. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { PROBLEM_TYPE, problemOf } from './problem.ts';

const LATE = Object.assign(new Error('no request came in time'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' });

const STATUSES: Readonly<Record<string, number>> = {
  ERR_HTTP_REQUEST_TIMEOUT: 408,
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
};
const DETAILS: Readonly<Record<number, string>> = {
  400: 'what came is no HTTP request',
  408: 'the request did not arrive in time',
  413: 'the extensions of a chunk are too large',
  431: 'the headers are too large',
};

export interface ConnectionBounds {
  /** For the first request to begin, and for its headers. */
  readonly headersTimeoutMs: number;
  /** For a request to arrive in full. */
  readonly requestTimeoutMs: number;
  /** Between looks for headers and bodies that are late. */
  readonly checkIntervalMs: number;
  /** For so long a reader may take nothing of what is written to it, which is held up to the bounds of streams. */
  readonly stallMs: number;
}

export class Connections {
  readonly #bounds: ConnectionBounds;
  /** That can be written to: with TLS once its handshake is done. */
  readonly #open = new WeakSet<Socket>();
  /** Answers under way, in the order of their requests. */
  readonly #answering = new WeakMap<Socket, Set<ServerResponse>>();

  constructor(bounds: ConnectionBounds) {
    this.#bounds = bounds;
  }

  /** With TLS, too: what is looked at is the socket that answers are written to. */
  bound(server: Server): void {
    // Node.js starts the time of a socket anew whenever something moves on it, either way.
    const { headersTimeoutMs, stallMs } = this.#bounds;
    server.setTimeout(stallMs);
    // Of what has not yet said a word it takes no headers to be late. With TLS the second is the one that is written to.
    for (const event of ['connection', 'secureConnection'])
      server.on(event, (socket: Socket) => {
        this.#open.add(socket);
        socket.setTimeout(headersTimeoutMs);
      });
    // Ahead of whoever answers, who can see then that nobody is there for it.
    server.prependListener('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
      const answers = this.#answering.get(socket) ?? new Set();
      this.#answering.set(socket, answers.add(response));
      socket.setTimeout(stallMs);
      if (answers.size > limits.httpPipelined) socket.destroy();
      response.once('close', () => answers.delete(response));
    });
    server.on('timeout', (socket: Socket) => {
      // A stream without news has nothing to be taken.
      if (this.#isAnswering(socket) && socket.writableLength === 0) socket.setTimeout(stallMs);
      else if (this.#answering.has(socket)) socket.destroy();
      else this.refuse(LATE, socket);
    });
  }

  /** What never became a request is answered, too, and its connection closed. */
  refuse(error: Error & { readonly code?: string }, socket: Socket): void {
    // An answer that has begun must not have another one in its middle; one that waits for a handshake is never sent.
    const isOpen = this.#open.has(socket) && socket.writable;
    if (error.code === 'ECONNRESET' || !isOpen || !this.#isNext(socket)) {
      socket.destroy();
      return;
    }
    const status = STATUSES[error.code ?? ''] ?? 400;
    const code = status === 408 ? 'timeout' : status === 400 ? 'malformed' : 'too_large';
    const problem = problemOf(new JarvisError(code, DETAILS[status] ?? ''), status);
    const body = JSON.stringify(problem);
    const head = [
      `HTTP/1.1 ${status} ${problem.title}`,
      `Content-Type: ${PROBLEM_TYPE}`,
      `Content-Length: ${Buffer.byteLength(body)}`,
      'Connection: close',
    ];
    socket.write(`${head.join('\r\n')}\r\n\r\n${body}`);
    socket.destroySoon();
  }

  #isAnswering(socket: Socket): boolean {
    return (this.#answering.get(socket)?.size ?? 0) > 0;
  }

  /** What is wrong is the only request without an answer, and nothing of that has been sent: its body may have gone wrong. */
  #isNext(socket: Socket): boolean {
    const [first, second] = this.#answering.get(socket) ?? [];
    return second === undefined && first?.headersSent !== true;
  }
}
