/** The engine of this machine, as far as containers that nodes run in need it. Its failures are ProviderErrors. */
import { finished } from 'node:stream/promises';

import type Dockerode from 'dockerode';

import { isErrno } from '../../../lib/errno.ts';
import { messageOf } from '../../../lib/errors.ts';
import { parseImageReference } from '../../../lib/image-reference.ts';
import { ProviderError, throwIfAborted, type ProviderErrorKind } from '../provider.ts';

export type ContainerSettings = Dockerode.ContainerCreateOptions;

export interface Container {
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
  /** `created`, `running`, `paused`, `restarting`, `removing`, `exited` or `dead`. */
  readonly state: string;
  readonly createdAtMs: number;
  /** For people: how it ended. */
  readonly message: string;
}

const QUICK_MS = 30_000;
const MOST_MESSAGE = 512;
const KINDS: Readonly<Record<number, ProviderErrorKind>> = {
  400: 'invalid',
  401: 'denied',
  403: 'denied',
  404: 'invalid',
  429: 'throttled',
};

type Abortable = Readonly<{ abortSignal: AbortSignal }>;
/** Its types leave out what it takes everywhere. */
type AbortableContainer = Dockerode.Container & {
  inspect(options: Abortable): Promise<Dockerode.ContainerInspectInfo>;
};

export class Engine {
  readonly #options: Dockerode.DockerOptions;
  #opened: Dockerode | null = null;

  /** @param socketPath else DOCKER_HOST and the like, or the usual socket */
  constructor(socketPath?: string) {
    this.#options = socketPath === undefined ? {} : { socketPath };
  }

  /** @returns null where there is no such image, or a container of that name is there already */
  async create(
    settings: ContainerSettings,
    signal: AbortSignal,
  ): Promise<{ readonly id: string } | 'no-image' | 'name-taken'> {
    return this.#ask(
      'create',
      signal,
      QUICK_MS,
      async (docker, abortSignal) => ({
        id: (await docker.createContainer({ ...settings, abortSignal })).id,
      }),
      { 404: 'no-image', 409: 'name-taken' } as const,
    );
  }

  /** Up to its end, or the signal's. */
  async pull(image: string, signal: AbortSignal): Promise<void> {
    await this.#ask(`pull ${image}`, signal, null, async (docker, abortSignal) => {
      // Without a tag the engine would pull them all.
      const { repository, tag, digest } = parseImageReference(image);
      const stream = await docker.createImage({ fromImage: repository, tag: digest ?? tag, abortSignal });
      let rest = '';
      stream.on('data', (chunk: Buffer) => {
        rest = (rest + chunk.toString()).slice(-2 * MOST_MESSAGE);
      });
      await finished(stream, { signal: abortSignal });
      // The engine has answered already when it fails: the last line then says why.
      const last = rest.trimEnd().split('\n').at(-1) ?? '';
      if (last.includes('"errorDetail"'))
        throw new ProviderError('unavailable', `docker: pull ${image}: ${last}`);
    });
  }

  /** Fine where it runs. */
  async start(id: string, signal: AbortSignal): Promise<void> {
    const start = (docker: Dockerode, abortSignal: AbortSignal): Promise<unknown> =>
      docker.getContainer(id).start({ abortSignal });
    await this.#ask('start', signal, QUICK_MS, start, { 304: null });
  }

  /** @param id or a name. @returns null where there is none; its environment beside it */
  async inspect(
    id: string,
    signal: AbortSignal,
  ): Promise<(Container & { readonly environment: readonly string[] }) | null> {
    const found = await this.#ask(
      'inspect',
      signal,
      QUICK_MS,
      (docker, abortSignal) => (docker.getContainer(id) as AbortableContainer).inspect({ abortSignal }),
      { 404: null },
    );
    if (found === null) return null;
    const { Status: state, ExitCode: code, Error: error } = found.State;
    return {
      id: found.Id,
      labels: found.Config.Labels,
      state,
      createdAtMs: Date.parse(found.Created),
      message: error === '' ? `exit code ${code}` : error,
      environment: found.Config.Env,
    };
  }

  /** In every state. @param label KEY=VALUE */
  async list(label: string, signal: AbortSignal): Promise<readonly Container[]> {
    const options = { all: true, filters: { label: [label] } };
    const found = await this.#ask('list', signal, QUICK_MS, (docker, abortSignal) =>
      docker.listContainers({ ...options, abortSignal }),
    );
    return found.map(({ Id: id, Labels: labels, State: state, Created: seconds, Status: message }) => ({
      id,
      labels,
      state,
      createdAtMs: seconds * 1000,
      message,
    }));
  }

  /** SIGTERM, and SIGKILL after the grace. Fine where it does not run, or is gone. */
  async stop(id: string, graceMs: number, signal: AbortSignal): Promise<void> {
    const stop = (docker: Dockerode, abortSignal: AbortSignal): Promise<unknown> =>
      docker.getContainer(id).stop({ t: Math.ceil(graceMs / 1000), abortSignal });
    await this.#ask('stop', signal, graceMs + QUICK_MS, stop, { 304: null, 404: null });
  }

  /** With its anonymous volumes. Fine where it is gone, or on its way. */
  async remove(id: string, signal: AbortSignal): Promise<void> {
    const remove = (docker: Dockerode, abortSignal: AbortSignal): Promise<unknown> =>
      docker.getContainer(id).remove({ force: true, v: true, abortSignal });
    await this.#ask('remove', signal, QUICK_MS, remove, { 404: null, 409: null });
  }

  /** A node that makes no containers does not load what asks an engine. */
  async #docker(): Promise<Dockerode> {
    const { default: Docker } = await import('dockerode');
    this.#opened ??= new Docker(this.#options);
    return this.#opened;
  }

  /** @param limitMs null: the caller's signal alone. @param expected what statuses mean that are no failures here */
  async #ask<T, const E extends Readonly<Record<number, unknown>> = Readonly<Record<number, never>>>(
    verb: string,
    caller: AbortSignal,
    limitMs: number | null,
    work: (docker: Dockerode, signal: AbortSignal) => Promise<T>,
    expected?: E,
  ): Promise<T | E[keyof E]> {
    throwIfAborted(caller);
    const signal = limitMs === null ? caller : AbortSignal.any([caller, AbortSignal.timeout(limitMs)]);
    try {
      return await work(await this.#docker(), signal);
    } catch (error) {
      const status = statusOf(error);
      if (expected !== undefined && status in expected) return expected[status] as E[keyof E];
      if (error instanceof ProviderError) throw error;
      throwIfAborted(signal);
      const kind = isErrno(error, 'EACCES') ? 'denied' : (KINDS[status] ?? 'unavailable');
      const message = `docker: ${verb}: ${messageOf(error).trim().slice(0, MOST_MESSAGE)}`;
      throw new ProviderError(kind, message, { cause: error });
    }
  }
}

/** 0 where the engine did not answer. */
function statusOf(error: unknown): number {
  const isAnswer = error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number';
  return isAnswer ? (error.statusCode as number) : 0;
}
