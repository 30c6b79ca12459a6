/** How far an attempt's output has been delivered, and how to go on from there on a new stream. */
import type { LogChunk, ReadLogRequest } from '../generated/worker.ts';

/**
 * Chunks carry the time at which they were written, and are cut alike on every reading. A new stream asks for what came
 * since the newest delivered chunk, and passes over as many chunks of that millisecond as were delivered.
 */
export class LogPosition {
  #request: ReadLogRequest;
  #isOpen: boolean;
  #newestAtMs: number | null = null;
  #deliveredThen = 0;
  #skip = 0;

  /** @param request for the whole output that is wanted */
  constructor(request: ReadLogRequest) {
    this.#request = request;
    this.#isOpen = request.tail === undefined;
  }

  /**
   * To be called before following: fixes where it begins, so that a stream which breaks before its first chunk is opened
   * again there. `tail` counts what is there now; asked again later it would pass over what has come meanwhile.
   *
   * @param read reads a log without following it; an aborted signal may end that early, and then nothing is fixed
   */
  async open(read: (request: ReadLogRequest) => AsyncIterable<LogChunk>, signal: AbortSignal): Promise<void> {
    if (this.#isOpen) return;
    const whole = { ...this.#request, tail: undefined };
    const isEndWanted = this.#request.tail === 0;
    let lastAtMs: number | null = null;
    for await (const chunk of read({ ...this.#request, follow: false, tail: 1 })) {
      lastAtMs = Math.max(lastAtMs ?? 0, chunk.at_ms);
      if (!isEndWanted) break;
    }
    if (signal.aborted) return;
    if (lastAtMs !== null && isEndWanted) {
      // The last line need not be all of that millisecond.
      const there = new LogPosition({ ...whole, since_ms: lastAtMs });
      for await (const chunk of read(there.next(false))) there.accept(chunk);
      if (signal.aborted) return;
      this.#newestAtMs = there.#newestAtMs ?? lastAtMs;
      this.#deliveredThen = there.#deliveredThen;
    }
    // Where there is something, a stream with `tail` gives it at once: one that broke before has shown nothing.
    if (lastAtMs === null || isEndWanted) this.#request = whole;
    this.#isOpen = true;
  }

  /** Nothing has been delivered yet, or passed over. */
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
