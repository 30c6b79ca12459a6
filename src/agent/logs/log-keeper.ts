/**
 * Retention of the output that this node keeps: what is older than `logs` goes, and of the rest the oldest until all of it
 * takes no more than `max_log_bytes`. Never what belongs to an attempt that may run. Goes by what is on disk, not by the
 * records of tasks: either may be gone first. Also clears away the working directories of attempts that are over.
 */
import { readFile, rm, rmdir } from 'node:fs/promises';
import path from 'node:path';

import { pause } from '../../lib/backoff.ts';
import type { Clock } from '../../lib/clock.ts';
import { isErrno } from '../../lib/errno.ts';
import { messageOf } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { RepeatedLines } from '../../lib/repeated-lines.ts';
import { formatDurationMs, formatMemoryBytes } from '../../lib/quantities.ts';
import { formatTime } from '../../lib/times.ts';
import type { LogRetention } from '../../model/cluster.ts';
import { Heap } from '../../scheduler/core/heap.ts';
import { writeAside } from '../watchdog/record-store.ts';
import type { KeptAttempt } from './attempt-directories.ts';
import { keptAttempts } from './attempt-directories.ts';
import { LOG_LIMITS } from './limits.ts';
import { parseRemovals, RemovedLogs } from './removed-logs.ts';

export interface LogKeeperOptions {
  readonly dataDirectory: string;
  /** Null while it is not known: then nothing is removed. */
  readonly retention: () => LogRetention | null;
  readonly clock: Clock;
  readonly log: Log;
}

interface Look {
  keptBytes: number;
  removed: number;
  failed: number;
  lastError: unknown;
}

export class LogKeeper {
  readonly #options: LogKeeperOptions;
  readonly #closing = new AbortController();
  readonly #complaints: RepeatedLines;
  #removed = new RemovedLogs();
  #keptBytes: number | null = null;
  #running: Promise<void> = Promise.resolve();

  constructor(options: LogKeeperOptions) {
    this.#options = options;
    const { clock } = options;
    this.#complaints = new RepeatedLines({ clock, intervalMs: LOG_LIMITS.complaintMs, kindsKept: 1 });
  }

