/** From an attempt to a container that exists and has not been started. */
import { invariant } from '../../../lib/assert.ts';
import { canonicalImage, parseImageReference } from '../../../lib/image-reference.ts';
import type { Slots } from '../../../lib/slots.ts';
import type { AttemptSpec } from '../driver.ts';
import type { ContainerSettings, Engine } from './engine.ts';
import { EngineRefusal } from './engine.ts';
import { containerSettings } from './container-settings.ts';
import type { Images } from './images.ts';
import { insist } from './insist.ts';
import { DOCKER_LIMITS } from './limits.ts';
import { permittedMounts } from './mounts.ts';
import { attemptOfLabels, cgroupParentOf } from './naming.ts';
import type { ContainerOwner, DockerPolicy } from './options.ts';
import { StartFailure } from './start-failure.ts';

export interface CreatedContainer {
  readonly id: string;
  readonly imageDigest: string;
  readonly cgroupParent: string;
}

export interface CreateOptions {
  readonly spec: AttemptSpec;
  readonly engine: Engine;
  readonly images: Images;
  readonly owner: ContainerOwner;
  readonly policy: DockerPolicy;
  readonly exchangeDirectory: string;
  readonly slots: Slots;
  readonly onProgress: (note: string) => void;
  /** Ends the waiting; a container that is created all the same is never started. */
  readonly signal: AbortSignal;
}

/** @throws StartFailure, with the type of the error; the signal's reason */
export async function createContainer(options: CreateOptions): Promise<CreatedContainer> {
  const { spec, engine, images, owner, policy, exchangeDirectory, onProgress, signal } = options;
  const { container } = spec;
  invariant(container !== null, 'the driver takes only attempts with an image');
  checkTexts(spec);
  const mounts = await permittedMounts(container, policy.shared);
  const { cgroupDriver } = await images.facts(signal);
  const cgroupParent = cgroupParentOf(cgroupDriver, owner, spec);
  for (let tries = 1; ; tries += 1) {
    const image = await images.provide(container, signal, onProgress);
    const settings = containerSettings({
      spec,
      owner,
      policy,
      imageId: image.id,
      cgroupParent,
      exchangeDirectory,
      mounts,
    });
    const created = await options.slots.use(() => create(engine, settings, owner, signal));
    if (created.type === 'created') return { id: created.id, imageDigest: image.digest, cgroupParent };
    // Somebody removed it in between.
    images.forget(container);
    if (tries < DOCKER_LIMITS.createTries) continue;
    const name = canonicalImage(parseImageReference(container.image));
    throw new StartFailure(`${name}: ${created.message}`, { errorType: 'ImageNotFound' });
  }
}

type Created =
  | { readonly type: 'created'; readonly id: string }
  | { readonly type: 'missing'; readonly message: string };

/** May be asked for again: the name belongs to this attempt alone. */
async function create(
  engine: Engine,
  settings: ContainerSettings,
  owner: ContainerOwner,
  signal: AbortSignal,
): Promise<Created> {
  return insist(signal, async () => {
    try {
      return { type: 'created', id: await engine.create(settings, signal) };
    } catch (error) {
      if (!(error instanceof EngineRefusal)) throw error;
      if (error.status === 404) return { type: 'missing', message: error.message };
      if (error.status !== 409) throw new StartFailure(error.message, { cause: error });
      // An earlier request of ours, whose answer never came.
      const present = await engine.inspect(settings.name ?? '', signal);
      if (present === null || attemptOfLabels(present.Config.Labels, owner) === null)
        throw new StartFailure(error.message, { cause: error });
      return { type: 'created', id: present.Id };
    }
  });
}

/** The engine would cut them off, or take them for something else. @throws StartFailure */
function checkTexts({ command, env }: AttemptSpec): void {
  for (const [index, word] of command.entries())
    if (word.includes('\0')) throw new StartFailure(`word ${index} of the command holds a NUL character`);
  for (const [name, value] of Object.entries(env)) {
    if (name === '' || name.includes('=') || name.includes('\0'))
      throw new StartFailure(`${JSON.stringify(name)} is no name of an environment variable`);
    if (value.includes('\0'))
      throw new StartFailure(`the environment variable ${name} holds a NUL character`);
  }
}
