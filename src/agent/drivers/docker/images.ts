/** Brings the image of a task to the engine, once for all who want it at the same time, and says which one it is. */
import { existsSync } from 'node:fs';

import { messageOf } from '../../../lib/errors.ts';
import type { ImageReference } from '../../../lib/image-reference.ts';
import { canonicalImage, parseImageReference } from '../../../lib/image-reference.ts';
import type { Log } from '../../../lib/log.ts';
import { Slots } from '../../../lib/slots.ts';
import type { ContainerSpec } from '../../../model/task.ts';
import { credentialsFor, withoutPassword } from './credentials.ts';
import type { Credentials, Engine, EngineFacts, ImageDetails } from './engine.ts';
import { EngineRefusal, NoAnswer } from './engine.ts';
import { insist } from './insist.ts';
import { DOCKER_LIMITS } from './limits.ts';
import type { DockerPolicy } from './options.ts';
import { pullOnce } from './pull.ts';
import { explainPullFailure } from './pull-failure.ts';
import type { PulledImages } from './pulled-images.ts';
import { StartFailure } from './start-failure.ts';

export interface ProvidedImage {
  readonly id: string;
  /** `repository@sha256:…`, or the id where it came from no registry. */
  readonly digest: string;
}

type Listener = (note: string) => void;

interface SharedPull {
  readonly done: Promise<ProvidedImage>;
  readonly listeners: Set<Listener>;
  readonly giveUp: AbortController;
  waiting: number;
  note: string;
}

/** Under these names the kernel is told of emulators for other architectures. */
const EMULATOR_NAMES: Readonly<Record<string, string>> = { amd64: 'x86_64', arm64: 'aarch64', '386': 'i386' };
/** Which the processor runs beside its own. */
const COMPATIBLE: Readonly<Record<string, readonly string[]>> = { amd64: ['386'], arm64: ['arm'] };

export class Images {
  readonly #engine: Engine;
  readonly #policy: DockerPolicy;
  readonly #pulled: PulledImages;
  readonly #log: Log;
  readonly #pulls = new Map<string, SharedPull>();
  readonly #slots = new Slots(DOCKER_LIMITS.pullsAtOnce);
  readonly #recent = new Map<string, { readonly image: ProvidedImage; readonly atMs: number }>();
  #facts: { readonly facts: EngineFacts; readonly atMs: number } | null = null;

  constructor(options: { engine: Engine; policy: DockerPolicy; pulled: PulledImages; log: Log }) {
    this.#engine = options.engine;
    this.#policy = options.policy;
    this.#pulled = options.pulled;
    this.#log = options.log;
  }

