/**
 * Which images Jarvis itself brought to this engine, kept on disk: those, and only those, are removed again when nothing
 * has used them for long, or when they take too much room.
 */
import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';

import { z } from 'zod';

import { isErrno } from '../../../lib/errno.ts';
import { coalesce } from '../../watchdog/coalesce.ts';
import { writeAside } from '../../watchdog/record-store.ts';
import type { ImageLimits } from './options.ts';

const recordSchema = z.object({
  /** As the engine was asked for it, with tag or digest. */
  name: z.string(),
  imageId: z.string(),
  sizeBytes: z.number(),
  usedAtMs: z.number(),
});
export type PulledImage = Readonly<z.output<typeof recordSchema>>;

const FILE = 'images.json';

export class PulledImages {
  readonly #file: string;
  readonly #images: Map<string, PulledImage>;
  readonly save: () => Promise<void>;

  private constructor(directory: string, images: readonly PulledImage[]) {
    this.#file = path.join(directory, FILE);
    this.#images = new Map(images.map((image) => [image.name, image]));
    this.save = coalesce(() => writeAside(this.#file, JSON.stringify([...this.#images.values()]), true));
  }

  /** A file that does not read is begun anew: its images are then never removed, which is the safe side. */
  static async open(directory: string): Promise<PulledImages> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    return new PulledImages(directory, await readImages(path.join(directory, FILE)));
  }

  all(): readonly PulledImage[] {
    return [...this.#images.values()];
  }

  async add(image: PulledImage): Promise<void> {
    this.#images.set(image.name, image);
    await this.save();
  }

  /** In memory at once, on disk with the next change: an older time only brings a removal forward. */
  used(name: string, atMs: number): void {
    const image = this.#images.get(name);
    if (image !== undefined) this.#images.set(name, { ...image, usedAtMs: Math.max(atMs, image.usedAtMs) });
  }

  forget(name: string): void {
    this.#images.delete(name);
  }
}

async function readImages(file: string): Promise<readonly PulledImage[]> {
  try {
    return z.array(recordSchema).parse(JSON.parse(await readFile(file, 'utf8')));
  } catch (error) {
    if (isErrno(error, 'ENOENT') || error instanceof SyntaxError || error instanceof z.ZodError) return [];
    throw error;
  }
}

/**
 * What is to go, the longest unused first: what nothing uses and has not been used for long, then what is needed to come
 * below the size. Pure.
 */
export function imagesToRemove(
  images: readonly PulledImage[],
  options: { readonly nowMs: number; readonly inUse: ReadonlySet<string>; readonly limits: ImageLimits },
): readonly PulledImage[] {
  const { nowMs, inUse, limits } = options;
  let totalBytes = images.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const removed: PulledImage[] = [];
  for (const image of [...images].sort((a, b) => a.usedAtMs - b.usedAtMs)) {
    if (inUse.has(image.name)) continue;
    const isOld = nowMs - image.usedAtMs > limits.maxAgeMs;
    if (!isOld && totalBytes <= limits.maxBytes) continue;
    removed.push(image);
    totalBytes -= image.sizeBytes;
  }
  return removed;
}
