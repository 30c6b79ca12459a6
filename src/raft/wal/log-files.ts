/**
 * The file operations of the log, all synchronous: they run on a thread of their own. Simulations put a disk of their
 * own below the same code.
 */
import fs from 'node:fs';
import { join } from 'node:path';

import { invariant } from '../../lib/assert.ts';

/** A handle of an open file; means something only to the {@link LogFiles} that gave it out. */
export type FileHandle = number;

/** Every method throws what the system says; none retries. */
export interface LogFiles {
  /** Creates the directory and those above it where they are missing. */
  makeDirectory(directory: string): void;
  /** Names in the directory, in any order; empty where the directory is missing. */
  list(directory: string): readonly string[];
  /** `create` fails where the file is there already. */
  open(path: string, mode: 'read' | 'write' | 'create'): FileHandle;
  size(handle: FileHandle): number;
  /** Reads up to `buffer.byteLength` bytes; @returns how many, fewer only at the end of the file */
  read(handle: FileHandle, buffer: Buffer, position: number): number;
  /** Writes all parts one behind the other. */
  write(handle: FileHandle, parts: readonly Uint8Array[], position: number): void;
  /** fdatasync: contents, and what is needed to find them. */
  syncData(handle: FileHandle): void;
  close(handle: FileHandle): void;
  rename(from: string, to: string): void;
  remove(path: string): void;
  syncDirectory(directory: string): void;
}

const FLAGS = { read: 'r', write: 'r+', create: 'wx+' } as const;

export const nodeLogFiles: LogFiles = {
  makeDirectory(directory) {
    fs.mkdirSync(directory, { recursive: true });
  },
  list(directory) {
    return fs.existsSync(directory) ? fs.readdirSync(directory) : [];
  },
  open: (path, mode) => fs.openSync(path, FLAGS[mode], 0o600),
  size: (handle) => fs.fstatSync(handle).size,
  read(handle, buffer, position) {
    let done = 0;
    while (done < buffer.byteLength) {
      const count = fs.readSync(handle, buffer, done, buffer.byteLength - done, position + done);
      if (count === 0) break;
      done += count;
    }
    return done;
  },
  write(handle, parts, position) {
    let offset = position;
    let rest = parts.filter((part) => part.byteLength > 0);
    while (rest.length > 0) {
      const written = fs.writevSync(handle, rest, offset);
      invariant(written > 0, 'a write that neither fails nor writes');
      offset += written;
      rest = behind(rest, written);
    }
  },
  syncData: (handle) => fs.fdatasyncSync(handle),
  close: (handle) => fs.closeSync(handle),
  rename: (from, to) => fs.renameSync(from, to),
  remove: (path) => fs.unlinkSync(path),
  syncDirectory(directory) {
    const handle = fs.openSync(directory, 'r');
    try {
      fs.fsyncSync(handle);
    } finally {
      fs.closeSync(handle);
    }
  },
};

/** What remains of `parts` after their first `written` bytes: a write may be short. */
function behind(parts: readonly Uint8Array[], written: number): Uint8Array[] {
  let skip = written;
  const rest: Uint8Array[] = [];
  for (const part of parts) {
    if (skip >= part.byteLength) skip -= part.byteLength;
    else {
      rest.push(part.subarray(skip));
      skip = 0;
    }
  }
  return rest;
}

/** The whole file. */
export function readWhole(files: LogFiles, directory: string, name: string): Buffer {
  const handle = files.open(join(directory, name), 'read');
  try {
    // Not from the pool: entries stay views of this buffer, and a word-wise search wants it aligned.
    const buffer = Buffer.allocUnsafeSlow(files.size(handle));
    return buffer.subarray(0, files.read(handle, buffer, 0));
  } finally {
    files.close(handle);
  }
}
