/** Removes images that Jarvis pulled and that nothing has used for long, or that take too much room. */
import { pause } from '../../../lib/backoff.ts';
import { systemClock } from '../../../lib/clock.ts';
import { messageOf } from '../../../lib/errors.ts';
import type { Log } from '../../../lib/log.ts';
import type { AttemptTable } from '../../watchdog/attempt-table.ts';
import type { ContainerAttempt } from './container-attempt.ts';
import type { Engine } from './engine.ts';
import { EngineRefusal } from './engine.ts';
import { DOCKER_LIMITS } from './limits.ts';
import type { ImageLimits } from './options.ts';
import type { PulledImage, PulledImages } from './pulled-images.ts';
import { imagesToRemove } from './pulled-images.ts';

export interface ImageCollectorOptions {
  readonly engine: Engine;
  readonly pulled: PulledImages;
  readonly table: AttemptTable<ContainerAttempt>;
  readonly limits: ImageLimits;
  readonly log: Log;
}

export class ImageCollector {
  readonly #options: ImageCollectorOptions;
  readonly #closing = new AbortController();
  #run: Promise<void> = Promise.resolve();

  constructor(options: ImageCollectorOptions) {
    this.#options = options;
  }

  start(): void {
    this.#run = this.#repeat();
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error('the driver is closed'));
    await this.#run;
  }

  async #repeat(): Promise<void> {
    const { signal } = this.#closing;
    for (;;) {
      await pause(systemClock, DOCKER_LIMITS.imageCollectionIntervalMs, signal);
      if (signal.aborted) return;
      try {
        await this.collect(signal);
      } catch (error) {
        if (signal.aborted) return;
        this.#options.log.warn({ error: messageOf(error) }, 'images could not be collected');
      }
    }
  }

  /** Once. @throws what the engine does not answer or refuses */
  async collect(signal: AbortSignal): Promise<void> {
    const { pulled, table, limits } = this.#options;
    const inUse = new Set<string>();
    for (const { imageInUse } of table.all()) if (imageInUse !== null) inUse.add(imageInUse);
    const victims = imagesToRemove(pulled.all(), { nowMs: Date.now(), inUse, limits });
    for (const victim of victims) await this.#remove(victim, signal);
    // Also the times of their last use, which nothing else writes.
    await pulled.save();
  }

  async #remove({ name, imageId, sizeBytes }: PulledImage, signal: AbortSignal): Promise<void> {
    const { engine, pulled, log } = this.#options;
    const details = await engine.image(name, signal);
    // Somebody has given the name to another image: that one is not ours.
    if (details?.Id === imageId) {
      try {
        await engine.removeImage(name, signal);
      } catch (error) {
        // A container of somebody else's uses it; perhaps not for ever.
        if (error instanceof EngineRefusal && error.status === 409) return;
        throw error;
      }
      log.info({ image: name, bytes: sizeBytes }, 'an image that is no longer used was removed');
    }
    pulled.forget(name);
  }
}
