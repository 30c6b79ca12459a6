/**
 * Control groups that others fill, which the watchdog ends with the lease: the parents of containers, one for each attempt
 * [PERATTEMPT]. The engine may be stopped and have a start in its queue, so it is not enough to kill what is there: the
 * group is frozen [FREEZE], what is in it killed, and frozen it stays, whatever new lease comes [HELD], until the engine
 * has confirmed that the container is gone and the daemon that asked for it no longer does [KEEPFROZEN].
 *
 *     guarded ──► over (frozen, and empty in the end) ──► released
 *         └────────────────────────────────────────────────┘
 */
import { JarvisError, messageOf } from '../../lib/errors.ts';
import type { ProcessGroups } from '../cgroups/process-groups.ts';
import type { AttemptKey } from '../drivers/driver.ts';
import type { Diagnose } from './diagnostics.ts';
import type { GuardRecord, GuardStore } from './guard-store.ts';
import type { Lease } from './lease.ts';
import { WATCHDOG_LIMITS } from './limits.ts';
import { attemptName } from './paths.ts';

export interface GuardsOptions {
  readonly store: Pick<GuardStore, 'load' | 'write' | 'remove'>;
  readonly bootId: string;
  /** Null where no group can be frozen: then nothing can be guarded. */
  readonly groups: ProcessGroups | null;
  readonly lease: Pick<Lease, 'permits'>;
  /** Between looks; keeps nothing alive. */
  readonly delay: (delayMs: number) => Promise<void>;
  readonly diagnose: Diagnose;
  /** One has come or gone. */
  readonly onChange: () => void;
}

const FIRST_PAUSE_MS = 1;

interface Guard {
  record: GuardRecord;
  /** Resolves when nothing holds the group frozen any more; null: nothing does. */
  holding: Promise<void> | null;
  /** Settles, never fails, when nothing of it is on its way to the disk. */
  written: Promise<unknown>;
  isReleased: boolean;
}

export class Guards {
  readonly #options: GuardsOptions;
  readonly #store: GuardsOptions['store'];
  readonly #guards = new Map<string, Guard>();
  /** Released in this session: a request that their release has overtaken, over an earlier connection, is too late. */
  readonly #released = new Set<string>();
  #noting: Promise<void> = Promise.resolve();

  private constructor(options: GuardsOptions) {
    this.#options = options;
    this.#store = options.store;
  }

  /** Those of an earlier boot are gone with their groups; those of an earlier watchdog go on. */
  static async open(options: GuardsOptions): Promise<Guards> {
    const { store } = options;
    const guards = new Guards(options);
    for (const record of await store.load()) {
      if (record.bootId === options.bootId) guards.#add(record);
      else await store.remove(record);
    }
    // The deadline may have passed while there was no watchdog: nobody says so again at once.
    if (!options.lease.permits({ isLeased: true })) guards.endLeased();
    return guards;
  }

  get count(): number {
    return this.#guards.size;
  }

