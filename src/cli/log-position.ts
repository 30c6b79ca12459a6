/** How far a log has been delivered, and how to go on from there when the stream has to be opened again. */
import type { LogsRequest } from '../generated/cluster.ts';
import type { LogChunk } from '../generated/worker.ts';

/**
 * Chunks carry the time at which they were written, and a log can be read since a time: it is asked for since the
 * newest chunk, and of that moment's bytes the delivered ones are skipped, however they are cut this time. Counting
 * from the log's beginning would not do: its oldest part is dropped while it grows.
 */
export class LogPosition {
  #request: LogsRequest;
  #isOpen: boolean;
  #newestAtMs: number | null = null;
  /** Bytes with the time of the newest chunk that have been delivered, per stream. */
  readonly #delivered = new Map<string, number>();
  /** Of these, what is still to come again. */
  readonly #skip = new Map<string, number>();

  constructor(request: LogsRequest) {
    this.#request = request;
    this.#isOpen = request.tail === undefined;
  }

  /**
   * To be called before following: fixes where it begins, so that a stream which breaks before its first chunk is opened
   * again there. `tail` counts what is there now; asked again later it would pass over what has come meanwhile.
   *
   * @param read reads a log, that it does not follow, to its end or throws
   */
  async open(read: (request: LogsRequest) => AsyncIterable<LogChunk>): Promise<void> {
    if (this.#isOpen) return;
    const whole = { ...this.#request, tail: undefined };
    const isEndWanted = this.#request.tail === 0;
    let lastAtMs: number | null = null;
    for await (const chunk of read({ ...this.#request, follow: false, tail: 1 })) {
      lastAtMs = Math.max(lastAtMs ?? 0, chunk.at_ms);
      if (!isEndWanted) break;
    }
    if (lastAtMs !== null && isEndWanted) {
      // The last line need not be all of that millisecond.
      const there = new LogPosition({ ...whole, follow: false, since: new Date(lastAtMs).toISOString() });
      for await (const chunk of read(there.resume())) there.accept(chunk);
      this.#newestAtMs = there.#newestAtMs ?? lastAtMs;
      for (const [stream, bytes] of there.#delivered) this.#delivered.set(stream, bytes);
    }
    // Where there is something, a stream with `tail` gives it at once: one that broke before has shown nothing.
    if (lastAtMs === null || isEndWanted) this.#request = whole;
    this.#isOpen = true;
  }

  /** The request that continues where the last one broke off. */
  resume(): LogsRequest {
    if (this.#newestAtMs === null) return this.#request;
    for (const [stream, bytes] of this.#delivered) this.#skip.set(stream, bytes);
    return { ...this.#request, tail: undefined, since: new Date(this.#newestAtMs).toISOString() };
  }

  /** What of the chunk is new; `null`: nothing. */
  accept(chunk: LogChunk): LogChunk | null {
    if (this.#newestAtMs === null || chunk.at_ms > this.#newestAtMs) {
      this.#newestAtMs = chunk.at_ms;
      this.#delivered.clear();
      this.#skip.clear();
    }
    // The node's clock was set back; what has such a time is not asked for again.
    if (chunk.at_ms < this.#newestAtMs) return chunk;
    const toSkip = this.#skip.get(chunk.stream) ?? 0;
    const skipped = Math.min(toSkip, chunk.data.length);
    this.#skip.set(chunk.stream, toSkip - skipped);
    const data = chunk.data.subarray(skipped);
    if (data.length === 0) return null;
    this.#delivered.set(chunk.stream, (this.#delivered.get(chunk.stream) ?? 0) + data.length);
    return { ...chunk, data };
  }
}
