/**
 * The container engine as the driver needs it, over its HTTP interface (dockerode). Every call but a start has a deadline,
 * and its failure says which of two things is known: the engine *refused* (it has answered, nothing has happened), or it
 * gave *no answer* (what was asked for may have happened, or happen yet: docs/containers.md).
 */
import type { Agent as HttpAgent } from 'node:http';
import type { Readable } from 'node:stream';
import { inspect } from 'node:util';

import Dockerode from 'dockerode';

import { messageOf } from '../../../lib/errors.ts';
import type { ImageReference } from '../../../lib/image-reference.ts';
import { canonicalImage } from '../../../lib/image-reference.ts';
import { Agent } from '../../../lib/node-http.ts';
import { DOCKER_LIMITS } from './limits.ts';

export type ContainerSettings = Dockerode.ContainerCreateOptions;
export type ContainerDetails = Dockerode.ContainerInspectInfo;
export type ImageDetails = Dockerode.ImageInspectInfo;

/** The engine's own word about a request. */
export class EngineRefusal extends Error {
  override readonly name = 'EngineRefusal';
  /** Of HTTP. */
  readonly status: number;

  constructor(status: number, message: string, cause: unknown) {
    super(message, { cause });
    this.status = status;
  }
}

/** The connection failed, or the deadline passed: the outcome is not known. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer';
}

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

export interface EngineFacts {
  readonly cgroupDriver: string;
  /** As images name it: `amd64`, `arm64` … */
  readonly architecture: string;
  readonly operatingSystem: string;
  /** Whether containers live on when it is restarted. */
  readonly keepsContainers: boolean;
}

export interface ContainerSummary {
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
  /** `created`, `running`, `paused`, `exited` … */
  readonly state: string;
}

/** One line of the engine's progress. */
export interface PullEvent {
  readonly status?: string;
  /** Of a layer. */
  readonly id?: string;
  readonly progressDetail?: { readonly current?: number; readonly total?: number };
}

interface Abortable {
  readonly abortSignal: AbortSignal;
}

/** What dockerode takes everywhere, and its types leave out in places. */
type AbortableDocker = Dockerode & {
  ping(options: Abortable): Promise<unknown>;
  info(options: Abortable): Promise<unknown>;
};
type AbortableImage = Dockerode.Image & { inspect(options: Abortable): Promise<Dockerode.ImageInspectInfo> };
type AbortableContainer = Dockerode.Container & {
  kill(options: Abortable & { readonly signal: string }): Promise<unknown>;
  stats(options: Abortable & { readonly stream: false; readonly 'one-shot': true }): Promise<unknown>;
};

/** Architectures as the kernel calls them, and as images do. */
const ARCHITECTURES: Readonly<Record<string, string>> = {
  x86_64: 'amd64',
  aarch64: 'arm64',
  armv7l: 'arm',
  i686: '386',
};

export class Engine {
  readonly #docker: AbortableDocker;

  /** @param environment `DOCKER_HOST`, `DOCKER_TLS_VERIFY` and `DOCKER_CERT_PATH` of the process count (dockerode reads them) */
  constructor() {
    this.#docker = new Dockerode();
    // A kept connection would outlive the engine behind it, and a start on it would have an unknown outcome for nothing.
    (this.#docker.modem as { agent?: HttpAgent }).agent = terse(new Agent({ keepAlive: false }));
  }

  /** @throws NoAnswer */
  async ping(signal: AbortSignal): Promise<void> {
    await this.#ask(DOCKER_LIMITS.pingTimeoutMs, signal, (abortSignal) => this.#docker.ping({ abortSignal }));
  }

  async facts(signal: AbortSignal): Promise<EngineFacts> {
    const info = (await this.#quick(signal, (abortSignal) => this.#docker.info({ abortSignal }))) as Readonly<
      Record<'CgroupDriver' | 'Architecture' | 'OSType', string> & { LiveRestoreEnabled: boolean }
    >;
    return {
      cgroupDriver: info.CgroupDriver,
      architecture: ARCHITECTURES[info.Architecture] ?? info.Architecture,
      operatingSystem: info.OSType,
      keepsContainers: info.LiveRestoreEnabled,
    };
  }

  /** @returns null where the engine has no such image */
  async image(name: string, signal: AbortSignal): Promise<ImageDetails | null> {
    return unlessMissing(
      this.#quick(signal, (abortSignal) =>
        (this.#docker.getImage(name) as AbortableImage).inspect({ abortSignal }),
      ),
    );
  }

  /** Removes the name, and the image with its last name. @throws EngineRefusal 409 where a container uses it */
  async removeImage(name: string, signal: AbortSignal): Promise<void> {
    const remove = (abortSignal: AbortSignal): Promise<unknown> =>
      this.#docker.getImage(name).remove({ abortSignal });
    await unlessMissing(this.#ask(DOCKER_LIMITS.slowTimeoutMs, signal, remove));
  }

  /** The progress as it comes; the stream's own errors are those of the pull. @throws EngineRefusal, NoAnswer */
  async pull(
    reference: ImageReference,
    credentials: Credentials | null,
    signal: AbortSignal,
  ): Promise<NodeJS.ReadableStream> {
    const { repository, tag, digest } = reference;
    return this.#translate(signal, () =>
      this.#docker.createImage({
        ...authOf(credentials),
        fromImage: repository,
        tag: digest ?? tag,
        abortSignal: terse(AbortSignal.any([signal])),
      }),
    );
  }

