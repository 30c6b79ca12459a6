/** A watchdog process: the production lease, guards, table and requests over simulated files, timers and groups. */
import { AttemptTable } from '../../../src/agent/watchdog/attempt-table.ts';
import { CgroupContainment } from '../../../src/agent/watchdog/cgroup-containment.ts';
import { Guards } from '../../../src/agent/watchdog/guards.ts';
import { Lease } from '../../../src/agent/watchdog/lease.ts';
import { attemptName } from '../../../src/agent/watchdog/paths.ts';
import type { Reply, Request, WatchdogEvent } from '../../../src/agent/watchdog/protocol.ts';
import { Requests } from '../../../src/agent/watchdog/requests.ts';
import { AttemptFiles, writing } from './files.ts';
import type { Host } from './host.ts';
import { SimulatedProcess } from './process.ts';
import { SimulatedProcessAttempt, type ProcessAttemptTools } from './process-attempt.ts';

/** A daemon's connection, as the watchdog has it. */
export interface DaemonConnection {
  session: number | null;
  readonly reply: (reply: Reply) => void;
  readonly event: (event: WatchdogEvent) => void;
  readonly closed: () => void;
}

export class SimulatedWatchdog {
  readonly process: SimulatedProcess;
  readonly pid: number;
  readonly bornMs: number;
  readonly #host: Host;
  readonly #connections = new Set<DaemonConnection>();
  #requests: Requests | null = null;
  #waiting: (() => void)[] = [];

  constructor(host: Host, pid: number) {
    this.#host = host;
    this.pid = pid;
    this.bornMs = host.world.time.nowMs;
    this.process = new SimulatedProcess(host.world.time, host);
    void this.#begin();
  }

  connect(connection: DaemonConnection): void {
    this.#connections.add(connection);
  }

  /** Whatever becomes of the daemon: what was sent is taken in. */
  take(connection: DaemonConnection, request: Request): void {
    const requests = this.#requests;
    if (requests === null) {
      this.#waiting.push(() => this.take(connection, request));
      return;
    }
    void requests
      .answer(request, (session) => {
        connection.session = session;
      })
      .then((reply) => connection.reply(reply));
  }

  kill(): void {
    this.process.kill();
    for (const { closed } of this.#connections) closed();
    this.#connections.clear();
  }

  async #begin(): Promise<void> {
    const { process } = this;
    const { chance, files, groups, bootId } = this.#host;
    const clock = process.clock();
    await process.pass(chance.between(5, 60));
    const stored = new AttemptFiles(files.watchdog, process, chance);
    let table: AttemptTable<SimulatedProcessAttempt> | null = null;
    let guards: Guards | null = null;
    const lease = await Lease.open({
      file: {
        read: async () => files.lease,
        write: async (text) => {
          await writing(process, chance);
          files.lease = text;
        },
      },
      bootId,
      nowMs: () => this.#host.bootMs(),
      after: (delayMs, callback) => clock.after(delayMs, callback),
      onOver: () => {
        const { daemon, world } = this.#host;
        if (daemon?.isStopped === true) world.trace.count('lease ran out with a stopped daemon');
        for (const attempt of table?.all() ?? []) if (attempt.view.isLeased) attempt.loseLease();
        guards?.endLeased();
      },
    });
    guards = await Guards.open({
      store: {
        load: async () => [...files.guards.values()],
        write: async (record) => {
          await writing(process, chance);
          files.guards.set(attemptName(record), record);
        },
        remove: async (key) => {
          await writing(process, chance);
          files.guards.delete(attemptName(key));
        },
      },
      bootId,
      groups,
      lease,
      delay: (delayMs) => process.pass(delayMs),
      diagnose: () => {},
      onChange: () => {},
    });
    const unused = { terminate: () => {}, destroy: async () => ({ outOfMemory: false }) };
    const containment = new CgroupContainment({
      groups,
      processes: unused,
      prefix: 'jarvis-process-',
      delay: (delayMs) => process.pass(delayMs),
      diagnose: () => {},
    });
    const tools: ProcessAttemptTools = {
      containment,
      process,
      files: stored,
      groups,
      bootId,
      mayExecute: (spec) => lease.permits(spec),
      emit: (event) => this.#broadcast(event),
      lost: () => this.#host.world.trace.count('attempt lost with the lease'),
      tell: (kind, ...details) => this.#host.tell(kind, ...details),
      lastsMs: (key) => this.#host.lastsMs(key),
      leavesMs: () => (chance.happens(0.1) ? chance.between(100, 4000) : 0),
    };
    table = new AttemptTable({
      store: stored,
      start: (spec) => SimulatedProcessAttempt.start(spec, tools),
      onEnded: () => {},
    });
    for (const record of files.watchdog.records.values())
      table.adopt(SimulatedProcessAttempt.recover(record, tools));
    this.#requests = new Requests({
      table,
      session: files.watchdog.session,
      lease,
      guards,
      saveSession: (session) => stored.writeSession(session),
      diagnose: (what, fields) => this.#host.bug(`${what} ${JSON.stringify(fields)}`),
      onShutdown: () => {},
      pid: this.pid,
    });
    for (const take of this.#waiting.splice(0)) take();
  }

  #broadcast(event: WatchdogEvent): void {
    for (const { session, event: tell } of this.#connections)
      if (session === this.#requests?.session) tell(event);
  }
}
