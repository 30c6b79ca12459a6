/** A socket before the engine's that says when a start of a container is about to be handed on. */
import { createConnection, createServer } from 'node:net';
import type { Socket } from 'node:net';

export interface StartGate {
  readonly dockerHost: string;
  close(): Promise<void>;
}

const START = /^POST \S*\/containers\/[^/ ]+\/start[ ?]/m;

/** `beforeStart` is waited for before the engine sees the request. */
export async function openStartGate(
  enginePath: string,
  gatePath: string,
  beforeStart: () => Promise<void>,
): Promise<StartGate> {
  const sockets = new Set<Socket>();
  const keep = (socket: Socket, other: () => Socket): void => {
    sockets.add(socket);
    // Either end may vanish at any time here, which is what the tests are about.
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      sockets.delete(socket);
      other().destroy();
    });
  };
  const server = createServer((client) => {
    const engine = createConnection(enginePath);
    keep(client, () => engine);
    keep(engine, () => client);
    engine.pipe(client);
    void handOn(client, engine, beforeStart);
  });
  await new Promise<void>((resolve) => {
    server.listen(gatePath, resolve);
  });
  return {
    dockerHost: `unix://${gatePath}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

async function handOn(client: Socket, engine: Socket, beforeStart: () => Promise<void>): Promise<void> {
  try {
    for await (const bytes of client as AsyncIterable<Buffer>) {
      if (START.test(bytes.toString('latin1'))) await beforeStart();
      engine.write(bytes);
    }
  } catch {
    // The connection broke, which ends the other half as well.
  }
}
