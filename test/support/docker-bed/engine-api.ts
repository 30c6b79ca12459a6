/**
 * The engine's HTTP interface as tests look at it and meddle with it: independent of what the product uses, so that a
 * mistake there does not hide itself.
 */
import { request } from 'node:http';

import type { Credentials } from './registry.ts';

export interface EngineResponse {
  readonly status: number;
  readonly text: string;
}

export interface RequestOptions {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

interface ContainerState {
  readonly Status: string;
  readonly Running: boolean;
  readonly OOMKilled: boolean;
  readonly Pid: number;
  readonly ExitCode: number;
  readonly Error: string;
}

/** Those parts of `inspect` that tests name; the rest is there as well. */
export interface ContainerDetails {
  readonly Id: string;
  readonly Name: string;
  readonly Image: string;
  readonly State: ContainerState;
  readonly Config: Readonly<Record<string, unknown>>;
  readonly HostConfig: Readonly<Record<string, unknown>>;
  readonly Mounts: readonly Readonly<Record<string, unknown>>[];
}

export interface ContainerSummary {
  readonly Id: string;
  readonly Names: readonly string[];
  readonly Image: string;
  readonly State: string;
  readonly Labels: Readonly<Record<string, string>>;
}

const TIMEOUT_MS = 30_000;

class EngineError extends Error {
  override readonly name = 'EngineError';
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** No answer in time: what was asked for may happen yet. */
class EngineTimeout extends Error {
  override readonly name = 'EngineTimeout';
}

export class EngineApi {
  readonly #socketPath: string;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  /**
   * Any answer is returned, also a refusal.
   * @throws EngineTimeout, or the error of a connection that fails
   */
  send(method: string, path: string, options: RequestOptions = {}): Promise<EngineResponse> {
    const { body, headers = {}, timeoutMs = TIMEOUT_MS } = options;
    const content = body === undefined ? null : JSON.stringify(body);
    const late = AbortSignal.timeout(timeoutMs);
    return new Promise((resolve, reject) => {
      const fail = (error: Error) =>
        reject(late.aborted ? new EngineTimeout(`${method} ${path}: no answer in ${timeoutMs} ms`) : error);
      const sent = request({
        socketPath: this.#socketPath,
        method,
        path,
        headers: content === null ? headers : { 'content-type': 'application/json', ...headers },
        signal: late,
        // A kept connection would outlive the engine that it belongs to.
        agent: false,
      });
      sent.on('error', fail);
      sent.on('response', (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', fail);
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }),
        );
      });
      sent.end(content ?? undefined);
    });
  }

  async isReady(): Promise<boolean> {
    return (await this.send('GET', '/_ping', { timeoutMs: 1000 })).status === 200;
  }

  async info(): Promise<Readonly<Record<string, unknown>>> {
    return this.#json('GET', '/info');
  }

  /** @throws EngineError with the engine's words, also where they come in the middle of the progress */
  async pull(reference: string, credentials: Credentials | null = null): Promise<readonly string[]> {
    const headers: Record<string, string> = {};
    if (credentials !== null) {
      // The engine reads the alphabet of URLs, but insists on the padding, and takes anything else for no credentials.
      const encoded = Buffer.from(JSON.stringify(credentials)).toString('base64');
      headers['x-registry-auth'] = encoded.replaceAll('+', '-').replaceAll('/', '_');
    }
    const where = `/images/create?fromImage=${encodeURIComponent(reference)}`;
    const { text } = await this.#expect('POST', where, { headers, timeoutMs: 60_000 });
    const progress = text.trim().split(/\r?\n/);
    for (const line of progress) {
      const { error } = JSON.parse(line) as { error?: string };
      if (error !== undefined) throw new EngineError(500, error);
    }
    return progress;
  }

  async removeImage(reference: string): Promise<void> {
    await this.#expect('DELETE', `/images/${encodeURIComponent(reference)}?force=1`);
  }

  /** @returns its id */
  async create(name: string, settings: Readonly<Record<string, unknown>>): Promise<string> {
    const path = `/containers/create?name=${encodeURIComponent(name)}`;
    return (await this.#json<{ Id: string }>('POST', path, { body: settings })).Id;
  }

  async start(container: string, options: RequestOptions = {}): Promise<void> {
    await this.#expect('POST', `/containers/${container}/start`, options);
  }

  async inspect(container: string, options: RequestOptions = {}): Promise<ContainerDetails> {
    return this.#json('GET', `/containers/${container}/json`, options);
  }

  /** @returns its exit code; asked before the start it must be `next-exit`, which misses one that came before */
  async wait(container: string, condition = 'not-running'): Promise<number> {
    const path = `/containers/${container}/wait?condition=${condition}`;
    return (await this.#json<{ StatusCode: number }>('POST', path, { timeoutMs: 60_000 })).StatusCode;
  }

  async kill(container: string, signal = 'KILL'): Promise<void> {
    await this.#expect('POST', `/containers/${container}/kill?signal=${signal}`);
  }

  /** Also while it runs, and where a node removes it, too. */
  async remove(container: string): Promise<void> {
    const response = await this.send('DELETE', `/containers/${container}?force=1&v=1`);
    if (response.status < 400 || response.status === 404) return;
    const isUnderWay = response.status === 409 && response.text.includes('already in progress');
    if (!isUnderWay) throw new EngineError(response.status, messageIn(response.text));
    const { status, text } = await this.send('POST', `/containers/${container}/wait?condition=removed`, {
      timeoutMs: 60_000,
    });
    if (status >= 400 && status !== 404) throw new EngineError(status, messageIn(text));
  }

  /** All of them, ended ones too. */
  async list(): Promise<readonly ContainerSummary[]> {
    return this.#json('GET', '/containers/json?all=1');
  }

  async #json<T>(method: string, path: string, options: RequestOptions = {}): Promise<T> {
    return JSON.parse((await this.#expect(method, path, options)).text) as T;
  }

  async #expect(method: string, path: string, options: RequestOptions = {}): Promise<EngineResponse> {
    const response = await this.send(method, path, options);
    if (response.status >= 400) throw new EngineError(response.status, messageIn(response.text));
    return response;
  }
}

function messageIn(text: string): string {
  try {
    return (JSON.parse(text) as { message?: string }).message ?? text;
  } catch {
    return text;
  }
}
