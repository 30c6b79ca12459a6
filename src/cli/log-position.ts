/** How far a log has been delivered, and how to go on from there when the stream has to be opened again. */
import type { LogsRequest } from '../generated/cluster.ts';
import type { LogChunk } from '../generated/worker.ts';

/**
 * Without a tail the same request yields the same bytes again, so that counting them per stream is exact however the
 * chunks are cut. With one it does not: then the log is asked for since the time of the newest chunk, and of that
 * moment's bytes the delivered ones are skipped.
 */
export class LogPosition {
  readonly #request: LogsRequest;
  /** Bytes delivered per stream: in all, or (with a tail) with the time of the newest chunk. */
  readonly #delivered = new Map<string, number>();
  #skip = new Map<string, number>();
  #newestAtMs: number | null = null;

  constructor(request: LogsRequest) {
    this.#request = request;
  }

  /** The request that continues where the last one broke off. */
  resume(): LogsRequest {
    this.#skip = new Map(this.#delivered);
    if (this.#request.tail === undefined || this.#newestAtMs === null) return this.#request;
    return { ...this.#request, tail: undefined, since: new Date(this.#newestAtMs).toISOString() };
  }

  /** What of the chunk is new; `null`: nothing. */
  accept(chunk: LogChunk): LogChunk | null {
    if (this.#request.tail !== undefined) this.#moveTo(chunk.at_ms);
    if (this.#newestAtMs !== null && chunk.at_ms < this.#newestAtMs && this.#request.tail !== undefined)
      return null;
    const skip = Math.min(this.#skip.get(chunk.stream) ?? 0, chunk.data.length);
    if (skip > 0) this.#skip.set(chunk.stream, (this.#skip.get(chunk.stream) ?? 0) - skip);
    const data = chunk.data.subarray(skip);
    if (data.length === 0) return null;
    this.#delivered.set(chunk.stream, (this.#delivered.get(chunk.stream) ?? 0) + data.length);
    return { ...chunk, data };
  }

  #moveTo(atMs: number): void {
    if (this.#newestAtMs !== null && atMs <= this.#newestAtMs) return;
    this.#newestAtMs = atMs;
    this.#delivered.clear();
    this.#skip.clear();
  }
}
