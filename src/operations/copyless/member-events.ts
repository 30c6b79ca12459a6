/**
 * The stream of events on a node without a copy of the state: the leader's, or any other member's. Positions are the same everywhere,
 * so that one which breaks goes on at another member, and its reader does not notice.
 */
import type { EventsPiece, EventsRequest } from '../../generated/cluster.ts';
import type { Clock } from '../../lib/clock.ts';
import { JarvisError } from '../../lib/errors.ts';
import { limits } from '../../lib/limits.ts';
import { Tries } from '../leader-route.ts';
import type { Member, Members, Remotes } from '../node-port.ts';
import type { CallContext } from '../port.ts';
import type { Events } from '../router.ts';
import { pause, throwIfAborted } from '../waiting.ts';
import type { AnyMember } from './any-member.ts';
import { isPassing, withoutCopy } from './member-reads.ts';

interface MemberEventsOptions {
  readonly leaders: Members;
  readonly anyMember: AnyMember;
  readonly remotes: Pick<Remotes, 'events'>;
  readonly clock: Clock;
}

export class MemberEvents implements Events {
  readonly #options: MemberEventsOptions;
  #open = 0;

  constructor(options: MemberEventsOptions) {
    this.#options = options;
  }

  /** As that of a member: the first piece comes at once. @throws JarvisError */
  async *read(request: EventsRequest, context: CallContext): AsyncGenerator<EventsPiece, void> {
    if (context.forwarded) throw withoutCopy(this.#options.leaders.nodeName);
    if (this.#open >= limits.eventStreams)
      throw new JarvisError('too_many', `${limits.eventStreams} streams of events are open on this node`);
    this.#open += 1;
    try {
      yield* this.#read(request, context);
    } finally {
      this.#open -= 1;
    }
  }

  async *#read(request: EventsRequest, context: CallContext): AsyncGenerator<EventsPiece, void> {
    const { clock, leaders } = this.#options;
    let { since } = request;
    /** Since the last piece, as is the other: null where nothing has failed. */
    let tries: Tries | null = null;
    const failed = new Set<string>();
    for (;;) {
      let asked: Member | null = null;
      try {
        asked = this.#next(failed);
        for await (const piece of this.#piecesOf(asked, { ...request, since }, context)) {
          tries = null;
          failed.clear();
          since = piece.position;
          yield piece;
          if (piece.complete) return;
        }
        throw new JarvisError('unavailable', `the stream of events of ${asked.name} ended early`);
      } catch (error) {
        throwIfAborted(context.signal);
        tries ??= new Tries(clock);
        leaders.hurry();
        if (!isPassing(error) || tries.remainingMs() <= 0) throw error;
        if (asked !== null) failed.add(asked.name);
        const hasOther = leaders.members().some(({ name }) => !failed.has(name));
        if (hasOther) continue;
        failed.clear();
        const delayMs = tries.nextDelayMs();
        if (delayMs >= tries.remainingMs()) throw error;
        await pause(clock, delayMs, context.signal);
      }
    }
  }

  /** The leader knows of an event first. @throws JarvisError unavailable */
  #next(failed: ReadonlySet<string>): Member {
    const { leaders, anyMember } = this.#options;
    const { leader } = leaders.leadership();
    if (leader !== null && !failed.has(leader.name)) return leader;
    const next = anyMember.inOrder().find(({ name }) => !failed.has(name));
    if (next === undefined) throw new JarvisError('unavailable', 'no member of the cluster is known');
    return next;
  }

  /** One that says nothing for long is given up: its node may be stopped, with its connections open. */
  async *#piecesOf(
    { name, address }: Member,
    request: EventsRequest,
    context: CallContext,
  ): AsyncGenerator<EventsPiece, void> {
    const { remotes, clock } = this.#options;
    const silence = new AbortController();
    const signal = AbortSignal.any([context.signal, silence.signal]);
    const pieces = remotes.events(address, request, { ...context, signal })[Symbol.asyncIterator]();
    let patienceMs: number = limits.staleReadTryMs;
    try {
      for (;;) {
        const cancel = clock.after(patienceMs, () =>
          silence.abort(new JarvisError('timeout', `${name} says nothing of events`)),
        );
        let next: IteratorResult<EventsPiece>;
        try {
          next = await pieces.next();
        } finally {
          cancel();
        }
        if (next.done === true) return;
        yield next.value;
        patienceMs = limits.eventSilenceMs;
      }
    } finally {
      await pieces.return?.();
    }
  }
}