  /** What the registry itself says of the image: the codes of `pull` are fewer. @throws EngineRefusal, NoAnswer */
  async platforms(
    reference: ImageReference,
    credentials: Credentials | null,
    signal: AbortSignal,
  ): Promise<readonly { readonly architecture: string; readonly os: string }[]> {
    const name = canonicalImage(reference);
    const ask = (abortSignal: AbortSignal): Promise<Dockerode.ImageDistributionInfo> =>
      this.#docker.getImage(name).distribution({ ...authOf(credentials), abortSignal });
    const { Platforms: platforms } = await this.#ask(DOCKER_LIMITS.slowTimeoutMs, signal, ask);
    return platforms.map(({ architecture, os }) => ({ architecture, os }));
  }

  /** @returns its id. @throws EngineRefusal 404 without the image, 409 where the name is taken */
  async create(settings: ContainerSettings, signal: AbortSignal): Promise<string> {
    const create = (abortSignal: AbortSignal): Promise<Dockerode.Container> =>
      this.#docker.createContainer({ ...settings, abortSignal });
    return (await this.#ask(DOCKER_LIMITS.slowTimeoutMs, signal, create)).id;
  }

  /** Without a deadline: it may be carried out however late, and must not be asked for twice. */
  async start(id: string): Promise<void> {
    await this.#translate(null, () => this.#docker.getContainer(id).start());
  }

  /** @param id or a name. @returns null where there is none */
  async inspect(id: string, signal: AbortSignal): Promise<ContainerDetails | null> {
    return unlessMissing(
      this.#quick(signal, (abortSignal) => this.#docker.getContainer(id).inspect({ abortSignal })),
    );
  }

  /** What it has used so far, without the second that the engine otherwise takes to compare. @returns null where it is gone */
  async stats(id: string, signal: AbortSignal): Promise<unknown> {
    return unlessMissing(
      this.#quick(signal, (abortSignal) =>
        (this.#docker.getContainer(id) as AbortableContainer).stats({
          stream: false,
          'one-shot': true,
          abortSignal,
        }),
      ),
    );
  }

  /** All that bear the label, in every state. */
  async list(label: string, signal: AbortSignal): Promise<readonly ContainerSummary[]> {
    const found = await this.#ask(DOCKER_LIMITS.slowTimeoutMs, signal, (abortSignal) =>
      this.#docker.listContainers({ all: true, filters: { label: [label] }, abortSignal }),
    );
    return found.map(({ Id: id, Labels: labels, State: state }) => ({ id, labels, state }));
  }

  /** Fine where it does not run any more. */
  async kill(id: string, name: 'SIGTERM' | 'SIGKILL', signal: AbortSignal): Promise<void> {
    try {
      await this.#quick(signal, (abortSignal) =>
        (this.#docker.getContainer(id) as AbortableContainer).kill({ signal: name, abortSignal }),
      );
    } catch (error) {
      if (!(error instanceof EngineRefusal) || (error.status !== 404 && error.status !== 409)) throw error;
    }
  }

  /** Also while it runs; with its anonymous volumes. Fine where it is gone. */
  async remove(id: string, signal: AbortSignal): Promise<void> {
    const remove = (abortSignal: AbortSignal): Promise<unknown> =>
      this.#docker.getContainer(id).remove({ force: true, v: true, abortSignal });
    await unlessMissing(this.#ask(DOCKER_LIMITS.slowTimeoutMs, signal, remove));
  }

  /**
   * Multiplexed frames with a time stamp each: what is there, or, followed, up to the end of the container.
   * @returns null where it is gone
   */
  async logs(
    id: string,
    { sinceSeconds, follow }: { readonly sinceSeconds: string; readonly follow: boolean },
    signal: AbortSignal,
  ): Promise<Readable | null> {
    const options = { follow, stdout: true, stderr: true, timestamps: true, since: sinceSeconds };
    // dockerode's own call reads what is not followed into one string.
    const request = {
      path: `/containers/${encodeURIComponent(id)}/logs?`,
      method: 'GET',
      isStream: true,
      statusCodes: { 200: true, 404: 'no such container', 500: 'server error' },
      options,
      abortSignal: terse(AbortSignal.any([signal])),
    };
    return unlessMissing(this.#translate(signal, () => this.#dial(request)));
  }

  #dial(request: Parameters<Dockerode['modem']['dial']>[0]): Promise<Readable> {
    const { promise, resolve, reject } = Promise.withResolvers<Readable>();
    this.#docker.modem.dial(request, (error: unknown, stream) => {
      if (error === null || error === undefined) resolve(stream as Readable);
      else reject(error);
    });
    return promise;
  }

  /** Ends of containers that bear the label, as JSON texts, for as long as the engine runs. */
  async events(label: string, signal: AbortSignal): Promise<NodeJS.ReadableStream> {
    const filters = { type: ['container' as const], event: ['die', 'destroy'], label: [label] };
    return this.#translate(signal, () =>
      this.#docker.getEvents({ filters, abortSignal: terse(AbortSignal.any([signal])) }),
    );
  }

  #quick<T>(signal: AbortSignal, call: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return this.#ask(DOCKER_LIMITS.quickTimeoutMs, signal, call);
  }

  async #ask<T>(
    timeoutMs: number,
    signal: AbortSignal,
    call: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const deadline = terse(AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]));
    return this.#translate(signal, () => call(deadline));
  }

  /** @throws the signal's reason where that was aborted, else EngineRefusal or NoAnswer */
  async #translate<T>(signal: AbortSignal | null, call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      signal?.throwIfAborted();
      throw translated(error);
    }
  }
}

