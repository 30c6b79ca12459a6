/** A machine that runs tasks: a clock, a disk, control groups, an engine, a watchdog, and a daemon with the production worker. */
import type { AttemptKey } from '../../../src/agent/drivers/driver.ts';
import { BOOT_TIME_STEP_MS } from '../../../src/lib/boot-time.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { WorkerAgent } from '../../../src/agent/worker/worker-agent.ts';
import { nameOf } from '../../../src/agent/worker/report-outbox.ts';
import type { Register } from '../../../src/generated/worker.ts';
import { NODE_CAPACITY } from '../../../src/scheduler/core/testing/values.ts';
import type { Chance } from '../chance.ts';
import { Violation } from '../trace.ts';
import type { World } from '../world.ts';
import { SimulatedDockerDriver } from './docker-driver.ts';
import { SimulatedEngine } from './engine.ts';
import { AttemptFiles, HostFiles, writing } from './files.ts';
import { SimulatedGroups, type Execution } from './groups.ts';
import { SimulatedProcess, type LocalTime } from './process.ts';
import { WorkerStream } from './stream.ts';
import { SimulatedWatchdog } from './watchdog.ts';
import { WatchdogLink } from './watchdog-link.ts';

export interface HostOptions {
  readonly name: string;
  readonly world: World;
  readonly chance: Chance;
  readonly rate: number;
  readonly killMs: number;
  readonly killsSlowly: boolean;
  readonly latencyMs: number;
  readonly onExecute: (execution: Execution) => void;
}

function stateOf(process: SimulatedProcess | undefined | null): string {
  if (process?.isAlive !== true) return 'dead';
  return process.isStopped ? 'stopped' : 'runs';
}

/** The longest that a task lasts by itself. */
const LONGEST_MS = 20_000;

export class Host implements LocalTime {
  readonly name: string;
  readonly world: World;
  readonly chance: Chance;
  readonly rate: number;
  readonly latencyMs: number;
  readonly groups: SimulatedGroups;
  readonly engine: SimulatedEngine;
  files = new HostFiles();
  readonly streams = new Set<WorkerStream>();
  watchdog: SimulatedWatchdog | null = null;
  daemon: SimulatedProcess | null = null;
  agent: WorkerAgent | null = null;
  /** Nothing that is sent in that direction arrives before. */
  upCutUntilMs = 0;
  downCutUntilMs = 0;
  /** No watchdog can be started before: the disk has no inode left, or whatever. */
  noLaunchUntilMs = 0;
  /** Moments for which a nemesis waits. */
  onContainerStart: () => void = () => {};
  /** @returns how long a start lies in the watchdog's socket, milliseconds */
  onProcessStart: () => number = () => 0;
  boot = 1;
  incarnation: string;
  machineId: string;
  #originMs: number;
  #starts = 0;
  readonly #agents: WorkerAgent[] = [];
  #pids = 0;

  constructor(options: HostOptions) {
    const { name, world, chance, rate, killMs, killsSlowly, latencyMs, onExecute } = options;
    this.name = name;
    this.world = world;
    this.chance = chance;
    this.rate = rate;
    this.latencyMs = latencyMs;
    this.incarnation = `${name}-data-1`;
    this.machineId = `${name}-machine`;
    this.#originMs = chance.between(10_000, 1e8);
    const { time, trace } = world;
    this.groups = new SimulatedGroups({ node: name, time, chance, killMs, killsSlowly, onExecute });
    this.engine = new SimulatedEngine({
      time,
      local: this,
      chance,
      groups: this.groups,
      lastsMs: (key) => this.lastsMs(key),
      count: (what) => trace.count(what),
    });
  }

  get bootId(): string {
    return `${this.machineId}-boot-${this.boot}`;
  }

  /** CLOCK_BOOTTIME in the steps that the kernel tells. */
  bootMs(): number {
    return Math.floor(this.monotonicMs() / BOOT_TIME_STEP_MS) * BOOT_TIME_STEP_MS;
  }

  monotonicMs(): number {
    return this.#originMs + this.world.time.nowMs * this.rate;
  }

  lastsMs(_key: AttemptKey): number {
    return 200 * (LONGEST_MS / 200) ** this.chance.random();
  }

  /** For whoever reads a failure. */
  describe(): string {
    const { watchdog, daemon } = this;
    const guards = [...this.files.guards.values()].map(({ cgroup, isOver }) => `${cgroup} ${isOver}`);
    return `watchdog ${stateOf(watchdog?.process)}, daemon ${stateOf(daemon)}, engine ${stateOf(this.engine.process)}, now ${this.bootMs()}, lease ${this.files.lease}, guards ${guards.join(', ')}`;
  }

  tell(kind: string, ...details: readonly (string | number)[]): void {
    this.world.trace.tell(this.world.time.nowMs, kind, this.name, ...details);
  }

