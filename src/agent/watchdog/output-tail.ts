import { WATCHDOG_LIMITS } from './limits.ts';

/** The last 4 KiB of an attempt's output, both streams as they came. */
export class OutputTail {
  #bytes: Buffer = Buffer.alloc(0);

  add(chunk: Buffer): void {
    // A copy: the chunk's memory is not to be kept for the sake of its end.
    const { maxTextBytes } = WATCHDOG_LIMITS;
    const kept = chunk.length >= maxTextBytes ? Buffer.alloc(0) : this.#bytes;
    this.#bytes = Buffer.from(Buffer.concat([kept, chunk.subarray(-maxTextBytes)]).subarray(-maxTextBytes));
  }

  /** A character that was cut in two at its beginning is left out. */
  get text(): string {
    let start = 0;
    const mayBeCut = this.#bytes.length === WATCHDOG_LIMITS.maxTextBytes;
    if (mayBeCut) while (start < 3 && ((this.#bytes[start] ?? 0) & 0xc0) === 0x80) start += 1;
    return this.#bytes.toString('utf8', start);
  }
}