  /** Looks now and again until {@link close}. */
  async start(): Promise<void> {
    this.#removed = await this.#readRemoved();
    this.#running = this.#run();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    // What is being removed at this moment may be a large directory: the node does not wait for the end of that.
    const over = new AbortController();
    await Promise.race([this.#running, pause(this.#options.clock, LOG_LIMITS.closeMs, over.signal)]);
    over.abort();
  }

  /** All that is kept, as of the last look; null before the first. */
  get keptBytes(): number | null {
    return this.#keptBytes;
  }

  /** Room for the logs of others, as of the last look; 0 before the first. */
  get roomBytes(): number {
    const retention = this.#options.retention();
    if (retention === null || this.#keptBytes === null) return 0;
    return Math.max(0, retention.maxLogBytes - this.#keptBytes);
  }

  /** So much came from elsewhere since. */
  took(bytes: number): void {
    if (this.#keptBytes !== null) this.#keptBytes += bytes;
  }

  /** Why a log is not here, as the end of a sentence about this node. @param endedAtMs of its attempt; null: not known */
  whyGone(endedAtMs: number | null): string {
    const retention = this.#options.retention();
    if (endedAtMs === null || retention === null) return 'which has no files of it';
    const { logsMs, maxLogBytes } = retention;
    // The end that the cluster knows of comes a little after the last output, and is told by another clock.
    const writtenAtMs = endedAtMs - LOG_LIMITS.endSlackMs;
    const roomAtMs = this.#removed.removedAtMs(writtenAtMs);
    if (roomAtMs !== null)
      return `which removed it at ${formatTime(roomAtMs)}: it keeps ${formatMemoryBytes(maxLogBytes)} of logs at most`;
    const nowMs = this.#options.clock.wallMs();
    const expiredAtMs = Math.min(endedAtMs + logsMs, nowMs);
    if (writtenAtMs + logsMs <= nowMs)
      return `which removed it at ${formatTime(expiredAtMs)}: logs are kept for ${formatDurationMs(logsMs)}`;
    return 'which has no files of it';
  }

  /** Once through all that is there, and again while there is still too much. Never throws. */
  async look(): Promise<void> {
    const beganMs = this.#options.clock.monotonicMs();
    try {
      for (;;) {
        const retention = this.#options.retention();
        const seen = retention === null ? null : await this.#pass(retention);
        if (retention === null || seen === null) return;
        this.#keptBytes = seen.keptBytes;
        this.#report(seen, beganMs);
        if (seen.keptBytes <= retention.maxLogBytes || seen.removed === 0) return;
      }
    } catch (error) {
      this.#options.log.error({ error: messageOf(error) }, 'the logs of tasks could not be looked through');
    }
  }

  async #run(): Promise<void> {
    const { clock } = this.#options;
    while (!this.#closing.signal.aborted) {
      const beganMs = clock.monotonicMs();
      await this.look();
      // A node that has just started hears of the cluster's settings soon.
      const leastMs = this.#keptBytes === null ? LOG_LIMITS.unknownPauseMs : LOG_LIMITS.lookPauseMs;
      // However much there is to look through: only a small part of the time is spent on it.
      const tookMs = clock.monotonicMs() - beganMs;
      await pause(clock, Math.max(leastMs, tookMs * LOG_LIMITS.lookRests), this.#closing.signal);
    }
  }

  /** Null where it is closed before its end: then nothing is known of how much there is. */
  async #pass(retention: LogRetention): Promise<Look | null> {
    const look: Look = { keptBytes: 0, removed: 0, failed: 0, lastError: null };
    /** The oldest of what is over, the youngest of them on top. */
    const oldest = new Heap<KeptAttempt>((a, b) => b.endedAtMs - a.endedAtMs);
    let looked = 0;
    for await (const attempt of keptAttempts(this.#options.dataDirectory)) {
      if (this.#closing.signal.aborted) return null;
      looked += 1;
      if (looked % LOG_LIMITS.lookedAtTogether === 0)
        await pause(this.#options.clock, LOG_LIMITS.lookBreathMs, this.#closing.signal);
      if (attempt.isOver) {
        if (attempt.endedAtMs + retention.logsMs <= this.#options.clock.wallMs()) {
          await this.#remove(attempt, look);
          continue;
        }
        await this.#clearUp(attempt, look);
        oldest.push(attempt);
        if (oldest.size > LOG_LIMITS.removableAttempts) oldest.pop();
      }
      look.keptBytes += attempt.bytes;
    }
    await this.#makeRoom(oldest, retention.maxLogBytes, look);
    return look;
  }

  async #makeRoom(oldest: Heap<KeptAttempt>, maxBytes: number, look: Look): Promise<void> {
    if (look.keptBytes <= maxBytes) return;
    const candidates: KeptAttempt[] = [];
    for (let next = oldest.pop(); next !== undefined; next = oldest.pop()) candidates.push(next);
    const atMs = this.#options.clock.wallMs();
    let isNew = false;
    while (look.keptBytes > maxBytes && !this.#closing.signal.aborted) {
      const attempt = candidates.pop();
      if (attempt === undefined) break;
      if (!(await this.#remove(attempt, look))) continue;
      look.keptBytes -= attempt.bytes;
      isNew = this.#removed.add({ endedUntilMs: attempt.endedAtMs, atMs }) || isNew;
    }
    if (isNew) await writeAside(this.#removedPath, JSON.stringify(this.#removed.removals), false);
  }

  /** @returns whether it has gone */
  async #remove({ directory }: KeptAttempt, look: Look): Promise<boolean> {
    try {
      await rm(directory, { recursive: true, force: true });
      look.removed += 1;
      await rmdir(path.dirname(directory));
    } catch (error) {
      // Another attempt of the task is there, or the task was begun anew in this moment.
      if (isErrno(error, 'ENOTEMPTY', 'EEXIST', 'ENOENT')) return true;
      look.failed += 1;
      look.lastError = error;
      return false;
    }
    return true;
  }

  /** What the attempt left beside its log: its result has been taken from there long ago. */
  async #clearUp({ left }: KeptAttempt, look: Look): Promise<void> {
    try {
      for (const one of left) await rm(one, { recursive: true, force: true });
    } catch (error) {
      look.failed += 1;
      look.lastError = error;
    }
  }

  #report({ removed, failed, keptBytes, lastError }: Look, beganMs: number): void {
    const { log, clock } = this.#options;
    const fields = { removed, keptBytes, ms: Math.round(clock.monotonicMs() - beganMs) };
    // It is tried again with every look, and may never work: files of another user's.
    if (failed > 0)
      this.#complaints.write('removal', () =>
        log.warn(
          { ...fields, failed, error: messageOf(lastError) },
          'what tasks left could not all be removed',
        ),
      );
    else if (removed > 0) log.debug(fields, 'removed logs of tasks');
  }

  get #removedPath(): string {
    return path.join(this.#options.dataDirectory, 'logs-removed.json');
  }

  async #readRemoved(): Promise<RemovedLogs> {
    try {
      const removals = parseRemovals(JSON.parse(await readFile(this.#removedPath, 'utf8')));
      if (removals !== null) return new RemovedLogs(removals);
      this.#options.log.warn({ path: this.#removedPath }, 'what it says of removed logs does not read');
    } catch (error) {
      if (!isErrno(error, 'ENOENT'))
        this.#options.log.warn(
          { path: this.#removedPath, error: messageOf(error) },
          'what it says of removed logs does not read',
        );
    }
    return new RemovedLogs();
  }
}
