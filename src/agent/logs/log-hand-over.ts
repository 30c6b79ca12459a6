/**
 * Hands the output of attempts that are over to another node, before this one leaves: the newest first, attempt by attempt,
 * to the node with the most room for it; then has the cluster take down who has it. What could not be sent in time is
 * what is lost with this node; nothing is removed here.
 */
import type { LogPiece } from '../../generated/log_hand_over.ts';
import { Backoff, pause } from '../../lib/backoff.ts';
import { ByteRate } from '../../lib/byte-rate.ts';
import type { Clock } from '../../lib/clock.ts';
import { isErrno } from '../../lib/errno.ts';
import { JarvisError, messageOf } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { Heap } from '../../scheduler/core/heap.ts';
import type { KeptAttempt } from './attempt-directories.ts';
import { keptAttempts } from './attempt-directories.ts';
import { LOG_LIMITS } from './limits.ts';
import { hasLog, piecesOf } from './log-pieces.ts';

/** A node that may take them. */
export interface Candidate {
  readonly name: string;
  readonly address: string;
}

/** How the other nodes are reached. Failures are JarvisErrors. */
export interface HandOverPeers {
  /** Of the cluster, but for this node: those that take new work. */
  candidates(): readonly Candidate[];
  /** How many bytes it can take. */
  room(to: Candidate, signal: AbortSignal): Promise<number>;
  /** Resolves once the log is on its disk, or was already. @throws JarvisError too_many where it has no room */
  send(to: Candidate, pieces: AsyncIterable<LogPiece>, timeoutMs: number, signal: AbortSignal): Promise<void>;
  /** Resolves once the cluster knows that what this node kept is there. */
  record(holder: string, signal: AbortSignal): Promise<void>;
}

export interface LogHandOverOptions {
  readonly dataDirectory: string;
  readonly clusterId: string;
  readonly peers: HandOverPeers;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
}

export interface HandOverResult {
  /** Null where there was nothing to hand over, or nobody to take it. */
  readonly holder: string | null;
  /** That the holder has. */
  readonly attempts: number;
  readonly bytes: number;
  /** Attempts whose log it has not, and why the last of them; empty where it has all. */
  readonly failed: number;
  readonly reason: string;
  /** Attempts that are not over: nothing of them was sent. */
  readonly running: number;
}

/** What is on its way, for whoever shows the progress of a drain. */
export interface HandOverProgress {
  readonly holder: string;
  readonly sentAttempts: number;
  readonly attempts: number;
  readonly sentBytes: number;
  readonly bytes: number;
}

interface Found {
  /** The newest first. */
  readonly attempts: readonly KeptAttempt[];
  readonly running: number;
  /** Older ones than are handed over at all. */
  readonly tooMany: number;
}

export class LogHandOver {
  readonly #options: LogHandOverOptions;
  readonly #rate: ByteRate;
  #running: Promise<HandOverResult> | null = null;
  #progress: HandOverProgress | null = null;

