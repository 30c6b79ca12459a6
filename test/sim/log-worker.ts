/** The writer of one process's log: the production log, with a disk whose writes take virtual time and can fail. */
import type { Wal } from '../../src/raft/wal/wal.ts';
import type { Chance } from './chance.ts';
import type { Disk } from './disk.ts';
import type { LogJob } from './durable-log.ts';

/** Group commit, as long as the disk is busy with what is before. */
const JOBS_AT_ONCE = 12;

interface LogWorkerOptions {
  readonly wal: Wal;
  readonly disk: Disk;
  readonly chance: Chance;
  /** Of one write and its sync. */
  readonly latencyMs: () => number;
  /** Runs later in the same process, if that lives. */
  readonly later: (delayMs: number, action: () => void | Promise<void>) => void;
  readonly failed: () => void;
}

export class LogWorker {
  readonly #options: LogWorkerOptions;
  #queued: LogJob[] = [];
  #writing: readonly LogJob[] = [];

  constructor(options: LogWorkerOptions) {
    this.#options = options;
  }

  get isBusy(): boolean {
    return this.#writing.length > 0;
  }

  post(job: LogJob): void {
    this.#queued.push(job);
    this.#begin();
  }

  /**
   * The process ends here, with the write that is under way at any of its steps.
   * @returns what may have been written, wholly or not at all
   */
  async abandon(): Promise<readonly LogJob[]> {
    const jobs = this.#writing;
    this.#queued = [];
    this.#writing = [];
    const { files } = this.#options.disk;
    if (jobs.length > 0) {
      let remaining = this.#options.chance.whole(6);
      files.onOperation = () => {
        remaining -= 1;
        if (remaining < 0) throw Object.assign(new Error('the process has ended'), { code: 'EIO' });
      };
      await this.#hand(jobs);
    }
    files.onOperation = () => {};
    return jobs;
  }

  /**
   * The write under way fails, and what is not synced may be lost. What it acknowledges nevertheless is held against it when
   * the log is read again.
   */
  async fail(code: 'ENOSPC' | 'EIO'): Promise<void> {
    const jobs = this.#writing;
    const { files } = this.#options.disk;
    files.onOperation = (operation) => {
      if (operation !== (code === 'ENOSPC' ? 'write' : 'syncData')) return;
      if (code === 'EIO') files.loseUnsynced();
      throw Object.assign(new Error('the disk failed'), { code });
    };
    const isWritten = await this.#hand(jobs);
    files.onOperation = () => {};
    if (isWritten) this.#written(jobs);
  }

  #begin(): void {
    if (this.isBusy || this.#queued.length === 0) return;
    this.#writing = this.#queued.splice(0, JOBS_AT_ONCE);
    this.#options.later(this.#options.latencyMs(), () => this.#write());
  }

  async #write(): Promise<void> {
    const jobs = this.#writing;
    const isWritten = await this.#hand(jobs);
    if (!isWritten) {
      this.#options.failed();
      return;
    }
    // What failed above this has ended the process meanwhile.
    if (this.#writing !== jobs) return;
    this.#written(jobs);
  }

  #written(jobs: readonly LogJob[]): void {
    const { disk, later, chance } = this.#options;
    this.#writing = [];
    for (const job of jobs) disk.log.apply(job);
    // The thread's word takes a moment, and sometimes the event loop is held.
    later(chance.happens(0.05) ? chance.between(0, 40) : 0.05, async () => {
      for (const job of jobs) {
        if (job.type === 'append') job.done();
        else await job.done();
      }
    });
    this.#begin();
  }

  /** All in one turn, so that they are one batch of the log. */
  async #hand(jobs: readonly LogJob[]): Promise<boolean> {
    const { wal } = this.#options;
    const results = await Promise.allSettled(
      jobs.map((job) => (job.type === 'append' ? wal.append(job) : wal.compact(job.meta))),
    );
    return results.every(({ status }) => status === 'fulfilled');
  }
}
