/** Snapshots and records on a simulated disk: the same disk, and the same faults, as below the log. */
import { Buffer } from 'node:buffer';

import type { DurableFiles, OpenFile } from './durable-files.ts';
import type { SimulatedLogFiles } from './wal/simulated-log-files.test-kit.ts';

export class SimulatedFiles implements DurableFiles {
  readonly #disk: SimulatedLogFiles;

  constructor(disk: SimulatedLogFiles) {
    this.#disk = disk;
  }

  async isDirectory(path: string): Promise<boolean> {
    return path === '/' || this.#disk.isDirectory(path);
  }

  async makeDirectory(path: string): Promise<void> {
    this.#disk.makeDirectory(path);
  }

  async names(directory: string): Promise<readonly string[]> {
    return this.#disk.list(directory);
  }

  async open(path: string, mode: 'read' | 'replace'): Promise<OpenFile> {
    const disk = this.#disk;
    if (mode === 'replace' && disk.exists(path)) disk.remove(path);
    const handle = disk.open(path, mode === 'replace' ? 'create' : 'read');
    const close = async (): Promise<void> => disk.close(handle);
    return {
      size: async () => disk.size(handle),
      read: async (buffer, position) => disk.read(handle, buffer, position),
      write: async (bytes, position) => disk.write(handle, [bytes], position),
      sync: async () => disk.syncData(handle),
      close,
      [Symbol.asyncDispose]: close,
    };
  }

  async readText(path: string): Promise<string> {
    const handle = this.#disk.open(path, 'read');
    const buffer = Buffer.alloc(this.#disk.size(handle));
    this.#disk.read(handle, buffer, 0);
    this.#disk.close(handle);
    return buffer.toString();
  }

  async rename(from: string, to: string): Promise<void> {
    this.#disk.rename(from, to);
  }

  async remove(path: string): Promise<void> {
    if (this.#disk.exists(path)) this.#disk.remove(path);
  }

  async syncDirectory(path: string): Promise<void> {
    this.#disk.syncDirectory(path);
  }
}