  /** What the engine is: another one may have taken its place since it was last asked. @throws the signal's reason */
  async facts(signal: AbortSignal): Promise<EngineFacts> {
    const known = this.#facts;
    if (known !== null && performance.now() - known.atMs < DOCKER_LIMITS.factsMemoryMs) return known.facts;
    const facts = await insist(signal, () => this.#engine.facts(signal));
    this.#facts = { facts, atMs: performance.now() };
    return facts;
  }

  /**
   * Waits for an engine that does not answer, for as long as the signal allows.
   * @throws StartFailure ImageNotFound, ImagePullFailed or AuthenticationError; the signal's reason
   */
  async provide(container: ContainerSpec, signal: AbortSignal, onProgress: Listener): Promise<ProvidedImage> {
    const reference = parseImageReference(container.image);
    const name = canonicalImage(reference);
    const local = container.pullPolicy === 'always' ? null : await this.#local(reference, signal);
    if (local === null && container.pullPolicy === 'never') {
      const message = `${name} is not on this node, and pull_policy is never`;
      throw new StartFailure(message, { errorType: 'ImageNotFound' });
    }
    const image = local ?? (await this.#sharedPull(reference, signal, onProgress));
    this.#recent.set(name, { image, atMs: performance.now() });
    this.#pulled.used(name, Date.now());
    return image;
  }

  /** It was not there after all. */
  forget(container: ContainerSpec): void {
    this.#recent.delete(canonicalImage(parseImageReference(container.image)));
  }

  async #local(reference: ImageReference, signal: AbortSignal): Promise<ProvidedImage | null> {
    const name = canonicalImage(reference);
    const recent = this.#recent.get(name);
    if (recent !== undefined && performance.now() - recent.atMs < DOCKER_LIMITS.imageMemoryMs)
      return recent.image;
    this.#recent.delete(name);
    const details = await insist(signal, () => this.#engine.image(name, signal));
    return details === null ? null : this.#checked(reference, details, signal);
  }

  /** @throws StartFailure where this machine does not execute it */
  async #checked(
    reference: ImageReference,
    details: ImageDetails,
    signal: AbortSignal,
  ): Promise<ProvidedImage> {
    const { architecture, operatingSystem } = await this.facts(signal);
    const platform = `${details.Os}/${details.Architecture}`;
    const isRunnable = details.Os === operatingSystem && runs(architecture, details.Architecture);
    if (!isRunnable) {
      const message = `${canonicalImage(reference)}: it is for ${platform}, this node is ${operatingSystem}/${architecture}`;
      throw new StartFailure(message, { errorType: 'ImageNotFound' });
    }
    const digest = details.RepoDigests?.find((one) => one.startsWith(`${reference.repository}@`));
    return { id: details.Id, digest: digest ?? details.Id };
  }

  async #sharedPull(
    reference: ImageReference,
    signal: AbortSignal,
    onProgress: Listener,
  ): Promise<ProvidedImage> {
    const name = canonicalImage(reference);
    const pull = this.#pulls.get(name) ?? this.#beginPull(reference, name);
    pull.waiting += 1;
    onProgress(pull.note);
    if (pull.listeners.size < DOCKER_LIMITS.pullListeners) pull.listeners.add(onProgress);
    const aborted = Promise.withResolvers<never>();
    const abort = (): void => aborted.reject(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    try {
      return await Promise.race([pull.done, aborted.promise]);
    } finally {
      signal.removeEventListener('abort', abort);
      pull.listeners.delete(onProgress);
      pull.waiting -= 1;
      // Nobody wants it any more.
      if (pull.waiting === 0) pull.giveUp.abort(new Error('nobody waits for the image any more'));
    }
  }

  #beginPull(reference: ImageReference, name: string): SharedPull {
    const listeners = new Set<Listener>();
    const giveUp = new AbortController();
    const tell = (note: string): void => {
      pull.note = note;
      for (const listener of listeners) listener(note);
    };
    const done = this.#slots
      .use(() => this.#pull(reference, giveUp.signal, tell))
      .finally(() => {
        if (this.#pulls.get(name) === pull) this.#pulls.delete(name);
      });
    // Those who wait hear of a failure; nobody may be left to.
    done.catch(() => undefined);
    const pull: SharedPull = { done, listeners, giveUp, waiting: 0, note: `pulling ${name}` };
    this.#pulls.set(name, pull);
    giveUp.signal.addEventListener('abort', () => this.#pulls.delete(name), { once: true });
    return pull;
  }

  async #pull(reference: ImageReference, signal: AbortSignal, tell: Listener): Promise<ProvidedImage> {
    const name = canonicalImage(reference);
    signal.throwIfAborted();
    const before = await insist(signal, () => this.#engine.image(name, signal));
    const credentials = await credentialsFor(reference.registry, this.#policy.credentialFiles);
    await this.#pullUntilAnswered(reference, credentials, signal, tell);
    const details = await insist(signal, () => this.#engine.image(name, signal));
    if (details === null)
      throw new StartFailure(`${name} was pulled, and is not there`, { errorType: 'ImagePullFailed' });
    if (before?.Id !== details.Id) {
      const record = { name, imageId: details.Id, sizeBytes: details.Size, usedAtMs: Date.now() };
      await this.#pulled.add(record);
      this.#log.info({ image: name, imageId: details.Id }, 'an image was pulled');
    }
    return this.#checked(reference, details, signal);
  }

  /** An engine that breaks off is asked again; what it says of the image, or a registry that is silent, is final. */
  async #pullUntilAnswered(
    reference: ImageReference,
    credentials: Credentials | null,
    signal: AbortSignal,
    tell: Listener,
  ): Promise<void> {
    try {
      await insist(signal, () => pullOnce({ engine: this.#engine, reference, credentials, signal, tell }));
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof EngineRefusal) && !(error instanceof NoAnswer)) throw error;
      const said = withoutPassword(messageOf(error), credentials);
      this.#log.warn({ image: canonicalImage(reference), error: said }, 'a pull failed');
      const { architecture, operatingSystem: os } = await this.facts(signal);
      const platform = { architecture, os };
      throw await explainPullFailure({
        engine: this.#engine,
        reference,
        credentials,
        error,
        platform,
        signal,
      });
    }
  }
}

/** Also by an emulator that the kernel knows. */
function runs(ours: string, theirs: string): boolean {
  if (ours === theirs || COMPATIBLE[ours]?.includes(theirs) === true) return true;
  return existsSync(`/proc/sys/fs/binfmt_misc/qemu-${EMULATOR_NAMES[theirs] ?? theirs}`);
}
