/** What a host has on disk of its attempts; it outlives processes and reboots. What is written is there, for the power does not fail here. */
import type { AttemptKey, AttemptView } from '../../../src/agent/drivers/driver.ts';
import type { GuardRecord } from '../../../src/agent/watchdog/guard-store.ts';
import { attemptName } from '../../../src/agent/watchdog/paths.ts';
import type { AttemptReport } from '../../../src/model/commands.ts';
import type { Chance } from '../chance.ts';
import type { SimulatedProcess } from './process.ts';

export interface StoredAttempt {
  readonly view: AttemptView;
  readonly bootId: string;
  readonly cgroup: string | null;
  readonly isStartSent: boolean;
}

/** Of the watchdog, and of the docker driver: as a RecordStore has it. */
export class StoredAttempts {
  session = 0;
  readonly records = new Map<string, StoredAttempt>();
  readonly tombstones = new Map<string, number>();

  copy(): StoredAttempts {
    const copy = new StoredAttempts();
    copy.session = this.session;
    for (const [name, record] of this.records) copy.records.set(name, record);
    for (const [taskId, assignment] of this.tombstones) copy.tombstones.set(taskId, assignment);
    return copy;
  }
}

export class HostFiles {
  watchdog = new StoredAttempts();
  docker = new StoredAttempts();
  lease: string | null = null;
  guards = new Map<string, GuardRecord>();
  reports = new Map<string, AttemptReport>();

  copy(): HostFiles {
    const copy = new HostFiles();
    copy.watchdog = this.watchdog.copy();
    copy.docker = this.docker.copy();
    copy.lease = this.lease;
    copy.guards = new Map(this.guards);
    copy.reports = new Map(this.reports);
    return copy;
  }
}

/** The files of one owner, as one process reaches them: what it writes is there after a while, if it still runs then. */
export class AttemptFiles {
  readonly #stored: StoredAttempts;
  readonly #process: SimulatedProcess;
  readonly #chance: Chance;
  /** In force before they are on disk. */
  readonly #tombstones: Map<string, number>;

  constructor(stored: StoredAttempts, process: SimulatedProcess, chance: Chance) {
    this.#stored = stored;
    this.#process = process;
    this.#chance = chance;
    this.#tombstones = new Map(stored.tombstones);
  }

  tombstoneOf(taskId: string): number {
    return this.#tombstones.get(taskId) ?? -1;
  }

  async addTombstone({ taskId, assignment }: AttemptKey): Promise<void> {
    if (this.tombstoneOf(taskId) < assignment) this.#tombstones.set(taskId, assignment);
    await this.write();
    this.#stored.tombstones.set(taskId, this.tombstoneOf(taskId));
  }

  async writeRecord(record: StoredAttempt): Promise<void> {
    await this.write();
    this.#stored.records.set(attemptName(record.view), record);
  }

  async removeRecord(key: AttemptKey): Promise<void> {
    await this.write();
    this.#stored.records.delete(attemptName(key));
  }

  async writeSession(session: number): Promise<void> {
    await this.write();
    this.#stored.session = session;
  }

  write(): Promise<void> {
    return writing(this.#process, this.#chance);
  }
}

export function writing(process: SimulatedProcess, chance: Chance): Promise<void> {
  return process.pass(chance.happens(0.03) ? chance.between(10, 200) : chance.between(0.2, 3));
}
