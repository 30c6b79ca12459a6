/**
 * Wrong tokens, by the address that they come from: after some of them it has to wait, each time twice as long. What is
 * being looked at counts as if it were wrong, so that many at once are no way around that.
 */
import { networkOf } from '../lib/address.ts';
import { invariant } from '../lib/assert.ts';
import type { Clock } from '../lib/clock.ts';
import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';

export interface Attempt {
  /** Once: what has become of it; `unknown` where nobody could say. */
  end(result: 'right' | 'wrong' | 'unknown'): void;
}

interface Record {
  wrong: number;
  pending: number;
  /** Monotonic, as are the others. */
  blockedUntilMs: number;
  changedMs: number;
}

/** Whoever invents ever new addresses shares one record with the others. */
const OTHERS = 'others';

export class AttemptLimit {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #records = new Map<string, Record>();

  constructor(clock: Pick<Clock, 'monotonicMs'>) {
    this.#clock = clock;
  }

  /**
   * Counted from now on.
   * @param address of the caller; all of an IPv6 network of 64 bits are one
   * @throws JarvisError too_many, with the time after which it may be tried again
   */
  begin(address: string, { isForwarded }: { readonly isForwarded: boolean }): Attempt {
    const nowMs = this.#clock.monotonicMs();
    const allowed = isForwarded ? limits.wrongTokensForwarded : limits.wrongTokens;
    const key = `${isForwarded ? 'forwarded ' : ''}${networkOf(address)}`;
    const record = this.#record(key, nowMs);
    if (record.blockedUntilMs > nowMs) throw refused(record.blockedUntilMs - nowMs);
    if (record.pending >= Math.max(1, allowed - record.wrong)) throw refused(limits.wrongTokenLeastMs);
    record.pending += 1;
    let isOver = false;
    return {
      end: (result) => {
        invariant(!isOver, 'an attempt ends once');
        isOver = true;
        record.pending -= 1;
        if (result === 'wrong') this.#wrong(record, allowed);
      },
    };
  }

  #wrong(record: Record, allowed: number): void {
    const nowMs = this.#clock.monotonicMs();
    record.wrong += 1;
    record.changedMs = nowMs;
    const beyond = record.wrong - allowed;
    if (beyond < 0) return;
    const waitMs = Math.min(limits.wrongTokenLeastMs * 2 ** Math.min(beyond, 30), limits.wrongTokenMostMs);
    record.blockedUntilMs = nowMs + waitMs;
  }

  #record(key: string, nowMs: number): Record {
    const known = this.#records.get(key);
    if (known !== undefined && !isForgotten(known, nowMs)) return known;
    if (known === undefined && this.#records.size >= limits.wrongTokenAddresses) {
      for (const [old, record] of this.#records) if (isForgotten(record, nowMs)) this.#records.delete(old);
      if (this.#records.size >= limits.wrongTokenAddresses && key !== OTHERS) return this.#others(nowMs);
    }
    const record = { wrong: 0, pending: 0, blockedUntilMs: 0, changedMs: nowMs };
    this.#records.set(key, record);
    return record;
  }

  #others(nowMs: number): Record {
    const known = this.#records.get(OTHERS);
    if (known !== undefined && !isForgotten(known, nowMs)) return known;
    const record = { wrong: 0, pending: 0, blockedUntilMs: 0, changedMs: nowMs };
    this.#records.set(OTHERS, record);
    return record;
  }
}

function isForgotten({ wrong, pending, blockedUntilMs, changedMs }: Record, nowMs: number): boolean {
  if (pending > 0 || blockedUntilMs > nowMs) return false;
  return wrong === 0 || nowMs - changedMs >= limits.wrongTokenForgottenMs;
}

function refused(waitMs: number): JarvisError {
  const retryAfterMs = Math.ceil(waitMs);
  return new JarvisError(
    'too_many',
    `too many wrong tokens from this address: try again in ${Math.ceil(waitMs / 1000)} s`,
    { retryAfterMs },
  );
}
