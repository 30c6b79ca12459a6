/** Puts the time at which it was written in front of each line of output. */
import type { LogChunk } from '../generated/worker.ts';

const LINE_FEED = 0x0a;

/** Lines may come in several chunks, and those of both streams in turns: each line has the time of its first byte. */
export class LineStamps {
  /** Streams that are in the middle of a line. */
  readonly #open = new Set<string>();

  stamped(chunk: LogChunk): LogChunk {
    const stamp = Buffer.from(`${new Date(chunk.at_ms).toISOString()} `);
    const parts: Buffer[] = [];
    for (let at = 0; at < chunk.data.length;) {
      const feed = chunk.data.indexOf(LINE_FEED, at);
      const end = feed < 0 ? chunk.data.length : feed + 1;
      if (!this.#open.has(chunk.stream)) parts.push(stamp);
      parts.push(chunk.data.subarray(at, end));
      if (feed < 0) this.#open.add(chunk.stream);
      else this.#open.delete(chunk.stream);
      at = end;
    }
    return { ...chunk, data: Buffer.concat(parts) };
  }
}
