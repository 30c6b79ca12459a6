/**
 * The engine's output of a container without a terminal: frames of an eight-byte header (stream, three zeros, length as
 * u32 big-endian) and a content, which with `timestamps` begins with an RFC 3339 time and a blank. dockerode's own reader
 * of this format copies all that is left for each frame, and cannot be slowed down.
 */
import type { LogStream } from '../../watchdog/log-format.ts';
import { DOCKER_LIMITS } from './limits.ts';

export interface LogEntry {
  readonly stream: LogStream;
  readonly atMs: number;
  readonly data: Buffer;
}

const HEADER_BYTES = 8;
const STDERR = 2;
/** The engine's own word about output that it cannot read any more. */
const SYSTEM_ERROR = 3;
const BLANK = 0x20;

/** The output cannot be read further: its engine says so, or what it sends is none of this format. */
export class OutputDamaged extends Error {
  override readonly name = 'OutputDamaged';
}

/** @throws OutputDamaged */
export async function* readLogEntries(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<LogEntry> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    rest = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
    while (rest.length >= HEADER_BYTES) {
      const length = rest.readUInt32BE(4);
      if (length > DOCKER_LIMITS.logFrameBytes)
        throw new OutputDamaged(`a frame of output with ${length} bytes`);
      if (rest.length < HEADER_BYTES + length) break;
      const content = rest.subarray(HEADER_BYTES, HEADER_BYTES + length);
      if (rest[0] === SYSTEM_ERROR) throw new OutputDamaged(content.toString().trim());
      const stream = rest[0] === STDERR ? 'stderr' : 'stdout';
      rest = rest.subarray(HEADER_BYTES + length);
      yield entryOf(stream, content);
    }
  }
}

function entryOf(stream: LogStream, content: Buffer): LogEntry {
  const blank = content.indexOf(BLANK);
  const atMs = Date.parse(content.toString('latin1', 0, Math.max(blank, 0)));
  if (Number.isNaN(atMs)) throw new OutputDamaged('an entry of output without its time');
  return { stream, atMs, data: content.subarray(blank + 1) };
}
