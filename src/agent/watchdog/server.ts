/** The watchdog's end of the socket: frames, sessions, and the requests of daemons. */
import { chmodSync, rmSync } from 'node:fs';
import type { Server, Socket } from 'node:net';
import { createServer } from 'node:net';

import { unreachable } from '../../lib/assert.ts';
import { JarvisError, messageOf } from '../../lib/errors.ts';
import type { AttemptTable, TableAttempt } from './attempt-table.ts';
import type { Diagnose } from './diagnostics.ts';
import { encodeFrame, FrameDecoder } from './frames.ts';
import type { Guards } from './guards.ts';
import type { Lease } from './lease.ts';
import { WATCHDOG_LIMITS } from './limits.ts';
import type { Answers, Reply, Request, WatchdogEvent } from './protocol.ts';
import { parseRequest, PROTOCOL } from './protocol.ts';

export interface ServerOptions {
  readonly table: AttemptTable<TableAttempt>;
  /** The highest session that was ever told. */
  readonly session: number;
  readonly lease: Pick<Lease, 'holds' | 'extend'>;
  readonly guards: Pick<Guards, 'guard' | 'isOver' | 'recorded' | 'release'>;
  readonly saveSession: (session: number) => Promise<void>;
  readonly diagnose: Diagnose;
  readonly onConnections: (count: number) => void;
  readonly onShutdown: (killAll: boolean) => void;
}

export class WatchdogServer {
  readonly #options: ServerOptions;
  readonly #server: Server;
  /** With the session that each has said hello for. */
  readonly #connections = new Map<Socket, number | null>();
  #session: number;
  #saved: Promise<void> = Promise.resolve();

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#session = options.session;
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
      if (session === this.#session) this.#send(socket, frame);
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
    let reply: Reply;
    try {
      reply = { id: request.id, answer: await this.#handle(socket, request) };
    } catch (error) {
      const code = error instanceof JarvisError ? error.code : 'internal';
      if (code === 'internal')
        this.#options.diagnose('request failed', { type: request.type, error: messageOf(error) });
      reply = { id: request.id, refusal: { code, message: messageOf(error) } };
    }
    this.#send(socket, encodeFrame(reply));
  }

  async #handle(socket: Socket, request: Request): Promise<Answers[keyof Answers]> {
    const { table, lease, guards } = this.#options;
    if (request.type === 'hello') return this.#hello(socket, request);
    this.#checkSession(request.session);
    switch (request.type) {
      case 'start':
        // Asked again later: a node that is back in contact gets a new lease [WDLEASE]. Not `unavailable`, which the
        // client itself repeats at once.
        if (request.spec.isLeased && !lease.holds && table.find(request.spec) === undefined)
          throw new JarvisError('timeout', 'the lease has run out: nothing may start');
        return { attempt: await table.start(request.spec) };
      case 'stop':
        return { attempt: await table.stop(request, request.graceMs) };
      case 'list':
        return table.list(request.after);
      case 'remove':
        await table.remove(request);
        return {};
      case 'lease':
        await guards.recorded();
        await lease.extend(request.deadlineMs);
        return {};
      case 'guard':
        await guards.guard(request);
        return {};
      case 'isGuardOver':
        return { isOver: guards.isOver(request) };
      case 'release':
        await guards.release(request);
        return {};
      case 'ping':
        return {};
      case 'shutdown':
        this.#options.onShutdown(request.killAll);
        return {};
      default:
        return unreachable(request);
    }
  }

  /** In force before it is on disk, and on disk before it is answered: older requests in any socket come too late. */
  async #hello(
    socket: Socket,
    { session, protocol }: Request & { type: 'hello' },
  ): Promise<Answers['hello']> {
    if (session <= this.#session) this.#checkSession(session);
    if (session > this.#session) {
      this.#session = session;
      this.#saved = this.#options.saveSession(session);
    }
    await this.#saved;
    this.#checkSession(session);
    this.#connections.set(socket, session);
    return { protocol: Math.min(protocol, PROTOCOL), pid: process.pid };
  }

  #checkSession(session: number): void {
    if (session !== this.#session)
      throw new JarvisError('conflict', `session ${session} has ended, the newest is ${this.#session}`);
  }

  #send(socket: Socket, frame: Buffer): void {
    if (!socket.writable) return;
    socket.write(frame);
    // It does not read: it will learn from a list what it missed.
    if (socket.writableLength > WATCHDOG_LIMITS.maxUnsentBytes) socket.destroy();
  }
}