/**
 * docker-modem describes the options of every request at full depth, for a debugger that is not there: 150 ms of work with
 * an agent and a signal among them, most of what a container cost.
 */
function terse<T extends object>(value: T): T {
  return Object.defineProperty(value, inspect.custom, { value: () => value.constructor.name });
}

/** dockerode's errors carry the status of the answer, where there was one. */
function translated(error: unknown): EngineRefusal | NoAnswer {
  if (error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number') {
    return new EngineRefusal(error.statusCode, wordsOf(error), error);
  }
  return new NoAnswer(messageOf(error), { cause: error });
}

/** The engine's own message, without what dockerode puts in front of it. */
function wordsOf(error: Error): string {
  const json = 'json' in error ? error.json : null;
  const hasMessage = typeof json === 'object' && json !== null && 'message' in json;
  if (hasMessage && typeof json.message === 'string') return json.message;
  return error.message.replace(/^\(HTTP code \d+\) [^-]* - /, '').trim();
}

/** A stream of the engine's whose breaking is told like that of a call. @throws NoAnswer, the signal's reason */
export async function* chunksOf(
  stream: NodeJS.ReadableStream,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of stream) yield chunk as Uint8Array;
  } catch (error) {
    signal.throwIfAborted();
    throw translated(error);
  }
}

async function unlessMissing<T>(answer: Promise<T>): Promise<T | null> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof EngineRefusal && error.status === 404) return null;
    throw error;
  }
}

function authOf(credentials: Credentials | null): { authconfig?: Credentials } {
  return credentials === null ? {} : { authconfig: credentials };
}
