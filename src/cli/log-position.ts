/** How far a log has been delivered, and how to go on from there when the stream has to be opened again. */
import type { LogsRequest } from '../generated/cluster.ts';
import type { LogChunk } from '../generated/worker.ts';

/**
 * Chunks carry the time at which they were written, and a log can be read since a time: it is asked for since the
 * newest chunk, and of that moment's bytes the delivered ones are skipped, however they are cut this time. Counting
 * from the log's beginning would not do: its oldest part is dropped while it grows.
 */
export class LogPosition {
  readonly #request: LogsRequest;
  #newestAtMs: number | null = null;
  /** Bytes with the time of the newest chunk that have been delivered, per stream. */
  readonly #delivered = new Map<string, number>();
  /** Of these, what is still to come again. */
  readonly #skip = new Map<string, number>();

  constructor(request: LogsRequest) {
    this.#request = request;
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
