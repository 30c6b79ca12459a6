/**
 * What goes wrong on and around machines that run tasks. Daemon and watchdog are never both unable to run while a lease
 * stands: contract, section 4, leaves that out, for then nobody is left who could keep it.
 */
import type { Chance } from '../chance.ts';
import type { Machine } from '../machine.ts';
import type { Member } from '../member.ts';
import type { Host } from './host.ts';
import { Ambushes } from './ambushes.ts';
import type { Nodes } from './nodes.ts';
import type { SimulatedProcess } from './process.ts';
import type { Users } from './users.ts';

type Fault = () => void | Promise<void>;

/** A watchdog that was started so long ago has read what is on record. */
const SETTLED_MS = 150;

export class NodeNemesis {
  readonly #nodes: Nodes;
  readonly #chance: Chance;
  readonly #pauseMs: number;
  readonly #ambushes: Ambushes;
  readonly #faults: readonly (readonly [weight: number, fault: Fault])[];
  #stopped = false;

  constructor(nodes: Nodes, users: Users) {
    this.#nodes = nodes;
    this.#chance = nodes.world.nodeChance.fork();
    const chance = this.#chance;
    this.#pauseMs = chance.pick([300, 700, 1500]) ?? 700;
    this.#ambushes = new Ambushes(nodes, this);
    const whole = nodes.killsSlowly ? 0 : 1;
    const all: readonly (readonly [number, Fault])[] = [
      [4, () => this.stopDaemon(this.#host())],
      [2 * whole, () => this.#stopWatchdog(this.#host())],
      [3, () => this.#stopEngine(this.#host())],
      [2, () => this.#stopEngineAndDaemon(this.#host())],
      [3, () => this.killDaemon(this.#host())],
      [2 * whole, () => this.#killWatchdog(this.#host())],
      [4, () => this.cut(this.#host())],
      [1, () => this.#reboot(this.#host())],
      // Of tasks that wait for a machine which never comes back, only an operator's word makes an end.
      [users.waits > 0 ? 0 : 1, () => this.#replace(this.#host())],
      [3, () => this.#pauseLeader()],
      [3, () => this.#isolateLeader()],
      [1, () => this.#crash(this.#leader())],
      [1, () => this.#crash(chance.pick(this.#nodes.world.machines))],
      [2, () => this.#transfer()],
      [3, () => this.#depose()],
      // Where there are processes nobody could end them.
      [users.containers === 1 ? 2 : 0, () => this.#keepWatchdogAway(this.#host())],
    ];
    this.#faults = all.map(([weight, fault]) => [chance.happens(0.75) ? weight * chance.random() : 0, fault]);
    this.#next();
  }

  stop(): void {
    this.#stopped = true;
    this.#ambushes.stop();
  }

  #next(): void {
    this.#nodes.world.time.after(this.#chance.between(0, 2 * this.#pauseMs), async () => {
      if (this.#stopped) return;
      this.#next();
      const total = this.#faults.reduce((sum, [weight]) => sum + weight, 0);
      let left = this.#chance.random() * total;
      for (const [weight, fault] of this.#faults) {
        left -= weight;
        if (left >= 0) continue;
        await fault();
        return;
      }
    });
  }

  #host(): Host {
    return this.#chance.pick(this.#nodes.hosts) as Host;
  }

  #leader(): Machine | undefined {
    return this.#nodes.world.leader?.machine;
  }

  /** Often just short, often longer than a lease, sometimes than everything. */
  someMs(): number {
    return this.#nodes.timeoutMs * this.#chance.between(0.05, this.#chance.happens(0.6) ? 1.2 : 3);
  }

  later(delayMs: number, action: Fault): void {
    this.#nodes.world.time.after(delayMs, () => (this.#stopped ? undefined : action()));
  }

  hold(process: SimulatedProcess, holdMs = this.someMs()): void {
    const { trace, time } = this.#nodes.world;
    trace.tell(time.nowMs, 'for', Math.round(holdMs));
    process.stop(holdMs);
  }

  canWatch({ watchdog, world }: Host): boolean {
    return watchdog !== null && watchdog.process.isRunning && watchdog.bornMs + SETTLED_MS < world.time.nowMs;
  }

  stopDaemon(host: Host, holdMs?: number): void {
    const { daemon } = host;
    if (daemon === null || daemon.isStopped || !this.canWatch(host)) return;
    this.#note('stop daemon', host);
    this.#nodes.world.trace.count('daemon stopped');
    this.hold(daemon, holdMs);
  }

  #stopWatchdog(host: Host): void {
    const { daemon, watchdog } = host;
    if (daemon?.isRunning !== true || watchdog?.process.isRunning !== true) return;
    this.#note('stop watchdog', host);
    this.hold(watchdog.process);
  }

  #stopEngine({ engine, name }: Host): void {
    const { trace, time } = this.#nodes.world;
    if (engine.process.isStopped || this.#nodes.isAlone(name)) return;
    trace.tell(time.nowMs, 'stop engine', name);
    trace.count('engine stopped');
    this.hold(engine.process);
  }

  /** With whatever is on its way to the engine by then. */
  #stopEngineAndDaemon(host: Host): void {
    this.#stopEngine(host);
    const isStop = this.#chance.happens(0.6);
    this.later(this.#chance.between(0, this.#nodes.timeoutMs), () =>
      isStop ? this.stopDaemon(host) : this.killDaemon(host),
    );
  }

  killDaemon(host: Host, awayMs?: number): void {
    if (host.daemon === null || !this.canWatch(host)) return;
    this.#note('kill daemon', host);
    this.#nodes.world.trace.count('daemon killed');
    host.killDaemon();
    const usualMs = this.#chance.happens(0.7) ? this.#chance.between(5, 300) : this.someMs();
    this.later(awayMs ?? usualMs, () => {
      if (this.#nodes.hosts.includes(host)) host.startDaemon();
    });
  }

  /** The daemon starts another; or the unit does, at once, also where the daemon stands still. */
  #killWatchdog(host: Host): void {
    if (!this.canWatch(host)) return;
    this.#note('kill watchdog', host);
    this.#nodes.world.trace.count('watchdog killed');
    host.watchdog?.kill();
    if (host.daemon?.isRunning !== true || this.#chance.happens(0.3)) host.launchWatchdog();
  }

  cut(host: Host, cutMs = this.someMs()): void {
    const { time } = this.#nodes.world;
    this.#note('cut', host);
    const untilMs = time.nowMs + cutMs;
    const kind = this.#chance.whole(4);
    if (kind === 1 || kind === 2) host.upCutUntilMs = Math.max(host.upCutUntilMs, untilMs);
    if (kind === 0 || kind === 1) host.downCutUntilMs = Math.max(host.downCutUntilMs, untilMs);
    if (kind === 3) this.#holdAnswers(host, untilMs);
  }

  /** Answers are late, and when they come through nothing that is sent does any more. */
  #holdAnswers(host: Host, untilMs: number): void {
    const { time } = this.#nodes.world;
    const lateMs = this.#chance.between(100, 950);
    host.downCutUntilMs = Math.max(host.downCutUntilMs, time.nowMs + lateMs);
    this.later(lateMs * this.#chance.between(0.2, 0.6), () => {
      host.upCutUntilMs = Math.max(host.upCutUntilMs, untilMs);
    });
  }

  #reboot(host: Host): void {
    this.#note('reboot', host);
    this.#nodes.world.trace.count('machine rebooted');
    host.reboot();
    this.later(this.#chance.between(50, 2000), () => {
      if (this.#nodes.hosts.includes(host)) host.startDaemon();
    });
  }

  #replace(host: Host): void {
    if (!this.canWatch(host) || this.#nodes.abandoned.length > 3) return;
    const other = this.#nodes.replace(host, this.#chance.happens(0.5) ? 'machine' : 'incarnation');
    this.later(this.#chance.between(5, 500), () => other.startDaemon());
  }

  #pauseLeader(): void {
    const member = this.#leader()?.member;
    if (member === undefined || member === null || member.isPaused) return;
    const { trace, time } = this.#nodes.world;
    trace.tell(time.nowMs, 'pause', member.id);
    member.isPaused = true;
    time.after(this.#chance.between(100, 2 * this.#nodes.timeoutMs), () => {
      if (this.#nodes.world.leader !== undefined && this.#nodes.world.leader !== member)
        trace.count('leader paused and deposed');
      member.resume();
    });
  }

  #isolateLeader(): void {
    const machine = this.#leader();
    if (machine === undefined) return;
    const { network, machines, time, trace } = this.#nodes.world;
    trace.tell(time.nowMs, 'leader is cut off', machine.slot);
    const kind = this.#chance.whole(3);
    const links = machines.flatMap(({ slot }) => {
      if (slot === machine.slot) return [];
      const out = kind === 1 ? [] : [network.link(machine.slot, slot)];
      return kind === 2 ? out : [...out, network.link(slot, machine.slot)];
    });
    for (const link of links) link.isCut = true;
    time.after(this.#chance.between(100, 2 * this.#nodes.timeoutMs), () => {
      for (const link of links) link.isCut = false;
    });
  }

  async #crash(machine: Machine | undefined): Promise<void> {
    if (machine === undefined) return;
    await machine.crash(false);
    this.#nodes.world.time.after(this.#chance.between(10, 2000), () => machine.start());
  }

  /**
   * The leader stands still until another one leads, and finds heartbeats in its sockets, and at times what confirms an
   * earlier round only behind them. Whoever gets its answer is out of reach from then on.
   */
  #depose(): void {
    const { leader: member, network, machines, time, trace } = this.#nodes.world;
    if (member === undefined || member.isPaused) return;
    const { slot } = member.machine;
    // Some were asked for a round just before, and what confirms that one comes right behind the heartbeats.
    const isAsked = this.#chance.happens(0.5);
    const aheadMs = isAsked ? this.#chance.between(20, 150) : 0;
    const pauseMs = this.#chance.between(isAsked ? 750 : 500, 980);
    const isDeaf = !isAsked && this.#chance.happens(0.5);
    const behindMs = isDeaf ? this.#chance.between(200, 500) : this.#chance.between(1, 20);
    trace.tell(time.nowMs, 'depose', member.id, Math.round(pauseMs));
    if (isAsked || this.#chance.happens(0.8))
      for (const other of machines)
        if (other.slot !== slot)
          network.link(other.slot, slot).cloggedUntilMs = time.nowMs + aheadMs + pauseMs + behindMs;
    time.after(aheadMs, () => {
      if (member.isPaused) return;
      member.isPaused = true;
      time.after(pauseMs, () => member.resume());
    });
    this.later(aheadMs + pauseMs, () => this.#silence(this.#listenerOf(member), isAsked ? 25 : 1));
  }

  /** One that still takes the member for the leader, if there is any. */
  #listenerOf(member: Member): Host {
    const { hosts } = this.#nodes;
    const listening = hosts.filter(({ streams }) => [...streams].some((one) => one.member === member));
    return this.#chance.pick(listening) ?? this.#host();
  }

  /** Soon it is out of reach for longer than a lease. */
  #silence(host: Host, leastMs: number): void {
    this.later(this.#chance.between(leastMs, 60), () => {
      const longMs = this.#nodes.timeoutMs * this.#chance.between(1.2, 2);
      if (this.#chance.happens(0.5)) this.stopDaemon(host, longMs);
      else this.cut(host, longMs);
    });
  }

  /**
   * No watchdog can be started for longer than a lease; the daemon alone has ended everything by then, and after that it
   * may stand still as well. Where there are processes nobody could end them.
   */
  #keepWatchdogAway(host: Host): void {
    const { timeoutMs, world } = this.#nodes;
    const { daemon } = host;
    if (!this.canWatch(host) || daemon?.isRunning !== true || host.agent === null) return;
    if (host.engine.process.isStopped) return;
    const awayMs = timeoutMs * this.#chance.between(2.5, 4);
    this.#note('no watchdog', host);
    world.trace.count('watchdog away for longer than a lease');
    host.noLaunchUntilMs = world.time.nowMs + awayMs;
    host.watchdog?.kill();
    this.later(timeoutMs * this.#chance.between(1.2, 1.6), () => this.#stopAlone(host, daemon));
  }

  /** A daemon may have had one more grant, which nobody confirmed: before that is over it must go on, or nobody ends it. */
  #stopAlone(host: Host, daemon: SimulatedProcess): void {
    const { timeoutMs, world } = this.#nodes;
    if (host.daemon !== daemon || !daemon.isRunning || world.time.nowMs >= host.noLaunchUntilMs) return;
    if (host.groups.executing().next().done !== true) {
      this.later(timeoutMs / 20, () => this.#stopAlone(host, daemon));
      return;
    }
    this.#note('stop daemon as well', host);
    this.hold(daemon, timeoutMs * 1.6);
  }

  #transfer(): void {
    const { leader, machines } = this.#nodes.world;
    const to = this.#chance.pick(machines)?.disk.raftId ?? 0;
    if (leader !== undefined && !leader.isPaused) leader.input(() => leader.core.transferLeadership(to));
  }

  #note(what: string, { name }: Host): void {
    const { trace, time } = this.#nodes.world;
    trace.tell(time.nowMs, what, name);
  }
}
