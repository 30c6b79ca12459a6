/**
 * The stream of events, served by any node from its own copy of the state: what is applied here is committed, and in the
 * same order everywhere, so that a reader goes on at its position on another node, after a restart or a snapshot. Read
 * no faster than it is taken: a slow reader falls behind, and holds nothing in memory.
 */
import type { Event, EventsPiece, EventsRequest } from '../generated/cluster.ts';
import type { Clock } from '../lib/clock.ts';
import type { Fault } from '../lib/errors.ts';
import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { EVENT_KINDS, eventOf, ITEMS_PER_ROW } from '../model/events.ts';
import type { EventRow } from '../model/events.ts';
import type { Replica } from '../scheduler/ports.ts';
import { invalidInput, show } from '../spec/faults.ts';
import { formatEventPosition, OLDEST, parseEventPosition } from './event-position.ts';
import type { EventPosition } from './event-position.ts';
import type { CallContext } from './port.ts';
import { parseTime } from './requests.ts';
import { pause, throwIfAborted } from './waiting.ts';

const MAX_IDS = 100;

export interface EventSources {
  readonly replica: Replica;
  readonly clock: Clock;
  /** The newest entry that anybody can know of, asked of the leader. */
  readonly newestIndex: (context: CallContext) => Promise<number>;
}

type Filter = (event: Event) => boolean;

export class EventStreams {
  readonly #sources: EventSources;
  #open = 0;

  constructor(sources: EventSources) {
    this.#sources = sources;
  }

  /**
   * The first piece comes at once, so that whoever asks knows that the position is good.
   * @throws JarvisError invalid; compacted where events after the position are kept no longer; no_leader where there was
   *   none for long; too_many
   */
  async *read(request: EventsRequest, context: CallContext): AsyncGenerator<EventsPiece, void> {
    const matches = filterOf(request);
    if (this.#open >= limits.eventStreams)
      throw new JarvisError('too_many', `${limits.eventStreams} streams of events are open on this node`);
    this.#open += 1;
    try {
      yield* this.#read(request, matches, context);
    } finally {
      this.#open -= 1;
    }
  }

  async *#read(
    request: EventsRequest,
    matches: Filter,
    context: CallContext,
  ): AsyncGenerator<EventsPiece, void> {
    const { replica, clock, newestIndex } = this.#sources;
    // What the caller has done before it asks is among what it gets.
    const until = request.follow ? Number.POSITIVE_INFINITY : await newestIndex(context);
    let at = await this.#begin(request, context);
    const waiting = new Waiting(replica, clock);
    let shownMs = Number.NEGATIVE_INFINITY;
    for (;;) {
      throwIfAborted(context.signal);
      this.#expectKept(at);
      const found = await replica.rowsFrom('event', rowAfter(at), limits.eventRows);
      // Also what retention took while it was read.
      this.#expectKept(at);
      const rows = found.rows.filter(({ index }) => index <= until);
      const isAll = rows.length < limits.eventRows;
      const end =
        isAll && found.appliedIndex >= at.index
          ? { index: Math.min(found.appliedIndex, until), position: null }
          : endOf(rows, at);
      for (const piece of piecesOf(rows, { after: at, end, matches })) {
        shownMs = clock.monotonicMs();
        yield { events: piece.events, position: formatEventPosition(piece.at), complete: false };
      }
      at = end;
      const isComplete = at.position === null && at.index >= until;
      if (isComplete || clock.monotonicMs() - shownMs >= limits.eventSignMs) {
        shownMs = clock.monotonicMs();
        yield { events: [], position: formatEventPosition(at), complete: isComplete };
      }
      if (isComplete) return;
      if (isAll) await waiting.forNews(found.appliedIndex, context.signal);
    }
  }

  async #begin({ since, follow }: EventsRequest, context: CallContext): Promise<EventPosition> {
    const { replica, newestIndex } = this.#sources;
    if (since === '' && follow) return { index: replica.appliedIndex, position: null };
    if (since === '' || since === OLDEST) return { index: this.#keptFrom() - 1, position: null };
    const timeMs = parseTime(since);
    if (timeMs !== null) return { index: (await this.#indexAt(timeMs)) - 1, position: null };
    const at = parseEventPosition(since);
    if (at.index > replica.appliedIndex) {
      // This node is behind, or the position is that of another cluster, of which nothing would ever come.
      const newest = await newestIndex(context);
      if (at.index > newest) {
        const message = `position ${since} is ahead of this cluster, whose newest entry is ${newest}`;
        throw invalidInput([{ path: 'since', message }]);
      }
    }
    return at;
  }

  /** From which entry on events are of that time or later: times rise with the log, so it is found by halving. */
  async #indexAt(timeMs: number): Promise<number> {
    const { replica } = this.#sources;
    let low = this.#keptFrom();
    let high = replica.appliedIndex + 1;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const { rows } = await replica.rowsFrom('event', { index: middle, part: 0 }, 1);
      const [row] = rows;
      if (row === undefined || row.atMs >= timeMs) high = middle;
      else low = row.index + 1;
    }
    return Math.max(low, this.#keptFrom());
  }

  #keptFrom(): number {
    const { cluster } = this.#sources.replica.state;
    if (cluster === null) throw new JarvisError('unavailable', 'the cluster is still being formed');
    // An earlier version has written none.
    return cluster.retained?.eventsFrom ?? this.#sources.replica.appliedIndex + 1;
  }

