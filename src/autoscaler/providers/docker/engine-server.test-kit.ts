/** What the provider needs of a container engine, on a socket and as one speaks. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';

import type { ContainerSettings } from './engine.ts';

interface FakeContainer {
  readonly id: string;
  readonly name: string;
  readonly settings: ContainerSettings;
  state: 'created' | 'running' | 'exited';
}

interface Answer {
  readonly status: number;
  readonly body?: unknown;
}

export class EngineServer {
  readonly containers = new Map<string, FakeContainer>();
  /** METHOD PATH, without names of containers. */
  readonly calls: string[] = [];
  readonly images = new Set<string>();
  /** Of registries. */
  readonly published = new Set<string>();
  /** The next call of this kind answers so, with nothing done. */
  readonly refusals = new Map<string, Answer>();
  readonly #directory = mkdtempSync(path.join(tmpdir(), 'jarvis-engine-'));
  readonly socketPath = path.join(this.#directory, 'engine.sock');
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => {
        const url = new URL(request.url ?? '', 'http://engine');
        const { status, body } = this.#answer(request.method ?? '', url, Buffer.concat(parts).toString());
        response.writeHead(status, { 'content-type': 'application/json' });
        response.end(body === undefined ? undefined : `${JSON.stringify(body)}\n`);
      });
    });
  }

  static async start(): Promise<EngineServer> {
    const server = new EngineServer();
    server.#server.listen(server.socketPath);
    await once(server.#server, 'listening');
    return server;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #answer(method: string, url: URL, text: string): Answer {
    const [what, key = '', verb = ''] = url.pathname.split('/').slice(1);
    const isOfAll = key === 'create' || key === 'json';
    const call = `${method} ${what}/${isOfAll ? key : verb === 'json' ? 'inspect' : verb}`;
    this.calls.push(call);
    const refusal = this.refusals.get(call);
    this.refusals.delete(call);
    if (refusal !== undefined) return refusal;
    if (call === 'POST images/create') return this.#pull(url.searchParams);
    if (call === 'POST containers/create') return this.#create(url.searchParams.get('name') ?? '', text);
    if (call === 'GET containers/json') return this.#list(url.searchParams);
    const found = [...this.containers.values()].find(({ id, name }) => id === key || name === key);
    if (found === undefined) return { status: 404, body: { message: `No such container: ${key}` } };
    return this.#workOn(found, call);
  }

  #workOn(found: FakeContainer, call: string): Answer {
    if (call === 'GET containers/inspect') return { status: 200, body: inspected(found) };
    if (call === 'DELETE containers/') {
      this.containers.delete(found.id);
      return { status: 204 };
    }
    const [from, to] =
      call === 'POST containers/start' ? (['created', 'running'] as const) : (['running', 'exited'] as const);
    if (found.state !== from) return { status: 304 };
    found.state = to;
    return { status: 204 };
  }

  #pull(query: URLSearchParams): Answer {
    const image = `${query.get('fromImage')}:${query.get('tag')}`;
    if (!this.published.has(image)) return { status: 404, body: { message: `manifest unknown: ${image}` } };
    this.images.add(image);
    return { status: 200, body: { status: 'Download complete' } };
  }

  #create(name: string, text: string): Answer {
    const settings = JSON.parse(text) as ContainerSettings;
    if (!this.images.has(settings.Image ?? ''))
      return { status: 404, body: { message: `No such image: ${settings.Image}` } };
    if ([...this.containers.values()].some((container) => container.name === name))
      return { status: 409, body: { message: `The container name "/${name}" is already in use` } };
    const id = randomBytes(32).toString('hex');
    this.containers.set(id, { id, name, settings, state: 'created' });
    return { status: 201, body: { Id: id, Warnings: [] } };
  }

  #list(query: URLSearchParams): Answer {
    const { label = [] } = JSON.parse(query.get('filters') ?? '{}') as { label?: string[] };
    const body = [...this.containers.values()]
      .filter(({ settings: { Labels = {} } }) =>
        label.every((pair) => Labels[pair.slice(0, pair.indexOf('='))] === pair.slice(pair.indexOf('=') + 1)),
      )
      .map(({ id, settings: { Labels }, state }) => ({
        Id: id,
        Labels,
        State: state,
        Created: 1_795_833_600,
        Status: `it is ${state}`,
      }));
    return { status: 200, body };
  }
}

function inspected({ id, settings: { Labels, Env }, state }: FakeContainer): object {
  return {
    Id: id,
    Created: '2026-11-28T00:00:00.000000000Z',
    State: { Status: state, ExitCode: 3, Error: '' },
    Config: { Labels, Env },
  };
}
