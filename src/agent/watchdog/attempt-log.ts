/** Reads an attempt's log, while it is written or after: the daemon's side of `log-writer.ts`. */
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { isErrno } from '../../lib/errno.ts';
import type { LogFrame, LogStream } from './log-format.ts';
import { decodeLogFrame, listLogFiles, logFileName } from './log-format.ts';

export interface LogChunk {
  /** Wall time of the node, when the watchdog read it; in the watchdog's logs it never falls. */
  readonly atMs: number;
  readonly stream: LogStream;
  readonly data: Buffer;
}

export interface ReadLogOptions {
  /** Only this stream. */
  readonly stream?: LogStream;
  /** Begins this many lines before the end of what is there. */
  readonly tail?: number;
  /** Only what came at or after this wall time. */
  readonly sinceMs?: number;
  /** Waits for more, up to the end of the attempt; waits for the log itself, if there is none yet. */
  readonly follow?: boolean;
  /** Ends the iteration quietly. */
  readonly signal?: AbortSignal;
}

interface Position {
  readonly sequence: number;
  /** Lines of that file to pass over. */
  readonly skipLines: number;
}

const READ_BYTES = 128 * 1024;
const FIRST_PAUSE_MS = 10;
const MAX_PAUSE_MS = 200;
const LINE_FEED = 0x0a;

/** @param directory the attempt's (`attemptDirectory`). A log that is not there, or no longer, reads as empty. */
export async function* readLog(directory: string, options: ReadLogOptions = {}): AsyncGenerator<LogChunk> {
  const start = options.tail === undefined ? null : await tailPosition(directory, options.tail, options);
  let skipLines = start?.skipLines ?? 0;
  const { follow = false, signal } = options;
  for await (const { frame, sequence } of frames(directory, { from: start?.sequence ?? 0, follow, signal })) {
    if (frame.kind === 'end') return;
    if (!isWanted(frame, options)) continue;
    if (sequence !== start?.sequence) skipLines = 0;
    const skipped = skip(frame.data, skipLines);
    skipLines -= skipped.lines;
    if (skipped.rest.length > 0) yield { atMs: frame.atMs, stream: frame.kind, data: skipped.rest };
  }
}

/** What the newest two files hold, for who goes on writing: enough to know the end of it. */
export async function* readNewestLog(directory: string): AsyncGenerator<LogChunk> {
  const from = (await listLogFiles(directory)).slice(-2)[0];
  if (from === undefined) return;
  for await (const { frame } of frames(directory, { from, follow: false, signal: undefined })) {
    if (frame.kind !== 'end') yield { atMs: frame.atMs, stream: frame.kind, data: frame.data };
  }
}

function isWanted(
  frame: LogFrame,
  { stream, sinceMs }: ReadLogOptions,
): frame is LogFrame & { kind: LogStream } {
  if (frame.kind === 'end' || (stream !== undefined && frame.kind !== stream)) return false;
  return sinceMs === undefined || frame.atMs >= sinceMs;
}

/** Reads once to count lines per file, so that nothing but the counts is held. */
async function tailPosition(
  directory: string,
  tail: number,
  options: ReadLogOptions,
): Promise<Position | null> {
  const linesByFile = new Map<number, number>();
  let openLine = false;
  for await (const { frame, sequence } of frames(directory, {
    from: 0,
    follow: false,
    signal: options.signal,
  })) {
    if (!isWanted(frame, options) || frame.data.length === 0) continue;
    const lines = countLines(frame.data);
    linesByFile.set(sequence, (linesByFile.get(sequence) ?? 0) + lines);
    openLine = frame.data.at(-1) !== LINE_FEED;
  }
  // A last line without its line feed counts too.
  let wanted = Math.max(0, Math.floor(tail)) - (openLine ? 1 : 0);
  if (wanted < 0) return endOf(linesByFile);
  for (const [sequence, lines] of [...linesByFile].reverse()) {
    // Not at equality: the first of them may have begun in the file before.
    if (lines > wanted) return { sequence, skipLines: lines - wanted };
    wanted -= lines;
  }
  return null;
}

/** `tail: 0`: only what comes later, and what is left of a line that is open now. */
function endOf(linesByFile: Map<number, number>): Position | null {
  const last = [...linesByFile].at(-1);
  return last === undefined ? null : { sequence: last[0], skipLines: last[1] + 1 };
}

function countLines(data: Buffer): number {
  let lines = 0;
  for (let at = data.indexOf(LINE_FEED); at >= 0; at = data.indexOf(LINE_FEED, at + 1)) lines += 1;
  return lines;
}

function skip(data: Buffer, maxLines: number): { readonly lines: number; readonly rest: Buffer } {
  let at = 0;
  let lines = 0;
  while (lines < maxLines) {
    const feed = data.indexOf(LINE_FEED, at);
    if (feed < 0) return { lines, rest: Buffer.alloc(0) };
    at = feed + 1;
    lines += 1;
  }
  return { lines, rest: data.subarray(at) };
}

interface FrameOptions {
  readonly from: number;
  readonly follow: boolean;
  readonly signal: AbortSignal | undefined;
}

/** Every whole frame from file `from` on. A file is done once a later one exists and it was read to its end after that. */
async function* frames(
  directory: string,
  { from, follow, signal }: FrameOptions,
): AsyncGenerator<{ readonly frame: LogFrame; readonly sequence: number }> {
  let pauseMs = FIRST_PAUSE_MS;
  let current: FrameFile | null = null;
  try {
    while (!isAborted(signal)) {
      const least: number = current === null ? from : current.sequence + 1;
      const next = (await listLogFiles(directory)).find((sequence) => sequence >= least);
      if (current !== null) {
        for await (const frame of current.read(signal)) {
          pauseMs = FIRST_PAUSE_MS;
          yield { frame, sequence: current.sequence };
        }
      }
      if (next !== undefined) {
        await current?.close();
        current = await FrameFile.open(directory, next);
      } else if (follow) {
        await pause(pauseMs, signal);
        pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS);
      } else {
        return;
      }
    }
  } finally {
    await current?.close();
  }
}

/** One file, read onwards from where the last read ended. */
class FrameFile {
  readonly sequence: number;
  readonly #handle: FileHandle | null;
  #rest: Buffer = Buffer.alloc(0);
  #damaged = false;

  constructor(sequence: number, handle: FileHandle | null) {
    this.sequence = sequence;
    this.#handle = handle;
  }

  /** A file that was dropped in between reads as empty. */
  static async open(directory: string, sequence: number): Promise<FrameFile> {
    try {
      return new FrameFile(sequence, await open(join(directory, logFileName(sequence)), 'r'));
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return new FrameFile(sequence, null);
      throw error;
    }
  }

  async *read(signal: AbortSignal | undefined): AsyncGenerator<LogFrame> {
    while (this.#handle !== null && !this.#damaged && !isAborted(signal)) {
      const buffer = Buffer.allocUnsafe(READ_BYTES);
      const { bytesRead } = await this.#handle.read(buffer, 0, READ_BYTES);
      if (bytesRead === 0) return;
      this.#rest = Buffer.concat([this.#rest, buffer.subarray(0, bytesRead)]);
      for (;;) {
        const decoded = decodeLogFrame(this.#rest);
        if (decoded === 'damaged') this.#damaged = true;
        if (typeof decoded === 'string') break;
        this.#rest = this.#rest.subarray(decoded.length);
        yield decoded.frame;
      }
    }
  }

  async close(): Promise<void> {
    await this.#handle?.close();
  }
}

async function pause(pauseMs: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await delay(pauseMs, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    if (!isAborted(signal)) throw error;
  }
}

function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}
