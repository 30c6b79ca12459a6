/**
 * The watchdog: a small process beside the daemon, and the parent of process attempts. It outlives a daemon that is
 * killed, stopped or restarted, records exits on disk, and keeps the output of tasks in bounded files. One per data
 * directory; the daemon starts it, and it leaves by itself when there is nothing left to watch.
 *
 * It shares a machine with the tasks of every node, so it imports little: node's own modules and a few files.
 */
import { fstatSync, mkdirSync, openSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { invariant } from '../../lib/assert.ts';
import { messageOf } from '../../lib/errors.ts';
import { bootTimeMs } from '../../lib/boot-time.ts';
import { lockFile } from '../../lib/file-lock.ts';
import type { AttemptTools } from './attempt.ts';
import { Attempt, parseProcessRecord } from './attempt.ts';
import { AttemptTable } from './attempt-table.ts';
import { findContainment } from './cgroup-containment.ts';
import type { Diagnose } from './diagnostics.ts';
import { diagnosticsTo } from './diagnostics.ts';
import { parseWatchdogOptions, type WatchdogOptions } from './options.ts';
import { findProcessGroups } from '../cgroups/process-groups.ts';
import { GuardStore } from './guard-store.ts';
import { Guards } from './guards.ts';
import { closeInherited } from './inherited.ts';
import { Lease, leaseFile } from './lease.ts';
import { WATCHDOG_LIMITS } from './limits.ts';
import { lockText } from './lock-holder.ts';
import { OutputCounters } from './output-counters.ts';
import { DIAGNOSTICS_FILE, LOCK_FILE, socketAddress, watchdogDirectory } from './paths.ts';
import { PipePool } from './pipes.ts';
import { readBootId } from './processes.ts';
import { RecordStore } from './record-store.ts';
import { WatchdogServer } from './server.ts';
import { Timer } from './timer.ts';

class Watchdog {
  readonly #options: WatchdogOptions;
  readonly #diagnose: Diagnose;
  readonly #directory: string;
  readonly #idle = new Timer();
  #table: AttemptTable<Attempt> | null = null;
  #server: WatchdogServer | null = null;
  #guards: Guards | null = null;
  #shuttingDown = false;
  #exiting = false;

  constructor(options: WatchdogOptions, diagnose: Diagnose) {
    this.#options = options;
    this.#diagnose = diagnose;
    this.#directory = watchdogDirectory(options.dataDirectory);
  }

  async run(): Promise<void> {
    const store = new RecordStore(this.#directory, parseProcessRecord);
    const stored = await store.load();
    const bootId = readBootId();
    const groups = findProcessGroups();
    const containment = findContainment(this.#options, groups, this.#diagnose);
    const lease = await Lease.open({
      file: leaseFile(this.#directory),
      bootId,
      nowMs: bootTimeMs,
      after: afterUnref,
      onOver: () => this.#endLeased(),
    });
    const guards = await Guards.open({
      store: new GuardStore(this.#directory),
      bootId,
      groups,
      lease,
      delay,
      diagnose: this.#diagnose,
      onChange: () => this.#review(),
    });
    this.#guards = guards;
    const output = new OutputCounters();
    const tools: AttemptTools = {
      dataDirectory: this.#options.dataDirectory,
      bootId,
      mayExecute: (spec) => lease.permits(spec),
      store,
      containment,
      pipes: new PipePool(join(this.#directory, 'fifos'), this.#diagnose),
      logLimits: this.#options.logLimits,
      output,
      diagnose: this.#diagnose,
      emit: (event) => this.#server?.broadcast(event),
    };
    const table = new AttemptTable({
      store,
      start: (spec) => Attempt.start(spec, tools),
      onEnded: () => this.#review(),
    });
    this.#table = table;
    this.#server = new WatchdogServer({
      table,
      session: stored.session,
      lease,
      guards,
      output,
      saveSession: (session) => store.writeSession(session),
      diagnose: this.#diagnose,
      onConnections: () => this.#review(),
      onShutdown: (killAll) => this.#shutDown(killAll),
    });
    for (const record of stored.records) table.adopt(Attempt.recover(record, tools));
    for (const key of stored.unreadable) {
      this.#diagnose('the record of an attempt does not read', { ...key });
      table.adopt(Attempt.recoverUnreadable(key, tools));
    }
    const known = [
      ...stored.records.map(({ cgroup }) => cgroup),
      ...stored.unreadable.map((key) => containment.groupOf(key)),
    ];
    void containment.destroyOthers(new Set(known));
    process.on('SIGTERM', () => this.#shutDown(false));
    // Of a terminal that is no longer there, or of a daemon's: not for the watchdog.
    process.on('SIGINT', () => {});
    process.on('SIGHUP', () => {});
    const descriptor = openSync(this.#directory, 'r');
    this.#watchDirectory(descriptor);
    await this.#server.listen(socketAddress(descriptor));
    this.#diagnose('watching', { session: stored.session, attempts: stored.records.length });
    this.#review();
  }

  /** What runs within the lease has had its time. */
  #endLeased(): void {
    for (const attempt of this.#table?.all() ?? []) if (attempt.view.isLeased) attempt.loseLease();
    this.#guards?.endLeased();
  }

  /**
   * Where the data directory was lost, another daemon may stand there under the same name, with a watchdog of its own:
   * what this one watches is nobody's any more, and nothing of it may run on.
   */
  #watchDirectory(descriptor: number): void {
    const opened = fstatSync(descriptor);
    const timer = setInterval(() => {
      const there = statSync(this.#directory, { throwIfNoEntry: false });
      if (there?.ino === opened.ino && there.dev === opened.dev) return;
      clearInterval(timer);
      void this.#abandon();
    }, WATCHDOG_LIMITS.leaseLookMs);
    timer.unref();
  }

  async #abandon(): Promise<void> {
    this.#diagnose('the directory is gone: everything is ended');
    this.#shutDown(true);
    await this.#guards?.abandon();
    this.#review();
  }

  #shutDown(killAll: boolean): void {
    this.#shuttingDown = true;
    this.#table?.close();
    if (killAll) this.#table?.stopAll(0);
    // The answer to this request goes out first.
    setImmediate(() => this.#review());
  }

  /** Whether there is a reason to stay. */
  #review(): void {
    if (this.#table === null || this.#server === null || this.#exiting) return;
    const isWatching = this.#table.active > 0 || (this.#guards?.count ?? 0) > 0;
    const needed = isWatching || (this.#server.connections > 0 && !this.#shuttingDown);
    this.#idle.clear();
    if (!needed)
      this.#idle.startNoLater(this.#shuttingDown ? 0 : this.#options.idleExitMs, () => void this.#exit());
  }

  async #exit(): Promise<void> {
    this.#exiting = true;
    this.#diagnose('nothing left to watch');
    await this.#server?.close();
    process.exit(0);
  }
}

function afterUnref(delayMs: number, callback: () => void): () => void {
  const timer = setTimeout(callback, delayMs);
  timer.unref();
  return () => clearTimeout(timer);
}

function main(): void {
  closeInherited();
  // The usual one, for the tasks; what is written here says its mode itself.
  process.umask(0o022);
  const { values } = parseArgs({ options: { options: { type: 'string' } } });
  invariant(values.options !== undefined, 'the daemon passes --options');
  const options = parseWatchdogOptions(values.options);
  const directory = watchdogDirectory(options.dataDirectory);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const diagnose = diagnosticsTo(join(directory, DIAGNOSTICS_FILE));
  // Two that were started at once: one stays.
  const lock = lockFile(join(directory, LOCK_FILE));
  if (lock === null) return;
  lock.write(lockText());
  const fail = (error: unknown): void => {
    diagnose('the watchdog failed', { error: error instanceof Error ? error.stack : messageOf(error) });
    process.exit(1);
  };
  process.on('uncaughtException', fail);
  process.on('unhandledRejection', fail);
  new Watchdog(options, diagnose).run().catch(fail);
}

main();