  /**
   * Resolves once it is on disk and the group is there, so that it can be frozen before anything is in it.
   * @throws JarvisError `timeout` where the lease is over: nothing may be put into it; `conflict` where it cannot be
   * frozen, or has been released
   */
  async guard({
    taskId,
    assignment,
    cgroup,
    isLeased,
  }: AttemptKey & Pick<GuardRecord, 'cgroup' | 'isLeased'>): Promise<void> {
    const { bootId, groups, lease } = this.#options;
    if (groups === null)
      throw new JarvisError('conflict', 'control groups cannot be frozen here: nothing could be ended');
    const name = attemptName({ taskId, assignment });
    if (this.#released.has(name)) throw new JarvisError('conflict', `${name} is released`);
    const known = this.#guards.get(name);
    if (known?.record.isOver === true || !lease.permits({ isLeased }))
      throw new JarvisError('timeout', 'the lease has run out: nothing may start');
    if (known !== undefined) return;
    if (this.#guards.size >= WATCHDOG_LIMITS.maxAttempts)
      throw new JarvisError('too_many', `${WATCHDOG_LIMITS.maxAttempts} control groups are guarded already`);
    groups.prepare(cgroup);
    const record: GuardRecord = { taskId, assignment, cgroup, isLeased, bootId, isOver: false };
    const guard = this.#add(record);
    const writing = this.#store.write(record, { sync: true });
    // Whoever asked for the guard hears of a failure, below; a release only waits until nothing is written any more.
    guard.written = writing.catch(() => undefined);
    try {
      await writing;
    } catch (error) {
      // Asked again, it must be written again; but what the lease has ended meanwhile is held until it is released.
      if (guard.holding === null && !guard.isReleased) {
        this.#guards.delete(name);
        this.#options.onChange();
      }
      throw error;
    }
    if (guard.isReleased) throw new JarvisError('conflict', `${name} is released`);
  }

  /** Whether what was in it was ended, or would have been, because the lease was over. */
  isOver(key: AttemptKey): boolean {
    return this.#guards.get(attemptName(key))?.record.isOver ?? false;
  }

  /** What was ended is on record: only then may there be a new lease, which a later watchdog would find. */
  async recorded(): Promise<void> {
    await this.#noting;
  }

  /** Only requests of the session before could still ask for what was released in it, and those are refused. */
  beginSession(): void {
    this.#released.clear();
  }

  /** An attempt has one guard in its life: asked for again in this session it is refused. */
  async release(key: AttemptKey): Promise<void> {
    const name = attemptName(key);
    this.#released.add(name);
    const [oldest] = this.#released;
    // What is overtaken is overtaken by little.
    if (this.#released.size > WATCHDOG_LIMITS.maxAttempts && oldest !== undefined)
      this.#released.delete(oldest);
    const guard = this.#guards.get(name);
    if (guard === undefined) return;
    guard.isReleased = true;
    await guard.holding;
    await guard.written;
    await this.#noting;
    await this.#store.remove(guard.record);
    this.#guards.delete(name);
    this.#options.groups?.remove(guard.record.cgroup);
    this.#options.onChange();
  }

  /** The lease is over: nothing of what it held executes from now on. */
  endLeased(): void {
    for (const guard of this.#guards.values()) {
      // Of what is released the engine has nothing left; noted now, its record would outlive the release for good.
      if (!guard.record.isLeased || guard.record.isOver || guard.isReleased) continue;
      guard.record = { ...guard.record, isOver: true };
      this.#hold(guard);
      this.#noting = Promise.all([this.#noting, this.#note(guard)]).then(() => undefined);
    }
  }

  /**
   * Nobody will ever release them: ends what is in them, whatever it holds, and leaves the groups frozen. Resolves when
   * nothing is in them any more.
   */
  async abandon(): Promise<void> {
    const { groups } = this.#options;
    for (const guard of this.#guards.values()) {
      guard.record = { ...guard.record, isOver: true };
      this.#hold(guard);
    }
    for (const guard of this.#guards.values()) {
      while (groups?.isOccupied(guard.record.cgroup) === true)
        await this.#options.delay(WATCHDOG_LIMITS.heldLookMs);
      guard.isReleased = true;
    }
    this.#guards.clear();
    this.#options.onChange();
  }

  #add(record: GuardRecord): Guard {
    const guard: Guard = { record, holding: null, written: Promise.resolve(), isReleased: false };
    this.#guards.set(attemptName(record), guard);
    if (record.isOver) this.#hold(guard);
    this.#options.onChange();
    return guard;
  }

  /** So that a later watchdog still holds it, and a later daemon still learns why it ended. */
  async #note({ record }: Guard): Promise<void> {
    try {
      await this.#store.write(record, { sync: true });
    } catch (error) {
      this.#options.diagnose('a guard was not recorded', {
        cgroup: record.cgroup,
        error: messageOf(error),
      });
    }
  }

  #hold(guard: Guard): void {
    const { groups } = this.#options;
    if (groups === null || guard.holding !== null) return;
    guard.holding = this.#holdFrozen(guard, groups);
  }

  /** Again and again: what a stopped engine starts later comes into a frozen group, and dies there without a step. */
  async #holdFrozen(guard: Guard, groups: ProcessGroups): Promise<void> {
    const { cgroup } = guard.record;
    let pauseMs = FIRST_PAUSE_MS;
    while (!guard.isReleased) {
      try {
        await groups.freeze(cgroup);
        if (groups.isOccupied(cgroup)) {
          // Thaws it for a moment, with a KILL pending for all that is in it.
          await groups.kill(cgroup);
          await groups.freeze(cgroup);
          pauseMs = FIRST_PAUSE_MS;
        }
      } catch (error) {
        this.#options.diagnose('a group could not be frozen', { cgroup, error: messageOf(error) });
      }
      await this.#options.delay(pauseMs);
      pauseMs = Math.min(2 * pauseMs, WATCHDOG_LIMITS.heldLookMs);
    }
  }
}
