/**
 * A disk in memory, for tests and simulations: what was written and not synced may be lost sector by sector when the
 * power fails, names as {@link SimulatedNames} says; it can lie about a sync, and any operation can be made to fail.
 */
import { basename, dirname } from 'node:path';

import { invariant } from '../../lib/assert.ts';
import type { Random } from '../../lib/random.ts';
import type { FileHandle, LogFiles } from './log-files.ts';
import { SimulatedNames, type Fate, type LostNames } from './simulated-names.test-kit.ts';

const SECTOR_BYTES = 512;

interface Write {
  readonly position: number;
  readonly bytes: Buffer;
  /** A lying disk has said that it is durable. */
  claimed: boolean;
}

class SimulatedFile {
  path: string;
  readonly isDirectory: boolean;
  /** As processes see it. */
  cached = Buffer.alloc(0);
  /** As it is after a power cut. */
  durable = Buffer.alloc(0);
  unsynced: Write[] = [];

  constructor(path: string, isDirectory = false) {
    this.path = path;
    this.isDirectory = isDirectory;
  }
}

export type SimulatedOperation = keyof LogFiles;

interface PowerCut {
  /** Draws for the names; by default as for the contents. */
  readonly names?: Random;
  /** Of what is not durable at a path; by default any part of it may survive. */
  readonly fateOf?: (path: string) => Fate;
}

export class SimulatedLogFiles implements LogFiles {
  readonly #names = new SimulatedNames<SimulatedFile>();
  readonly #handles = new Map<FileHandle, SimulatedFile>();
  #nextHandle = 1;
  /** Throws where the operation shall fail; it then has no effect. */
  onOperation: (operation: SimulatedOperation, path: string) => void = () => {};
  /** Whether a sync of this file or directory is answered at once, and nothing is done. */
  lies: (path: string) => boolean = () => false;

  /** The file as processes see it: tests damage it in place. */
  bytes(path: string): Buffer {
    return this.#file(path).cached;
  }

  exists(path: string): boolean {
    return this.#names.get(path) !== undefined;
  }

  isDirectory(path: string): boolean {
    return this.#names.get(path)?.isDirectory === true;
  }

  /** Puts content there, durably. */
  put(path: string, bytes: Buffer): void {
    const file = new SimulatedFile(path);
    file.cached = Buffer.from(bytes);
    file.durable = Buffer.from(bytes);
    this.#names.put(path, file);
  }

  /** Instead of what the directory holds it holds what it does there, durably. */
  replaceDirectory(directory: string, other: SimulatedLogFiles): void {
    for (const [path] of this.#names.entries()) if (dirname(path) === directory) this.#names.drop(path);
    for (const [path, file] of other.#names.entries())
      if (dirname(path) === directory) this.put(path, file.cached);
  }

  /** The same contents, durable, on a disk of its own. */
  clone(): SimulatedLogFiles {
    const copy = new SimulatedLogFiles();
    for (const [path, file] of this.#names.entries()) {
      if (file.isDirectory) copy.#names.put(path, new SimulatedFile(path, true));
      else copy.put(path, file.cached);
    }
    return copy;
  }

  /** The power fails: of each unsynced write any sectors may survive, in any order. */
  powerCut(random: Random, { names = random, fateOf = () => 'some' }: PowerCut = {}): LostNames {
    for (const file of this.#names.values()) {
      for (const write of file.unsynced) cutOff(file, write, fateOf(file.path), random);
      file.unsynced = [];
      file.cached = Buffer.from(file.durable);
    }
    const lost = this.#names.powerCut(() => names() < 0.5, fateOf);
    for (const [path, file] of this.#names.entries()) file.path = path;
    this.#handles.clear();
    return lost;
  }

  /** What the disk lied about reaches it in the end. */
  writeBack(): void {
    for (const file of this.#names.values()) syncWrites(file, ({ claimed }) => claimed);
    this.#names.writeBack();
  }

  /** A sync fails as Linux lets it: processes still see what was written, the disk never gets it, and a later sync succeeds. */
  loseUnsynced(): void {
    for (const [, file] of this.#names.entries())
      file.unsynced = file.unsynced.filter(({ claimed }) => claimed);
  }

  makeDirectory(directory: string): void {
    this.onOperation('makeDirectory', directory);
    if (this.#names.get(directory) === undefined)
      this.#names.make(directory, new SimulatedFile(directory, true));
  }

  list(directory: string): readonly string[] {
    this.onOperation('list', directory);
    return this.#names
      .entries()
      .filter(([path]) => dirname(path) === directory)
      .map(([path]) => basename(path));
  }

  open(path: string, mode: 'read' | 'write' | 'create'): FileHandle {
    this.onOperation('open', path);
    if (mode === 'create') {
      invariant(this.#names.get(path) === undefined, `${path} exists`);
      this.#names.make(path, new SimulatedFile(path));
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
    file.unsynced.push({ position, bytes, claimed: false });
  }

  syncData(handle: FileHandle): void {
    const file = this.#use('syncData', handle);
    if (this.lies(file.path)) for (const write of file.unsynced) write.claimed = true;
    else syncWrites(file, () => true);
  }

  close(handle: FileHandle): void {
    this.#use('close', handle);
    this.#handles.delete(handle);
  }

  rename(from: string, to: string): void {
    this.onOperation('rename', from);
    const file = this.#file(from);
    file.path = to;
    this.#names.rename(from, to, file);
  }

  remove(path: string): void {
    this.onOperation('remove', path);
    this.#file(path);
    this.#names.remove(path);
  }

  syncDirectory(directory: string): void {
    this.onOperation('syncDirectory', directory);
    this.#names.sync(directory, this.lies(directory));
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

function syncWrites(file: SimulatedFile, isMeant: (write: Write) => boolean): void {
  for (const { position, bytes } of file.unsynced.filter((write) => isMeant(write)))
    file.durable = written(file.durable, position, bytes);
  file.unsynced = file.unsynced.filter((write) => !isMeant(write));
}

function cutOff(file: SimulatedFile, { position, bytes }: Write, fate: Fate, random: Random): void {
  if (fate === 'none') return;
  const end = position + bytes.byteLength;
  for (let start = position; start < end;) {
    const stop = Math.min(end, (Math.floor(start / SECTOR_BYTES) + 1) * SECTOR_BYTES);
    if (fate === 'all' || random() < 0.5)
      file.durable = written(file.durable, start, bytes.subarray(start - position, stop - position));
    start = stop;
  }
}

function written(content: Buffer, position: number, bytes: Uint8Array): Buffer<ArrayBuffer> {
  const size = Math.max(content.byteLength, position + bytes.byteLength);
  const result = size === content.byteLength ? (content as Buffer<ArrayBuffer>) : Buffer.alloc(size);
  if (result !== content) content.copy(result);
  result.set(bytes, position);
  return result;
}