  bug(what: string): void {
    this.world.violation ??= new Violation(`${this.name}: ${what}`);
  }

  /** Where there is none; what it finds on disk it goes on with. */
  launchWatchdog(): void {
    if (this.watchdog?.process.isAlive === true || this.world.time.nowMs < this.noLaunchUntilMs) return;
    this.#pids += 1;
    this.tell('launch watchdog');
    this.watchdog = new SimulatedWatchdog(this, this.#pids);
  }

  startDaemon(): void {
    if (this.daemon !== null) return;
    const { chance, files, engine, groups, bootId, incarnation, name } = this;
    this.#starts += 1;
    this.tell('start daemon');
    const startCounter = this.#starts;
    const startId = `${this.incarnation}-${this.boot}-${this.#starts}`;
    const daemon = new SimulatedProcess(this.world.time, this);
    this.daemon = daemon;
    const link = new WatchdogLink(this, daemon);
    link.attach();
    const stored = new AttemptFiles(files.docker, daemon, chance);
    const beforeStart = (): void => this.onContainerStart();
    const tools = {
      beforeStart,
      process: daemon,
      engine,
      groups,
      files: stored,
      guard: link,
      incarnation,
      node: name,
      bootId,
    };
    const docker = new SimulatedDockerDriver(tools, files.docker.session, files.docker.records.values());
    void this.#keep(
      daemon,
      WorkerAgent.start({
        registration: () => this.#registration(startId, startCounter),
        environment: { node: name, path: '', home: '' },
        drivers: [link, docker],
        connector: { connect: (events) => this.#connect(daemon, events) },
        lease: link,
        bootMs: () => this.bootMs(),
        reportsDirectory: '',
        openReports: async () => ({
          reports: [...files.reports.values()],
          store: {
            put: async (report) => {
              await writing(daemon, chance);
              files.reports.set(nameOf(report), report);
            },
            acknowledge: async (key) => {
              await writing(daemon, chance);
              files.reports.delete(nameOf(key));
            },
            close: async () => {},
          },
        }),
        usage: { latest: () => null },
        clock: daemon.clock(),
        random: chance.random,
        log: silentLog,
      }),
    );
  }

  async #keep(daemon: SimulatedProcess, begun: Promise<WorkerAgent>): Promise<void> {
    const agent = await begun;
    this.#agents.push(agent);
    if (this.daemon === daemon) this.agent = agent;
  }

  /**
   * The run is over: gives up what waits in every daemon there was, killed ones too. Signals that are made of others are
   * kept alive for as long as somebody waits on them, and with them the whole world.
   */
  dispose(): void {
    for (const agent of this.#agents) agent.close().catch(() => undefined);
  }

  killDaemon(): void {
    this.daemon?.kill();
    this.daemon = null;
    this.agent = null;
    for (const stream of this.streams) stream.close();
    this.streams.clear();
  }

  /** Nothing is stopped any more, or cut off. */
  heal(): void {
    this.upCutUntilMs = 0;
    this.downCutUntilMs = 0;
    this.engine.process.resume();
    this.watchdog?.process.resume();
    this.daemon?.resume();
    this.startDaemon();
  }

  /** It is switched off for good. */
  retire(): void {
    this.reboot();
    this.engine.process.kill();
  }

  /** Nothing survives but what is on disk. */
  reboot(): void {
    this.killDaemon();
    this.watchdog?.kill();
    this.watchdog = null;
    this.groups.reset();
    this.engine.reset();
    this.boot += 1;
    this.#originMs = -this.world.time.nowMs * this.rate + 5000;
  }

  #connect(
    daemon: SimulatedProcess,
    events: ConstructorParameters<typeof WorkerStream>[3],
  ): ReturnType<Parameters<typeof WorkerAgent.start>[0]['connector']['connect']> {
    const { world, chance } = this;
    const leading = world.members.filter((member) => member.isLeading);
    const member = chance.happens(0.8) ? world.leader : chance.pick(leading);
    if (member !== undefined) return new WorkerStream(this, daemon, member, events);
    daemon.later(chance.between(20, 100), () => events.ended('no leader is known'));
    return { address: '', send: () => {}, close: () => {} };
  }

  #registration(startId: string, startCounter: number): Register {
    const { name, incarnation, machineId, bootId } = this;
    return {
      name,
      incarnation,
      machine_id: machineId,
      boot_id: bootId,
      start_id: startId,
      start_counter: startCounter,
      cluster_id: 'simulated',
      version: '1',
      address: `${name}:1`,
      http: `${name}:2`,
      labels: {},
      drivers: ['process', 'docker'],
      isolation: 'cgroup',
      capacity: { cpu_millis: NODE_CAPACITY.cpuMillis, memory_bytes: NODE_CAPACITY.memoryBytes },
    };
  }
}
