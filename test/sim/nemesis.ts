/** What goes wrong, drawn from the seed: each run has its own selection of faults, and its own pace. */
import type { Chance } from './chance.ts';
import type { Machine } from './machine.ts';
import { NemesisLies } from './lies.ts';
import { NemesisDisks } from './nemesis-disks.ts';
import type { World } from './world.ts';

type Fault = () => void | Promise<void>;

const SHARE_OF_RUNS_WITH_CUTS = 0.6;

export class Nemesis {
  readonly #world: World;
  readonly #chance: Chance;
  readonly #pauseMs: number;
  readonly #faults: readonly (readonly [weight: number, fault: Fault])[];
  readonly #lies: NemesisLies;
  #stopped = false;

  constructor(world: World) {
    this.#world = world;
    this.#chance = world.chance.fork();
    const chance = this.#chance;
    this.#pauseMs = chance.pick([250, 600, 1500]) ?? 600;
    const disks = new NemesisDisks(world, chance, (machine, leastMs, mostMs) =>
      this.restartLater(machine, leastMs, mostMs),
    );
    const all: readonly (readonly [number, Fault])[] = [
      [6, () => this.#crash(this.#someone())],
      [3, () => this.#crash(this.#world.leader?.machine)],
      [1, () => this.#blackout()],
      [1, () => this.#rollingRestart()],
      [4, () => this.#split()],
      [4, () => this.#isolate(this.#someone())],
      [3, () => this.#isolate(this.#world.leader?.machine)],
      [5, () => this.#cutSome()],
      [4, () => this.#lossy()],
      [4, () => this.#clog()],
      [3, () => this.#pause(this.#someone())],
      [3, () => this.#pause(this.#world.leader?.machine)],
      [3, () => this.#slowDisk()],
      [4, () => this.#ambush(this.#someone())],
      [3, () => this.#annoy()],
      [3, () => this.#transfer()],
      [2, () => disks.fail(this.#someone())],
      [1, () => disks.flip(this.#someone())],
      [1, () => disks.loseDisk(this.#someone())],
      [0.3, () => disks.loseLog(this.#someone())],
      [1, () => disks.olderLog(this.#someone())],
      [2, () => disks.copy(this.#someone())],
      [2, () => disks.restoreCopy(this.#someone())],
    ];
    this.#faults = all.map(([weight, fault]) => [chance.happens(0.75) ? weight * chance.random() : 0, fault]);
    world.onRole = (member, { role }) => {
      if (!member.machine.isAmbushed || role === 'follower') return;
      if (role !== 'leader' && chance.happens(0.7)) return;
      member.machine.isAmbushed = false;
      this.#crashSoon(member.machine);
    };
    world.cutsPower = world.diskChance.happens(SHARE_OF_RUNS_WITH_CUTS);
    world.onPowerCut = (machine) => this.restartLater(machine, 5, 2000);
    this.#lies = new NemesisLies(world, (machine, leastMs, mostMs) =>
      this.restartLater(machine, leastMs, mostMs),
    );
    this.#next();
  }

  /** Nothing new goes wrong. */
  stop(): void {
    this.#lies.stop();
    this.#world.cutsPower = false;
    this.#stopped = true;
  }

  restartLater(machine: Machine, leastMs: number, mostMs: number): void {
    machine.startTicket += 1;
    const ticket = machine.startTicket;
    this.#world.time.after(this.#chance.between(leastMs, mostMs), async () => {
      if (machine.startTicket === ticket && !this.#stopped) await machine.start();
    });
  }

  #next(): void {
    this.#world.time.after(this.#chance.between(0, 2 * this.#pauseMs), async () => {
      if (this.#stopped) return;
      this.#next();
      await this.#strike();
    });
  }

  async #strike(): Promise<void> {
    const total = this.#faults.reduce((sum, [weight]) => sum + weight, 0);
    let left = this.#chance.random() * total;
    for (const [weight, fault] of this.#faults) {
      left -= weight;
      if (left >= 0) continue;
      await fault();
      return;
    }
  }

  #someone(): Machine | undefined {
    return this.#chance.pick(this.#world.machines);
  }

  async #crash(machine: Machine | undefined): Promise<void> {
    if (machine === undefined) return;
    await machine.crash(this.#chance.happens(0.5));
    if (this.#chance.happens(0.5)) this.restartLater(machine, 5, 300);
    else this.restartLater(machine, 300, 8000);
  }

  /** Its disk is slow, and it ends when it stands for election: back at once, before the others move on. */
  #ambush(machine: Machine | undefined): void {
    if (machine === undefined) return;
    machine.isAmbushed = true;
    machine.slowDiskUntilMs = this.#world.time.nowMs + 4000;
  }

  #crashSoon(machine: Machine): void {
    this.#world.time.after(this.#chance.between(0, 25), async () => {
      if (this.#stopped) return;
      machine.slowDiskUntilMs = 0;
      await machine.crash(this.#chance.happens(0.5));
      this.restartLater(machine, 1, 60);
    });
  }

  async #blackout(): Promise<void> {
    for (const machine of this.#world.machines) {
      await machine.crash(true);
      this.restartLater(machine, 10, 2000);
    }
  }

  #rollingRestart(): void {
    this.#world.machines.forEach((machine, at) => {
      this.#world.time.after(at * 700, async () => {
        if (this.#stopped) return;
        await machine.crash(false);
        this.restartLater(machine, 50, 300);
      });
    });
    this.#world.trace.count('rolling restart');
  }

  /** Two halves that cannot speak to each other. */
  #split(): void {
    const side = this.#world.machines.map(() => this.#chance.happens(0.5));
    this.#cutWhere((from, to) => side[from] !== side[to]);
    this.#world.trace.count('partition');
  }

  #isolate(machine: Machine | undefined): void {
    if (machine === undefined) return;
    const { slot } = machine;
    const kind = this.#chance.whole(3);
    this.#cutWhere((from, to) => (kind !== 1 && from === slot) || (kind !== 2 && to === slot));
    this.#world.trace.count(kind === 0 ? 'partition' : 'one-way partition');
  }

  #cutSome(): void {
    const share = this.#chance.random() * 0.5;
    this.#cutWhere(() => this.#chance.happens(share));
    this.#world.trace.count('one-way partition');
  }

  #cutWhere(isCut: (from: number, to: number) => boolean): void {
    const { network, machines, time, trace } = this.#world;
    trace.note(time.nowMs, 'links are cut');
    const links = machines.flatMap(({ slot: from }) =>
      machines
        .filter(({ slot: to }) => to !== from && isCut(from, to))
        .map(({ slot: to }) => network.link(from, to)),
    );
    for (const link of links) link.isCut = true;
    time.after(this.#chance.between(50, this.#chance.happens(0.3) ? 15_000 : 3000), () => {
      for (const link of links) link.isCut = false;
    });
  }

  #lossy(): void {
    const { network, machines, time } = this.#world;
    const loss = this.#chance.pick([0.02, 0.1, 0.4]) ?? 0.1;
    const links = machines.flatMap(({ slot: from }) =>
      machines.map(({ slot: to }) => network.link(from, to)),
    );
    for (const link of links) if (this.#chance.happens(0.5)) link.loss = loss;
    time.after(this.#chance.between(500, 6000), () => {
      for (const link of links) link.loss = 0;
    });
  }

  #clog(): void {
    const { network, machines, time, trace } = this.#world;
    const untilMs = time.nowMs + this.#chance.between(100, 3000);
    for (const { slot: from } of machines) {
      for (const { slot: to } of machines) {
        if (from !== to && this.#chance.happens(0.15)) network.link(from, to).cloggedUntilMs = untilMs;
      }
    }
    trace.count('link clogged');
  }

  #pause(machine: Machine | undefined): void {
    const member = machine?.member;
    if (member === undefined || member === null || member.isPaused) return;
    const { time, trace } = this.#world;
    const wasLeading = member.isLeading;
    member.isPaused = true;
    trace.note(time.nowMs, 'pause', member.id);
    time.after(this.#chance.between(50, 5000), () => {
      if (wasLeading && this.#world.leader !== undefined && this.#world.leader !== member)
        trace.count('leader paused and deposed');
      member.resume();
    });
  }

  #slowDisk(): void {
    const machine = this.#someone();
    if (machine !== undefined)
      machine.slowDiskUntilMs = this.#world.time.nowMs + this.#chance.between(500, 5000);
  }

  /** What a transport reports, rightly or not. */
  #annoy(): void {
    const member = this.#someone()?.member;
    if (member === undefined || member === null || member.isPaused) return;
    const { core } = member;
    const other = this.#someone()?.disk.raftId ?? 0;
    const choice = this.#chance.whole(4);
    member.input(() => {
      if (choice === 0) core.leaderStreamReset(core.status().leader);
      else if (choice === 1) core.reportUnreachable(other);
      else if (choice === 2) core.campaign();
      else core.forgetLeader();
    });
  }

  #transfer(): void {
    const { leader } = this.#world;
    const to = this.#someone()?.disk.raftId ?? 0;
    if (leader !== undefined && !leader.isPaused) leader.input(() => leader.core.transferLeadership(to));
  }
}
