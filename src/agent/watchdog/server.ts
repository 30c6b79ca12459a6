/** The watchdog's end of the socket: connections and frames; what is answered is `requests.ts`. */
import { chmodSync, rmSync } from 'node:fs';
import type { Server, Socket } from 'node:net';
import { createServer } from 'node:net';

import { JarvisError, messageOf } from '../../lib/errors.ts';
import { encodeFrame, FrameDecoder } from './frames.ts';
import { WATCHDOG_LIMITS } from './limits.ts';
import type { Request, WatchdogEvent } from './protocol.ts';
import { parseRequest } from './protocol.ts';
import { Requests, type RequestsOptions } from './requests.ts';

export interface ServerOptions extends Omit<RequestsOptions, 'pid'> {
  readonly onConnections: (count: number) => void;
}

export class WatchdogServer {
  readonly #options: ServerOptions;
  readonly #server: Server;
  /** With the session that each has said hello for. */
  readonly #connections = new Map<Socket, number | null>();
  readonly #requests: Requests;

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#requests = new Requests({ ...options, pid: process.pid });
    this.#server = createServer((socket) => this.#accept(socket));
  }

  /** The caller holds the lock of the directory: whatever stands at the address is dead. */
  async listen(address: string): Promise<void> {
    rmSync(address, { force: true });
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(address, resolve);
    });
    chmodSync(address, 0o600);
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** To the daemons of the newest session. */
  broadcast(event: WatchdogEvent): void {
    const frame = encodeFrame(event);
    for (const [socket, session] of this.#connections)
      if (session === this.#requests.session) this.#send(socket, frame);
  }

  /** Says what was to be said, then closes. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    for (const socket of this.#connections.keys()) socket.destroySoon();
    await closed;
  }

  #accept(socket: Socket): void {
    const decoder = new FrameDecoder();
    this.#connections.set(socket, null);
    this.#options.onConnections(this.#connections.size);
    socket.on('error', (error) => this.#options.diagnose('connection failed', { error: messageOf(error) }));
    socket.once('close', () => {
      this.#connections.delete(socket);
      this.#options.onConnections(this.#connections.size);
    });
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const message of decoder.push(chunk)) this.#receive(socket, message);
      } catch (error) {
        this.#options.diagnose('connection cut', { error: messageOf(error) });
        socket.destroy();
      }
    });
  }

  #receive(socket: Socket, message: unknown): void {
    const request = parseRequest(message);
    if (request === null) throw new JarvisError('malformed', 'no request of this protocol');
    void this.#answer(socket, request);
  }

  async #answer(socket: Socket, request: Request): Promise<void> {
    const reply = await this.#requests.answer(request, (session) => this.#connections.set(socket, session));
    this.#send(socket, encodeFrame(reply));
  }

  #send(socket: Socket, frame: Buffer): void {
    if (!socket.writable) return;
    socket.write(frame);
    // It does not read: it will learn from a list what it missed.
    if (socket.writableLength > WATCHDOG_LIMITS.maxUnsentBytes) socket.destroy();
  }
}
