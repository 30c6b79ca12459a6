/**
 * A disk in memory, for tests and simulations: what was written and not synced may be lost sector by sector when the
 * power fails, and any operation can be made to fail.
 */
import { basename, dirname } from 'node:path';

import { invariant } from '../../lib/assert.ts';
import type { Random } from '../../lib/random.ts';
import type { FileHandle, LogFiles } from './log-files.ts';

const SECTOR_BYTES = 512;

interface Write {
  readonly position: number;
  readonly bytes: Buffer;
}

class SimulatedFile {
  path: string;
  /** As processes see it. */
  cached = Buffer.alloc(0);
  /** As it is after a power cut. */
  durable = Buffer.alloc(0);
  unsynced: Write[] = [];

  constructor(path: string) {
    this.path = path;
  }
}

export type SimulatedOperation = keyof LogFiles;

export class SimulatedLogFiles implements LogFiles {
  #names = new Map<string, SimulatedFile>();
  #durableNames = new Map<string, SimulatedFile>();
  readonly #handles = new Map<FileHandle, SimulatedFile>();
  #nextHandle = 1;
  /** Throws where the operation shall fail; it then has no effect. */
  onOperation: (operation: SimulatedOperation, path: string) => void = () => {};

  /** The file as processes see it: tests damage it in place. */
  bytes(path: string): Buffer {
    return this.#file(path).cached;
  }

  /** Puts content there, durably. */
  put(path: string, bytes: Buffer): void {
    const file = new SimulatedFile(path);
    file.cached = Buffer.from(bytes);
    file.durable = Buffer.from(bytes);
    this.#names.set(path, file);
    this.#durableNames.set(path, file);
  }

  /** The same contents, durable, on a disk of its own. */
  clone(): SimulatedLogFiles {
    const copy = new SimulatedLogFiles();
    for (const [path, file] of this.#names) copy.put(path, file.cached);
    return copy;
  }

  /** The power fails: of each unsynced write any sectors may survive, in any order; names are those last synced. */
  powerCut(random: Random): void {
    for (const file of new Set([...this.#names.values(), ...this.#durableNames.values()])) {
      for (const { position, bytes } of file.unsynced) {
        const end = position + bytes.byteLength;
        for (let start = position; start < end;) {
          const stop = Math.min(end, (Math.floor(start / SECTOR_BYTES) + 1) * SECTOR_BYTES);
          if (random() < 0.5)
            file.durable = written(file.durable, start, bytes.subarray(start - position, stop - position));
          start = stop;
        }
      }
      file.unsynced = [];
      file.cached = Buffer.from(file.durable);
    }
    this.#names = new Map(this.#durableNames);
    for (const [path, file] of this.#names) file.path = path;
    this.#handles.clear();
  }

  /** A sync fails as Linux lets it: processes still see what was written, the disk never gets it, and a later sync succeeds. */
  loseUnsynced(): void {
    for (const file of this.#names.values()) file.unsynced = [];
  }

  makeDirectory(directory: string): void {
    this.onOperation('makeDirectory', directory);
  }

  list(directory: string): readonly string[] {
    this.onOperation('list', directory);
    return [...this.#names.keys()]
      .filter((path) => dirname(path) === directory)
      .map((path) => basename(path));
  }

  open(path: string, mode: 'read' | 'write' | 'create'): FileHandle {
    this.onOperation('open', path);
    if (mode === 'create') {
      invariant(!this.#names.has(path), `${path} exists`);
      this.#names.set(path, new SimulatedFile(path));
    }
    const handle = this.#nextHandle;
    this.#nextHandle += 1;
    this.#handles.set(handle, this.#file(path));
    return handle;
  }

  size(handle: FileHandle): number {
    return this.#use('size', handle).cached.byteLength;
  }

  read(handle: FileHandle, buffer: Buffer, position: number): number {
    return this.#use('read', handle).cached.copy(buffer, 0, position);
  }

  write(handle: FileHandle, parts: readonly Uint8Array[], position: number): void {
    const file = this.#use('write', handle);
    const bytes = Buffer.concat(parts);
    file.cached = written(file.cached, position, bytes);
    file.unsynced.push({ position, bytes });
  }

  syncData(handle: FileHandle): void {
    const file = this.#use('syncData', handle);
    for (const { position, bytes } of file.unsynced) file.durable = written(file.durable, position, bytes);
    file.unsynced = [];
  }

  close(handle: FileHandle): void {
    this.#use('close', handle);
    this.#handles.delete(handle);
  }

  rename(from: string, to: string): void {
    this.onOperation('rename', from);
    const file = this.#file(from);
    file.path = to;
    this.#names.set(to, file);
    this.#names.delete(from);
  }

  remove(path: string): void {
    this.onOperation('remove', path);
    this.#file(path);
    this.#names.delete(path);
  }

  syncDirectory(directory: string): void {
    this.onOperation('syncDirectory', directory);
    this.#durableNames = new Map(this.#names);
  }

  #file(path: string): SimulatedFile {
    const file = this.#names.get(path);
    if (file === undefined) throw Object.assign(new Error(`ENOENT: ${path}`), { code: 'ENOENT' });
    return file;
  }

  #use(operation: SimulatedOperation, handle: FileHandle): SimulatedFile {
    const opened = this.#handles.get(handle);
    invariant(opened !== undefined, `${operation} on a closed handle`);
    this.onOperation(operation, opened.path);
    return opened;
  }
}

function written(content: Buffer, position: number, bytes: Uint8Array): Buffer<ArrayBuffer> {
  const size = Math.max(content.byteLength, position + bytes.byteLength);
  const result = size === content.byteLength ? (content as Buffer<ArrayBuffer>) : Buffer.alloc(size);
  if (result !== content) content.copy(result);
  result.set(bytes, position);
  return result;
}
