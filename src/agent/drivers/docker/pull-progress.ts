/** How far a pull is, from what the engine says of each layer. Pure. */
import type { PullEvent } from './engine.ts';

interface Layer {
  downloadedBytes: number;
  totalBytes: number;
  isDone: boolean;
}

const MIB = 1024 * 1024;

export class PullProgress {
  readonly #image: string;
  readonly #layers = new Map<string, Layer>();

  constructor(image: string) {
    this.#image = image;
  }

  add({ status = '', id, progressDetail }: PullEvent): void {
    if (id === undefined) return;
    const layer = this.#layers.get(id) ?? { downloadedBytes: 0, totalBytes: 0, isDone: false };
    switch (status) {
      case 'Downloading':
        layer.downloadedBytes = progressDetail?.current ?? layer.downloadedBytes;
        layer.totalBytes = progressDetail?.total ?? layer.totalBytes;
        break;
      case 'Verifying Checksum':
      case 'Download complete':
      case 'Extracting':
        layer.downloadedBytes = layer.totalBytes;
        break;
      case 'Pull complete':
      case 'Already exists':
        layer.downloadedBytes = layer.totalBytes;
        layer.isDone = true;
        break;
      case 'Pulling fs layer':
      case 'Waiting':
        break;
      default:
        // Of the image as a whole, under its tag.
        return;
    }
    this.#layers.set(id, layer);
  }

  /** For people, such as `pulling python:3.9: 12.5 of 48.0 MiB, 2 of 5 layers`. */
  get note(): string {
    const layers = [...this.#layers.values()];
    if (layers.length === 0) return `pulling ${this.#image}`;
    const downloaded = layers.reduce((sum, layer) => sum + layer.downloadedBytes, 0);
    const total = layers.reduce((sum, layer) => sum + layer.totalBytes, 0);
    const done = layers.filter(({ isDone }) => isDone).length;
    const amount = total === 0 ? '' : `${mebibytes(downloaded)} of ${mebibytes(total)} MiB, `;
    return `pulling ${this.#image}: ${amount}${done} of ${layers.length} layers`;
  }
}

function mebibytes(bytes: number): string {
  return (bytes / MIB).toFixed(1);
}
