/** What becomes of disks. Those that are lost for ever leave a quorum of disks that are not. */
import { allMembers } from '../../src/raft/core/quorum.ts';
import { endOfData } from '../../src/raft/wal/binary.ts';
import type { Chance } from './chance.ts';
import { emptyFiles, LOG_DIRECTORY } from './disk.ts';
import type { Machine } from './machine.ts';
import type { World } from './world.ts';

type RestartLater = (machine: Machine, leastMs: number, mostMs: number) => void;

export class NemesisDisks {
  readonly #world: World;
  readonly #chance: Chance;
  readonly #restartLater: RestartLater;

  constructor(world: World, chance: Chance, restartLater: RestartLater) {
    this.#world = world;
    this.#chance = chance;
    this.#restartLater = restartLater;
  }

  async fail(machine: Machine | undefined): Promise<void> {
    if (machine === undefined) return;
    // While nothing is being written nothing can fail: a moment later something is.
    const code = this.#chance.happens(0.5) ? 'ENOSPC' : 'EIO';
    for (let tries = 0; tries < this.#world.machines.length; tries += 1) {
      const next = this.#world.machines[(machine.slot + tries) % this.#world.machines.length];
      if (next === undefined || !(await next.failDisk(code))) continue;
      this.#restartLater(next, 100, 4000);
      return;
    }
  }

  /** One bit of what the log has on disk, at rest. */
  async flip(machine: Machine | undefined): Promise<void> {
    // It runs, and is killed, not cut off from power: the watermark is there, without which damage at the very end looks torn.
    if (machine === undefined || machine.member === null || !this.#mayLose(machine)) return;
    await machine.crash(false);
    const { files } = machine.disk;
    const names = [...files.list(LOG_DIRECTORY)].sort();
    // Often at the very end of the newest segment, where damage looks most like a torn tail.
    const isAtEnd = this.#chance.happens(0.5);
    const name = isAtEnd ? names.findLast((one) => one.endsWith('.log')) : this.#chance.pick(names);
    if (name === undefined) return;
    const bytes = files.bytes(`${LOG_DIRECTORY}/${name}`);
    const end = endOfData(bytes, 0, bytes.byteLength);
    const at = isAtEnd ? Math.max(0, end - 1 - this.#chance.whole(80)) : this.#chance.whole(bytes.byteLength);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << this.#chance.whole(8));
    machine.disk.damage = 'flipped';
    this.#restartLater(machine, 5, 200);
  }

  /** The machine comes back blank, as a stranger. */
  async loseDisk(machine: Machine | undefined): Promise<void> {
    if (machine === undefined || !this.#mayLose(machine)) return;
    await machine.crash(true);
    this.#world.newDisk(machine);
    this.#restartLater(machine, 100, 3000);
  }

  /** The identity is there, the log is not. */
  async loseLog(machine: Machine | undefined): Promise<void> {
    if (machine === undefined || !this.#mayLose(machine)) return;
    await machine.crash(false);
    const { disk } = machine;
    // Of a log that never held anything nothing is lost.
    if (disk.log.lastIndex > 0 || disk.log.hardState.term > 0) {
      disk.files.replaceDirectory(LOG_DIRECTORY, emptyFiles());
      disk.damage = 'logLost';
    }
    this.#restartLater(machine, 5, 200);
  }

  copy(machine: Machine | undefined): void {
    if (machine === undefined || machine.member === null || machine.disk.damage !== 'none') return;
    machine.copy = machine.disk.clone();
  }

  /** An older log below a newer state: seen where the state proves that the log once reached further. */
  async olderLog(machine: Machine | undefined): Promise<void> {
    if (machine?.copy === undefined || machine.copy === null || !this.#mayLose(machine)) return;
    const { disk, copy } = machine;
    if (copy.raftId !== disk.raftId || copy.log.lastIndex >= disk.newestTakenIndex) return;
    await machine.crash(false);
    disk.files.replaceDirectory(LOG_DIRECTORY, copy.files);
    disk.damage = 'olderLog';
    this.#restartLater(machine, 5, 200);
  }

  /**
   * The whole directory as it once was. Nothing in it says so; its peers know, where they have heard of a later start.
   * One that was restored before its node was started again they cannot tell: docs/simulation.md.
   */
  async restoreCopy(machine: Machine | undefined): Promise<void> {
    if (machine?.copy === undefined || machine.copy === null || !this.#mayLose(machine)) return;
    const { copy, disk } = machine;
    const { incarnation } = disk.identity;
    const isKnown = ({ disk: peer }: Machine): boolean =>
      peer.raftId === disk.raftId || (peer.peerStarts[incarnation]?.counter ?? 0) > copy.starts.counter;
    const configuration = this.#world.checks.configuration.confState;
    if (copy.raftId !== disk.raftId || !allMembers(configuration).includes(disk.raftId)) return;
    if (!this.#world.machines.every(isKnown)) return;
    await machine.crash(false);
    copy.damage = 'olderCopy';
    this.#world.restoreDisk(machine, copy);
    machine.copy = null;
    this.#restartLater(machine, 5, 200);
  }

  #mayLose(machine: Machine): boolean {
    const { damage, lie } = machine.disk;
    return machine.isHealthy && damage === 'none' && lie === null && this.#world.maySpare(machine);
  }
}
