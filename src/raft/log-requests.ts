/**
 * What of the core's persist requests goes to the log. A commit index alone needs no write of its own: it rides on the
 * next. It must not be dropped: whoever holds a change of membership in its log knows by the commit index beside it
 * that the change before is committed, and does not campaign in a configuration older than that (`hasUnappliedConfChange`).
 */
import type { HardState, PersistRequest } from './core/types.ts';

export type LogRequest = Pick<PersistRequest, 'hardState' | 'entries' | 'snapshot'>;

export class LogRequests {
  /** Handed out by the core and not by this. */
  #riding: HardState | null = null;

  /** In the order of the core's requests. @returns null where nothing need be written now */
  next(request: PersistRequest): LogRequest | null {
    const hardState = request.hardState ?? this.#riding;
    this.#riding = request.mustSync ? null : hardState;
    if (!request.mustSync) return null;
    return { hardState, entries: request.entries, snapshot: request.snapshot };
  }
}
