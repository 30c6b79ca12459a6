/** Containers without anything of ours: dockerode alone. */
import Docker from 'dockerode';

import { atOnce } from './at-once.ts';

export class BareContainers {
  readonly #engine: Docker;
  readonly #image: string;

  constructor(socketPath: string, image: string) {
    this.#engine = new Docker({ socketPath });
    this.#image = image;
  }

  /**
   * Create, start, wait, remove, `count` times and `width` at once.
   * @returns how long it took, in milliseconds
   * @throws Error where one ends with anything but 0
   */
  async run(count: number, width: number, signal: AbortSignal): Promise<number> {
    const begunMs = performance.now();
    await atOnce({ count, width, signal }, () => this.#once());
    return performance.now() - begunMs;
  }

  async #once(): Promise<void> {
    const container = await this.#engine.createContainer({
      Image: this.#image,
      Cmd: ['true'],
      HostConfig: { NetworkMode: 'none' },
    });
    await container.start();
    const { StatusCode: code } = (await container.wait()) as { readonly StatusCode: number };
    await container.remove();
    if (code !== 0) throw new Error(`a bare container ended with ${code}`);
  }
}
