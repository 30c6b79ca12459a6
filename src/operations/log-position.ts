/** How far an attempt's output has been delivered, and how to go on from there on a new stream. */
import type { LogChunk, ReadLogRequest } from '../generated/worker.ts';

/**
 * Chunks carry the time at which they were written, and are cut alike on every reading. A new stream asks for what came
 * since the newest delivered chunk, and passes over as many chunks of that millisecond as were delivered.
 */
export class LogPosition {
  readonly #request: ReadLogRequest;
  #newestAtMs: number | null = null;
  #deliveredThen = 0;
  #skip = 0;

  /** @param request for the whole output that is wanted */
  constructor(request: ReadLogRequest) {
    this.#request = request;
  }

  /** Nothing has been delivered yet. */
  get atStart(): boolean {
    return this.#newestAtMs === null;
  }

  /** The request for what is still to come. */
  next(follow: boolean): ReadLogRequest {
    this.#skip = this.#deliveredThen;
    if (this.#newestAtMs === null) return { ...this.#request, follow };
    return { ...this.#request, follow, tail: undefined, since_ms: this.#newestAtMs };
  }

  /** Whether the chunk is new, and to be delivered. */
  accept(chunk: LogChunk): boolean {
    if (chunk.at_ms === this.#newestAtMs && this.#skip > 0) {
      this.#skip -= 1;
      return false;
    }
    // A clock that was set back leaves older times behind newer ones: the place to resume from stays the newest.
    if (this.#newestAtMs === null || chunk.at_ms > this.#newestAtMs) {
      this.#newestAtMs = chunk.at_ms;
      this.#deliveredThen = 0;
      this.#skip = 0;
    }
    if (chunk.at_ms === this.#newestAtMs) this.#deliveredThen += 1;
    return true;
  }
}
