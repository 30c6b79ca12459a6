/**
 * Reports on their way to the leader: the newest of each attempt, in batches with a number, one batch under way at a
 * time, sent again after a reconnect until it is acknowledged. Pure.
 */
import { invariant } from '../../lib/assert.ts';
import { isAttemptOver } from '../../model/phases.ts';
import type { AttemptReport } from '../../model/commands.ts';
import type { AttemptKey } from '../drivers/driver.ts';
import { WORKER_LIMITS } from './limits.ts';

export interface ReportBatch {
  readonly number: number;
  readonly reports: readonly AttemptReport[];
}

export class ReportOutbox {
  readonly #waiting = new Map<string, AttemptReport>();
  /** Of attempts of which nothing else waits. */
  readonly #quiet = new Map<string, AttemptReport>();
  #underWay: ReportBatch | null = null;
  #number = 0;

  /** There is something to send, and nothing under way. */
  get isReady(): boolean {
    return this.#underWay === null && this.#waiting.size > 0;
  }

  /** A report of an attempt takes the place of an earlier one that has not been sent. */
  put(report: AttemptReport): void {
    const name = nameOf(report);
    const earlier = this.#waiting.get(name);
    invariant(earlier === undefined || !isAttemptOver(earlier.status), 'nothing is reported after the end');
    this.#quiet.delete(name);
    this.#waiting.set(name, report);
  }

  /**
   * The first of an attempt, that it is to start: mostly another one takes its place within milliseconds, and then it is
   * never sent, for each that is costs an entry in the log. Until {@link release} it waits for that.
   */
  putQuietly(report: AttemptReport): void {
    this.#quiet.set(nameOf(report), report);
  }

  /** What was put quietly goes out like everything else. */
  release(): void {
    for (const [name, report] of this.#quiet) this.#waiting.set(name, report);
    this.#quiet.clear();
  }

  /** The next batch to send; null while one is under way, or where there is nothing to report. */
  next(): ReportBatch | null {
    if (!this.isReady) return null;
    const reports: AttemptReport[] = [];
    let bytes = 0;
    for (const [name, report] of this.#waiting) {
      reports.push(report);
      this.#waiting.delete(name);
      bytes += reportBytes(report);
      if (reports.length >= WORKER_LIMITS.batchReports || bytes >= WORKER_LIMITS.batchBytes) break;
    }
    this.#number += 1;
    this.#underWay = { number: this.#number, reports };
    return this.#underWay;
  }

  /** What the acknowledged batch held; empty for a number that is not under way. */
  acknowledge(number: number): readonly AttemptReport[] {
    const batch = this.#underWay;
    if (batch === null || batch.number !== number) return [];
    this.#underWay = null;
    return batch.reports;
  }

  /** The stream ended: what was under way is to be sent again, unless a newer report has taken its place. */
  rewind(): void {
    const batch = this.#underWay;
    if (batch === null) return;
    this.#underWay = null;
    const newer = [...this.#waiting];
    this.#waiting.clear();
    for (const report of batch.reports) this.#waiting.set(nameOf(report), report);
    for (const [name, report] of newer) this.#waiting.set(name, report);
  }
}

export function nameOf(key: AttemptKey): string {
  return `${key.taskId}.${key.assignment}`;
}

/** Roughly what a report takes on the wire: for bounds. */
function reportBytes(report: AttemptReport): number {
  const result = report.result === null ? 0 : JSON.stringify(report.result).length;
  return (
    200 +
    report.logTail.length * 2 +
    result * 2 +
    (report.error?.message.length ?? 0) * 2 +
    report.note.length * 2
  );
}
