/**
 * A node without a copy of the state asks whoever has one, one member after the other: first whoever answered last, and to begin
 * with not all nodes the same one.
 */
import type { Clock } from '../../lib/clock.ts';
import { JarvisError } from '../../lib/errors.ts';
import { limits } from '../../lib/limits.ts';
import type { Member, Members } from '../node-port.ts';
import { pause, throwIfAborted } from '../waiting.ts';

const MAX_RETRY_MS = 500;

export interface Bounds {
  /** For one member. */
  readonly tryMs: number;
  /** For all of them, over and over. */
  readonly inAllMs: number;
}

export class AnyMember {
  readonly #members: Members;
  readonly #clock: Clock;
  /** The name of whoever is asked first. */
  #first: string | null = null;

  constructor(members: Members, clock: Clock) {
    this.#members = members;
    this.#clock = clock;
  }

  /** All of them, in the order in which they are to be asked. */
  inOrder(): readonly Member[] {
    const members = this.#members.members();
    const known = members.findIndex(({ name }) => name === this.#first);
    const at = known === -1 ? numberOf(this.#members.nodeName) % Math.max(1, members.length) : known;
    return [...members.slice(at), ...members.slice(0, at)];
  }

  /**
   * @param question its signal is aborted when it has taken too long; what comes of it in time may go on to use it
   * @param isAnswer errors that are what the member has to say, and no reason to ask the next one
   * @throws JarvisError the last one's where nobody has an answer in time
   */
  async ask<T>(
    signal: AbortSignal,
    { tryMs, inAllMs }: Bounds,
    question: (member: Member, signal: AbortSignal) => Promise<T>,
    isAnswer: (error: unknown) => boolean,
  ): Promise<T> {
    const giveUpMs = this.#clock.monotonicMs() + inAllMs;
    const leftMs = (): number => giveUpMs - this.#clock.monotonicMs();
    let last: unknown = new JarvisError('unavailable', 'no member of the cluster is known');
    let delayMs: number = limits.routeRetryMs;
    for (;;) {
      for (const member of this.inOrder()) {
        throwIfAborted(signal);
        if (leftMs() <= 0) throw last;
        try {
          const answer = await this.#try(member, Math.min(tryMs, leftMs()), signal, question);
          this.#first = member.name;
          return answer;
        } catch (error) {
          if (isAnswer(error)) throw error;
          last = error;
        }
      }
      if (delayMs >= leftMs()) throw last;
      await pause(this.#clock, delayMs, signal);
      delayMs = Math.min(2 * delayMs, MAX_RETRY_MS);
    }
  }

  /** It answered, and then was gone: others are asked before it. */
  failed(member: Member): void {
    const members = this.#members.members();
    const at = members.findIndex(({ name }) => name === member.name);
    this.#first = members[(at + 1) % Math.max(1, members.length)]?.name ?? null;
  }

  async #try<T>(
    member: Member,
    tryMs: number,
    signal: AbortSignal,
    question: (member: Member, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const timeout = new AbortController();
    const error = new JarvisError('timeout', `${member.name} does not answer`);
    const cancel = this.#clock.after(tryMs, () => timeout.abort(error));
    try {
      return await question(member, AbortSignal.any([signal, timeout.signal]));
    } finally {
      cancel();
    }
  }
}

/** The same for a name each time. */
function numberOf(name: string): number {
  let sum = 0;
  for (const character of name) sum += character.codePointAt(0) ?? 0;
  return sum;
}