  #expectKept(at: EventPosition): void {
    const from = this.#keptFrom();
    const next = at.position === null ? at.index + 1 : at.index;
    if (next >= from) return;
    throw new JarvisError(
      'compacted',
      `events after position ${formatEventPosition(at)} are kept no longer: the oldest are those of entry ${from}; ` +
        `begin with since=${OLDEST}, after having read what is there`,
    );
  }
}

/** Wakes when something was applied; ends a stream that nothing can come to any more. */
class Waiting {
  readonly #replica: Replica;
  readonly #clock: Clock;
  #leaderlessMs: number | null = null;
  #lookedMs = Number.NEGATIVE_INFINITY;

  constructor(replica: Replica, clock: Clock) {
    this.#replica = replica;
    this.#clock = clock;
  }

  /** Resolves once more than that index is applied, or after a while. @throws JarvisError no_leader */
  async forNews(appliedIndex: number, signal: AbortSignal): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    if (this.#replica.leadership().leader === null) this.#leaderlessMs ??= nowMs;
    else this.#leaderlessMs = null;
    if (this.#leaderlessMs !== null && nowMs - this.#leaderlessMs >= limits.eventLeaderlessMs)
      throw new JarvisError('no_leader', `${this.#replica.nodeName} has known of no leader for a while`);
    const delayMs = this.#leaderlessMs === null ? limits.eventSignMs : limits.eventLeaderlessMs;
    await pause(this.#clock, Math.min(delayMs, limits.eventLeaderlessMs), signal, (wake) => {
      if (this.#replica.appliedIndex > appliedIndex) wake();
      return this.#replica.onAdvanced(wake);
    });
    // Under load something is applied all the time: what comes in quick succession is read together.
    const restMs = this.#lookedMs + limits.eventPaceMs - this.#clock.monotonicMs();
    if (restMs > 0) await pause(this.#clock, restMs, signal);
    this.#lookedMs = this.#clock.monotonicMs();
  }
}

/** Which row may hold what comes next. */
function rowAfter({ index, position }: EventPosition): { readonly index: number; readonly part: number } {
  if (position === null) return { index: index + 1, part: 0 };
  return { index, part: Math.floor((position + 1) / ITEMS_PER_ROW) };
}

interface Piece {
  readonly events: Event[];
  /** How far it reaches. */
  readonly at: EventPosition;
}

/** Wanted events after the position in pieces of bounded size, the last of which reaches to the end; none are empty. */
function* piecesOf(
  rows: readonly EventRow[],
  { after, end, matches }: { readonly after: EventPosition; readonly end: EventPosition; matches: Filter },
): Generator<Piece> {
  let events: Event[] = [];
  for (const row of rows) {
    const delivered = row.index === after.index ? (after.position ?? Number.POSITIVE_INFINITY) : -1;
    for (const event of eventsOf(row)) {
      if (event.position <= delivered || !matches(event)) continue;
      if (events.length === limits.eventsPerPiece) {
        yield { events, at: positionOf(events.at(-1), after) };
        events = [];
      }
      events.push(event);
    }
  }
  if (events.length > 0) yield { events, at: end };
}

function positionOf(event: Event | undefined, otherwise: EventPosition): EventPosition {
  return event === undefined ? otherwise : { index: event.index, position: event.position };
}

/** Position of the last event of the rows: whether their entry has more is not known. */
function endOf(rows: readonly EventRow[], otherwise: EventPosition): EventPosition {
  const last = rows.at(-1);
  if (last === undefined) return otherwise;
  return { index: last.index, position: last.part * ITEMS_PER_ROW + last.items.length - 1 };
}

function eventsOf({ index, part, atMs, items }: EventRow): readonly Event[] {
  const time = new Date(atMs).toISOString();
  return items.map((stored, place) => {
    const { kind, id, name, oldStatus, newStatus, reason } = eventOf(stored);
    return {
      index,
      position: part * ITEMS_PER_ROW + place,
      time,
      kind,
      id,
      name,
      old_status: oldStatus ?? undefined,
      new_status: newStatus ?? undefined,
      reason: reason ?? undefined,
    };
  });
}

/** @throws JarvisError invalid */
function filterOf({ kind, id }: EventsRequest): Filter {
  const known: readonly string[] = EVENT_KINDS;
  const faults: Fault[] = kind
    .filter((one) => !known.includes(one))
    .map((one) => ({ path: 'kind', message: `${show(one)} is not allowed: one of ${known.join(', ')}` }));
  if (id.length > MAX_IDS)
    faults.push({ path: 'id', message: `${id.length} are too many: at most ${MAX_IDS}` });
  if (faults.length > 0) throw invalidInput(faults);
  const kinds = new Set(kind);
  const ids = new Set(id);
  return (event) => (kinds.size === 0 || kinds.has(event.kind)) && (ids.size === 0 || ids.has(event.id));
}
