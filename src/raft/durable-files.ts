/**
 * The file operations of snapshots and of the small records of a data directory. Simulations put a disk of their own below
 * the same code; the log, which is written by a thread, has operations of its own (`wal/log-files.ts`).
 */
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';

export interface OpenFile extends AsyncDisposable {
  size(): Promise<number>;
  /** Reads up to `buffer.byteLength` bytes; @returns how many, fewer only at the end of the file */
  read(buffer: Buffer, position: number): Promise<number>;
  /** Writes all of it. */
  write(bytes: Uint8Array, position: number): Promise<void>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Every method throws what the system says; none retries. */
export interface DurableFiles {
  isDirectory(path: string): Promise<boolean>;
  /** Not those above it. */
  makeDirectory(path: string): Promise<void>;
  names(directory: string): Promise<readonly string[]>;
  /** `replace` begins with an empty file, whatever was there. */
  open(path: string, mode: 'read' | 'replace'): Promise<OpenFile>;
  readText(path: string): Promise<string>;
  rename(from: string, to: string): Promise<void>;
  /** Does nothing where it is not there. */
  remove(path: string): Promise<void>;
  syncDirectory(path: string): Promise<void>;
}

const FLAGS = { read: 'r', replace: 'w' } as const;

export const nodeFiles: DurableFiles = {
  async isDirectory(path) {
    try {
      return (await stat(path)).isDirectory();
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false;
      throw error;
    }
  },
  async makeDirectory(path) {
    await mkdir(path, { mode: 0o700 });
  },
  names: (directory) => readdir(directory),
  open: openNodeFile,
  readText: (path) => readFile(path, 'utf8'),
  rename: (from, to) => rename(from, to),
  remove: (path) => rm(path, { force: true }),
  async syncDirectory(path) {
    await using handle = await open(path, 'r');
    await handle.sync();
  },
};

async function openNodeFile(path: string, mode: 'read' | 'replace'): Promise<OpenFile> {
  const handle = await open(path, FLAGS[mode], 0o600);
  return {
    size: async () => (await handle.stat()).size,
    async read(buffer, position) {
      let done = 0;
      while (done < buffer.byteLength) {
        const { bytesRead } = await handle.read(buffer, done, buffer.byteLength - done, position + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return done;
    },
    async write(bytes, position) {
      let done = 0;
      while (done < bytes.byteLength)
        done += (await handle.write(bytes, done, bytes.byteLength - done, position + done)).bytesWritten;
    },
    sync: () => handle.sync(),
    close: () => handle.close(),
    [Symbol.asyncDispose]: () => handle.close(),
  };
}
