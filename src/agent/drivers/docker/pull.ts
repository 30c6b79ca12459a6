/** One pull, from its beginning to the engine's last word about it. */
import { messageOf } from '../../../lib/errors.ts';
import type { ImageReference } from '../../../lib/image-reference.ts';
import { canonicalImage } from '../../../lib/image-reference.ts';
import type { Credentials, Engine, PullEvent } from './engine.ts';
import { chunksOf, EngineRefusal } from './engine.ts';
import { readLines } from './lines.ts';
import { DOCKER_LIMITS } from './limits.ts';
import { PullProgress } from './pull-progress.ts';
import { StartFailure } from './start-failure.ts';

export interface PullOptions {
  readonly engine: Engine;
  readonly reference: ImageReference;
  readonly credentials: Credentials | null;
  readonly signal: AbortSignal;
  readonly tell: (note: string) => void;
}

/**
 * @throws EngineRefusal what the engine says of image or registry, also in the middle of the progress; NoAnswer where it
 * broke off; StartFailure ImagePullFailed where the registry falls silent; the signal's reason
 */
export async function pullOnce(options: PullOptions): Promise<void> {
  const stall = new StallGuard(options);
  try {
    await readProgress(options, stall);
  } catch (error) {
    options.signal.throwIfAborted();
    if (stall.hasFired) {
      const name = canonicalImage(options.reference);
      const seconds = DOCKER_LIMITS.pullStallMs / 1000;
      const message = `${name}: nothing came of it for ${seconds} s, the registry is silent`;
      throw new StartFailure(message, { errorType: 'ImagePullFailed', cause: error });
    }
    throw error;
  } finally {
    stall.stop();
  }
}

async function readProgress(options: PullOptions, stall: StallGuard): Promise<void> {
  const { engine, reference, credentials, tell } = options;
  const signal = AbortSignal.any([options.signal, stall.signal]);
  const progress = new PullProgress(canonicalImage(reference));
  let toldAtMs = performance.now();
  const stream = await engine.pull(reference, credentials, signal);
  for await (const line of readLines(chunksOf(stream, signal), DOCKER_LIMITS.pullLineBytes)) {
    stall.restart();
    const event = JSON.parse(line) as PullEvent & { readonly error?: string };
    // The status of the answer was sent long before.
    if (event.error !== undefined) throw new EngineRefusal(500, event.error, null);
    progress.add(event);
    if (performance.now() - toldAtMs < DOCKER_LIMITS.pullNoteIntervalMs) continue;
    toldAtMs = performance.now();
    tell(progress.note);
  }
}

/** Fires when nothing has been heard of the pull for long, though the engine answers: so it is the registry's fault. */
class StallGuard {
  readonly #options: PullOptions;
  readonly #controller = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(options: PullOptions) {
    this.#options = options;
    this.restart();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get hasFired(): boolean {
    return this.#controller.signal.aborted;
  }

  restart(): void {
    clearTimeout(this.#timer);
    if (this.#isStopped) return;
    this.#timer = setTimeout(() => void this.#check(), DOCKER_LIMITS.pullStallMs);
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  async #check(): Promise<void> {
    try {
      await this.#options.engine.ping(this.#options.signal);
      this.#controller.abort(new Error('the pull stalled'));
    } catch (error) {
      // It is the engine that is silent: the pull goes on with it, or breaks.
      this.#options.tell(`waiting for the container engine: ${messageOf(error)}`);
      this.restart();
    }
  }
}
