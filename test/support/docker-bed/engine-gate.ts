/** A socket before the engine's, for tests that do something right before a request reaches it, or after its answer. */
import { createConnection, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';

/** First lines of requests for one container. */
export const REQUESTS = {
  start: /^POST \S*\/containers\/[^/ ]+\/start[ ?]/,
  inspect: /^GET \S*\/containers\/[^/ ]+\/json[ ?]/,
} as const;

export class EngineGate {
  readonly dockerHost: string;
  readonly #enginePath: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #before: { readonly request: RegExp; readonly action: () => Promise<void> } | null = null;
  #answered: { readonly request: RegExp; readonly tell: () => void } | null = null;

  private constructor(enginePath: string, gatePath: string) {
    this.#enginePath = enginePath;
    this.dockerHost = `unix://${gatePath}`;
    this.#server = createServer((client) => this.#accept(client));
  }

  static async open(enginePath: string, gatePath: string): Promise<EngineGate> {
    const gate = new EngineGate(enginePath, gatePath);
    await new Promise<void>((resolve) => {
      gate.#server.listen(gatePath, resolve);
    });
    return gate;
  }

  /** Resolves when the action is done, which the engine sees the next such request after. @param request its first line */
  before(request: RegExp, action: () => Promise<void>): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#before = { request, action: () => action().then(resolve, reject) };
    return promise;
  }

  /** Resolves when the answer to the next such request is on its way. @param request its first line */
  answer(request: RegExp): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#answered = { request, tell: resolve };
    return promise;
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #accept(client: Socket): void {
    const engine = createConnection(this.#enginePath);
    this.#keep(client, engine);
    this.#keep(engine, client);
    let tell: (() => void) | null = null;
    engine.on('data', (bytes) => {
      client.write(bytes);
      tell?.();
      tell = null;
    });
    void this.#handOn(client, engine, (onAnswer) => {
      tell = onAnswer;
    });
  }

  async #handOn(client: Socket, engine: Socket, expect: (onAnswer: () => void) => void): Promise<void> {
    try {
      for await (const bytes of client as AsyncIterable<Buffer>) {
        const head = bytes.toString('latin1');
        if (this.#before?.request.test(head) === true) {
          const { action } = this.#before;
          this.#before = null;
          await action();
        }
        if (this.#answered?.request.test(head) === true) {
          expect(this.#answered.tell);
          this.#answered = null;
        }
        engine.write(bytes);
      }
    } catch (error) {
      // The connection broke, which ends the other half as well; an action's failure goes to who asked for it.
      if (!client.destroyed) throw error;
    }
  }

  #keep(socket: Socket, other: Socket): void {
    this.#sockets.add(socket);
    // Either end may vanish at any time here, which is what the tests are about.
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.#sockets.delete(socket);
      other.destroy();
    });
  }
}