  constructor(options: LogHandOverOptions) {
    this.#options = options;
    this.#rate = new ByteRate({
      clock: options.clock,
      bytesPerSecond: LOG_LIMITS.handOverBytesPerSecond,
      burstBytes: LOG_LIMITS.chunkBytes * LOG_LIMITS.sentAtOnce,
    });
  }

  /** Null while nothing is being sent. */
  get progress(): HandOverProgress | null {
    return this.#progress;
  }

  /**
   * Hands over what is there now, within `LOG_LIMITS.handOverMs` and the signal; what was not sent by then stands in the
   * result. Called again while it runs, it answers with the same result. To be called once nothing runs here any more.
   * @param told who may take them, as whoever asks sees it; empty: as this node sees it
   * @throws only what is wrong with this node's own disk
   */
  async run(signal: AbortSignal, told: readonly Candidate[] = []): Promise<HandOverResult> {
    this.#running ??= this.#run(
      AbortSignal.any([signal, AbortSignal.timeout(LOG_LIMITS.handOverMs)]),
      told,
    ).finally(() => {
      this.#running = null;
      this.#progress = null;
    });
    return await this.#running;
  }

  async #run(signal: AbortSignal, told: readonly Candidate[]): Promise<HandOverResult> {
    const { log } = this.#options;
    const found = await this.#find();
    const none = { holder: null, attempts: 0, bytes: 0, failed: found.attempts.length + found.tooMany };
    let result: HandOverResult = { ...none, reason: '', running: found.running };
    if (found.attempts.length === 0) return result;
    const tried = new Set<string>();
    for (let tries = 0; tries < LOG_LIMITS.holdersTried && !signal.aborted; tries += 1) {
      const holder = await this.#choose({ tried, told }, signal);
      if (holder === null) {
        if (result.reason === '') result = { ...result, reason: 'no other node can take them' };
        break;
      }
      tried.add(holder.name);
      const sent = await this.#sendAll(holder, found, signal);
      if (sent.attempts > result.attempts) result = sent;
      else if (result.attempts === 0) result = { ...result, reason: sent.reason };
      if (!sent.isLost) break;
    }
    if (result.holder !== null) result = await this.#record(result, result.holder, signal);
    log.info(
      { ...result },
      result.failed === 0 ? 'logs of tasks were handed over' : 'not all logs of tasks were handed over',
    );
    return result;
  }

  async #find(): Promise<Found> {
    /** The oldest on top. */
    const newest = new Heap<KeptAttempt>((a, b) => a.endedAtMs - b.endedAtMs);
    let running = 0;
    let tooMany = 0;
    for await (const attempt of keptAttempts(this.#options.dataDirectory)) {
      if (!attempt.isOver) running += 1;
      else newest.push(attempt);
      if (newest.size <= LOG_LIMITS.handedAttempts) continue;
      newest.pop();
      tooMany += 1;
    }
    const attempts: KeptAttempt[] = [];
    for (let next = newest.pop(); next !== undefined; next = newest.pop()) attempts.push(next);
    return { attempts: attempts.toReversed(), running, tooMany };
  }

  /** The one with the most room, of those that answer. */
  async #choose(
    { tried, told }: { readonly tried: ReadonlySet<string>; readonly told: readonly Candidate[] },
    signal: AbortSignal,
  ): Promise<Candidate | null> {
    const { peers, log } = this.#options;
    const candidates = (told.length > 0 ? told : peers.candidates()).filter(({ name }) => !tried.has(name));
    const rooms = await Promise.all(
      candidates.slice(0, LOG_LIMITS.askedNodes).map(async (candidate) => {
        try {
          return { candidate, bytes: await peers.room(candidate, signal) };
        } catch (error) {
          log.info(
            { to: candidate.name, error: messageOf(error) },
            'a node did not say how many logs it can take',
          );
          return { candidate, bytes: 0 };
        }
      }),
    );
    const [best] = rooms.filter(({ bytes }) => bytes > 0).toSorted((a, b) => b.bytes - a.bytes);
    return best?.candidate ?? null;
  }

  /** `isLost`: the holder does not answer any more, and another may do better. */
  async #sendAll(
    holder: Candidate,
    { attempts, running, tooMany }: Found,
    signal: AbortSignal,
  ): Promise<HandOverResult & { readonly isLost: boolean }> {
    const bytes = attempts.reduce((sum, attempt) => sum + attempt.bytes, 0);
    let progress = { holder: holder.name, sentAttempts: 0, attempts: attempts.length, sentBytes: 0, bytes };
    this.#progress = progress;
    const waiting = attempts.values();
    const over = new AbortController();
    const stop = AbortSignal.any([signal, over.signal]);
    let gone = 0;
    let lastFailure: JarvisError | null = null;
    const sendSome = async (): Promise<void> => {
      for (const attempt of waiting) {
        if (stop.aborted) return;
        try {
          if (!(await this.#send(holder, attempt, stop))) {
            gone += 1;
            continue;
          }
          const { sentAttempts, sentBytes } = progress;
          progress = { ...progress, sentAttempts: sentAttempts + 1, sentBytes: sentBytes + attempt.bytes };
          this.#progress = progress;
        } catch (error) {
          if (!(error instanceof JarvisError)) throw error;
          lastFailure ??= error;
          // What has no room has none for the others either, but they may be smaller.
          if (error.code !== 'too_many') over.abort();
        }
      }
    };
    await Promise.all(Array.from({ length: LOG_LIMITS.sentAtOnce }, sendSome));
    const { sentAttempts, sentBytes } = progress;
    const failure = lastFailure as JarvisError | null;
    const failed = attempts.length - sentAttempts - gone + tooMany;
    return {
      holder: sentAttempts === 0 ? null : holder.name,
      attempts: sentAttempts,
      bytes: sentBytes,
      failed,
      reason:
        failed === 0
          ? ''
          : (failure?.message ?? (signal.aborted ? 'the time for it is over' : 'there are too many')),
      running,
      isLost: failure !== null && failure.code !== 'too_many' && !signal.aborted,
    };
  }

  /** @returns false where retention has removed it meanwhile. @throws JarvisError */
  async #send(to: Candidate, attempt: KeptAttempt, signal: AbortSignal): Promise<boolean> {
    const { peers, clock, random, clusterId } = this.#options;
    const backoff = new Backoff({ minMs: LOG_LIMITS.retryMinMs, maxMs: LOG_LIMITS.retryMaxMs, random });
    if (!(await hasLog(attempt.directory))) return false;
    const timeoutMs = LOG_LIMITS.sendLeastMs + (attempt.bytes * 1000) / LOG_LIMITS.sendLeastBytesPerSecond;
    for (let tries = 1; ; tries += 1) {
      try {
        const pieces = piecesOf(attempt, { clusterId, rate: this.#rate, signal });
        await peers.send(to, pieces, timeoutMs, signal);
        return true;
      } catch (error) {
        if (isErrno(error, 'ENOENT')) return false;
        const mayPass =
          error instanceof JarvisError && (error.code === 'unavailable' || error.code === 'timeout');
        if (!mayPass || tries === LOG_LIMITS.sendTries || signal.aborted) throw error;
      }
      await pause(clock, backoff.next(), signal);
    }
  }

  /** Again and again while there is time: without it nobody finds them. */
  async #record(result: HandOverResult, holder: string, signal: AbortSignal): Promise<HandOverResult> {
    const { peers, clock, random } = this.#options;
    const backoff = new Backoff({ minMs: LOG_LIMITS.retryMinMs, maxMs: LOG_LIMITS.retryMaxMs, random });
    let reason = 'the time for it is over';
    while (!signal.aborted) {
      try {
        await peers.record(holder, signal);
        return result;
      } catch (error) {
        reason = messageOf(error);
      }
      await pause(clock, backoff.next(), signal);
    }
    const { attempts, failed } = result;
    return {
      ...result,
      failed: failed + attempts,
      reason: `the cluster does not know that ${holder} has them: ${reason}`,
    };
  }
}
