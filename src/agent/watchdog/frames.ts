/** Messages on a byte stream: four bytes of length (big endian), then JSON in UTF-8. */
import { JarvisError } from '../../lib/errors.ts';
import { WATCHDOG_LIMITS } from './limits.ts';

const HEADER_BYTES = 4;

/** @throws JarvisError `too_large` where the message exceeds the bound */
export function encodeFrame(message: unknown): Buffer {
  const body = Buffer.from(JSON.stringify(message));
  if (body.length > WATCHDOG_LIMITS.maxFrameBytes) {
    throw new JarvisError(
      'too_large',
      `a message of ${body.length} bytes; at most ${WATCHDOG_LIMITS.maxFrameBytes} are allowed`,
    );
  }
  const frame = Buffer.allocUnsafe(HEADER_BYTES + body.length);
  frame.writeUInt32BE(body.length);
  body.copy(frame, HEADER_BYTES);
  return frame;
}

/** Takes bytes as they come, gives back whole messages. */
export class FrameDecoder {
  #chunks: Buffer[] = [];
  #bufferedBytes = 0;

  /** @throws JarvisError `malformed` where the stream cannot be one of frames: close it then */
  push(chunk: Buffer): unknown[] {
    this.#chunks.push(chunk);
    this.#bufferedBytes += chunk.length;
    const messages: unknown[] = [];
    for (;;) {
      const length = this.#peekLength();
      if (length === null || this.#bufferedBytes < HEADER_BYTES + length) return messages;
      const buffered = this.#join();
      const end = HEADER_BYTES + length;
      messages.push(parse(buffered.subarray(HEADER_BYTES, end)));
      this.#chunks = end === buffered.length ? [] : [buffered.subarray(end)];
      this.#bufferedBytes -= end;
    }
  }

  #peekLength(): number | null {
    if (this.#bufferedBytes < HEADER_BYTES) return null;
    const [first] = this.#chunks;
    const head = first !== undefined && first.length >= HEADER_BYTES ? first : this.#join();
    const length = head.readUInt32BE();
    if (length > WATCHDOG_LIMITS.maxFrameBytes)
      throw new JarvisError('malformed', `a frame of ${length} bytes is announced`);
    return length;
  }

  #join(): Buffer {
    const joined = this.#chunks.length === 1 ? this.#chunks[0] : undefined;
    if (joined !== undefined) return joined;
    const buffer = Buffer.concat(this.#chunks);
    this.#chunks = [buffer];
    return buffer;
  }
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString()) as unknown;
  } catch (error) {
    throw new JarvisError('malformed', 'a frame holds no JSON', { cause: error });
  }
}
