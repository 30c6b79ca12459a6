/**
 * Disks that acknowledge a sync and lose at a power cut what they acknowledged (docs/simulation.md, "Disks that lie"). What
 * the log can notice must be noticed. What it cannot is lost only where Raft survives that: nobody counts on this member
 * for it any more.
 */
import type { ConfState } from '../../src/raft/core/types.ts';
import type { Fate } from '../../src/raft/wal/simulated-names.test-kit.ts';
import { WATERMARK_NAME } from '../../src/raft/wal/watermark.ts';
import type { Chance } from './chance.ts';
import { LOG_DIRECTORY } from './disk.ts';
import type { DurableLog } from './durable-log.ts';
import type { Machine } from './machine.ts';
import type { World } from './world.ts';

/** What is lied about: the contents of the log's segments, the names in its directory, or all that is on the disk. */
type LieScope = 'contents' | 'names' | 'everything';

export interface Lie {
  readonly scope: LieScope;
  /** The log when it began, and the start: nothing later need be on the disk. */
  readonly log: DurableLog;
  readonly startCounter: number;
  /** Of what was acknowledged since. */
  readonly fate: Fate;
}

const SHARE_OF_RUNS = 0.4;
const SCOPES: readonly LieScope[] = ['contents', 'names', 'everything', 'everything'];
const TRIES = 40;

type RestartLater = (machine: Machine, leastMs: number, mostMs: number) => void;

export class NemesisLies {
  readonly #world: World;
  readonly #chance: Chance;
  readonly #restartLater: RestartLater;
  readonly #pauseMs: number;
  #stopped = false;

  /** All choices are its own: a run without lies is the one that it was before there were any. */
  constructor(world: World, restartLater: RestartLater) {
    this.#world = world;
    this.#chance = world.diskChance.fork();
    this.#restartLater = restartLater;
    this.#pauseMs = this.#chance.pick([1500, 4000, 10_000]) ?? 4000;
    if (this.#chance.happens(SHARE_OF_RUNS)) this.#next();
  }

  stop(): void {
    this.#stopped = true;
  }

  #next(): void {
    this.#world.time.after(this.#chance.between(0, 2 * this.#pauseMs), () => {
      if (this.#stopped) return;
      this.#next();
      this.#begin();
    });
  }

  #begin(): void {
    const { machines, trace, time } = this.#world;
    const machine = this.#chance.pick(machines);
    if (machine === undefined || machine.member === null || !machine.isHealthy) return;
    if (machines.some(({ disk }) => !disk.retired && (disk.lie !== null || disk.damage !== 'none'))) return;
    const { disk } = machine;
    const scope = this.#chance.pick(SCOPES) ?? 'everything';
    const { counter } = disk.starts;
    disk.lie = {
      scope,
      log: disk.log.copy(),
      startCounter: counter,
      fate: this.#chance.happens(0.6) ? 'none' : 'some',
    };
    disk.files.lies = (path) => isLiedAbout(scope, path);
    trace.note(time.nowMs, 'disk lies', disk.raftId, scope);
    trace.count('disk lied about its syncs');
    this.#cutLater(machine, this.#chance.between(5, 2000), TRIES);
  }

  /** At a moment when something is lost and the others can do without it, if there is one. */
  #cutLater(machine: Machine, delayMs: number, tries: number): void {
    const { disk } = machine;
    const lie = disk.lie;
    this.#world.time.after(delayMs, async () => {
      if (this.#stopped || machine.disk !== disk || disk.lie !== lie || machine.member === null) return;
      if (tries === 0) {
        disk.endLie();
        this.#world.trace.count('lying disk wrote back in time');
      } else if (
        lie !== null &&
        mayUncover(this.#world, machine, lie) &&
        disk.log.lastIndex > lie.log.lastIndex
      ) {
        await machine.crash(true);
        this.#restartLater(machine, 1, 500);
      } else this.#cutLater(machine, this.#chance.between(1, 60), tries - 1);
    });
  }
}

/** Whether the cluster survives that this disk loses what it lied about. */
export function mayUncover(world: World, machine: Machine, lie: Lie): boolean {
  return world.maySpare(machine) && (lie.scope !== 'everything' || mayForget(world, machine, lie));
}

/**
 * Whether the log may go back to what it was, and nobody notice. It votes with what is left, so every entry that it
 * acknowledged since must be on a majority without it, wherever somebody may still count; its term and vote are not to be
 * forgotten at all, nor that a configuration is in force, nor that it was started.
 */
function mayForget(world: World, { disk }: Machine, { log: before, startCounter }: Lie): boolean {
  const { checks } = world;
  const now = disk.log;
  if (disk.starts.counter !== startCounter) return false;
  if (before.hardState.term !== now.hardState.term || before.hardState.vote !== now.hardState.vote)
    return false;
  if (before.hardState.commit < checks.configuration.index) return false;
  const configurations = [...world.configurations(), ...checks.recentConfigurations];
  for (let index = before.baseIndex + 1; index <= now.lastIndex; index += 1) {
    const term = now.termAt(index) ?? checks.committed[index];
    if (term === undefined) return false;
    if (before.holds(index, term)) continue;
    const isHeld = (confState: ConfState): boolean =>
      decidesWithout(world, confState, disk.raftId, index, term);
    if (!configurations.every((confState) => isHeld(confState))) return false;
  }
  return true;
}

function decidesWithout(
  world: World,
  { voters, votersOutgoing }: ConfState,
  liar: number,
  index: number,
  term: number,
): boolean {
  return [voters, votersOutgoing].every((ids) => {
    const holding = ids.filter((id) => id !== liar && world.diskOf(id)?.log.holds(index, term) === true);
    return ids.length === 0 || holding.length * 2 > ids.length;
  });
}

/** What becomes of what is not on the disk when its power is cut; where it lies, the watermark tells unless that is lied about. */
export function fateOf({ scope, fate }: Lie, path: string): Fate {
  const isHonest = scope !== 'everything' && path === `${LOG_DIRECTORY}/${WATERMARK_NAME}`;
  return isHonest ? 'all' : fate;
}

function isLiedAbout(scope: LieScope, path: string): boolean {
  switch (scope) {
    case 'contents':
      return path.startsWith(LOG_DIRECTORY) && path.endsWith('.log');
    case 'names':
      return path === LOG_DIRECTORY;
    default:
      return true;
  }
}
