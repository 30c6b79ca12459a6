/**
 * A container engine on a UNIX socket that has nothing and gets nothing: whatever is to be pulled is refused, in words that
 * repeat the credentials which came with the request, as a careless registry might.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';

export class BareEngine {
  readonly socket: string;
  readonly #server: Server;
  readonly #streams = new Set<ServerResponse>();
  /** What came as credentials, decoded. */
  readonly credentials: string[] = [];

  private constructor(socket: string) {
    this.socket = socket;
    this.#server = createServer((request, response) => {
      this.#answer(request, response);
    });
  }

  static async start(socket: string): Promise<BareEngine> {
    const engine = new BareEngine(socket);
    await new Promise<void>((resolve, reject) => {
      engine.#server.once('error', reject);
      engine.#server.listen(socket, resolve);
    });
    return engine;
  }

  async close(): Promise<void> {
    for (const stream of this.#streams) stream.destroy();
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
  }

  #answer({ url = '', headers }: IncomingMessage, response: ServerResponse): void {
    const { pathname } = new URL(url, 'http://engine');
    const say = (status: number, body: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(body));
    };
    if (pathname === '/_ping') return say(200, 'OK');
    if (pathname === '/info')
      return say(200, {
        CgroupDriver: 'cgroupfs',
        Architecture: 'x86_64',
        OSType: 'linux',
        LiveRestoreEnabled: true,
      });
    if (pathname === '/containers/json') return say(200, []);
    if (pathname === '/events') {
      this.#streams.add(response);
      response.writeHead(200, { 'content-type': 'application/json' });
      response.flushHeaders();
      return undefined;
    }
    const header = headers['x-registry-auth'];
    if (typeof header !== 'string') return say(404, { message: 'there is nothing here' });
    const text = Buffer.from(header, 'base64').toString();
    this.credentials.push(text);
    return say(500, { message: `denied: ${text}, which is ${header}` });
  }
}
