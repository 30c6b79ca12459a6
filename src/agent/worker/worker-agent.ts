/**
 * A node's worker: keeps a session with the leader, and executes what `worker-core.ts` decides. Tasks outlive it: closing
 * it, or losing it, stops none of them.
 */
import type { Register, WorkerMessage } from '../../generated/worker.ts';
import { unreachable } from '../../lib/assert.ts';
import type { Clock } from '../../lib/clock.ts';
import { messageOf } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type { Random } from '../../lib/random.ts';
import { RepeatedLines } from '../../lib/repeated-lines.ts';
import type { AttemptReport } from '../../model/commands.ts';
import type { AttemptKey, Driver, DriverName } from '../drivers/driver.ts';
import { Backoff } from '../../lib/backoff.ts';
import { limits } from '../../lib/limits.ts';
import { attemptFields } from '../watchdog/paths.ts';
import { DriverRunner } from './driver-runner.ts';
import type { NodeEnvironment } from './environment.ts';
import { LeaseKeeper, type LeaseHolder } from './lease-keeper.ts';
import { WORKER_LIMITS } from './limits.ts';
import { ReportStore } from './report-store.ts';
import type { SessionConnector, SessionStream } from './session-connector.ts';
import type { UsageSource } from './usage-meter.ts';
import { WorkerCore } from './worker-core.ts';
import type { WorkerEffect, WorkerEvent } from './worker-events.ts';

export interface WorkerAgentOptions {
  /** Asked for anew on each connection. `start_id` names this start of the daemon: it is always the same. */
  readonly registration: () => Register;
  readonly environment: NodeEnvironment;
  readonly drivers: readonly Driver[];
  readonly connector: SessionConnector;
  readonly lease: LeaseHolder;
  /** CLOCK_BOOTTIME */
  readonly bootMs: () => number;
  /** Below it unacknowledged reports are kept; or where else. */
  readonly reportsDirectory: string;
  readonly openReports?: () => Promise<OpenedReports>;
  /** In step with the leader, again on each connection. */
  readonly onSynced?: () => void;
  /** An attempt is over on this node. Once each, save that a restart may repeat it. */
  readonly onEnded?: (end: AttemptReport) => void;
  readonly usage: UsageSource;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** What the worker needs of {@link ReportStore}. */
export interface OpenedReports {
  readonly store: Pick<ReportStore, 'put' | 'acknowledge' | 'close'>;
  /** Never acknowledged. */
  readonly reports: readonly AttemptReport[];
}

export interface WorkerStatus {
  /** 0: none was granted yet. */
  readonly session: number;
  /** Registered, and following the leader's desired set at present. */
  readonly isSynced: boolean;
  readonly knownAttempts: number;
  /** Attempts that are being started, and those that run or are being stopped. */
  readonly starting: number;
  readonly running: number;
  /** Of the lease; null: none was granted yet. */
  readonly leaseRemainingMs: number | null;
}

interface LiveStream {
  readonly connection: number;
  readonly stream: SessionStream;
  readonly controller: AbortController;
}

export class WorkerAgent {
  readonly #options: WorkerAgentOptions;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #core: WorkerCore;
  readonly #store: OpenedReports['store'];
  readonly #runner: DriverRunner;
  readonly #leases: LeaseKeeper;
  readonly #backoff: Backoff;
  readonly #events: WorkerEvent[] = [];
  #isStepping = false;
  #live: LiveStream | null = null;
  #connection = 0;
  /** When the present stream came in step with the leader. */
  #syncedAtMs: number | null = null;
  /** Since when no leader has been in step with it. */
  #aloneSinceMs: number;
  readonly #lines: RepeatedLines;
  #tickIntervalMs: number = WORKER_LIMITS.defaultHeartbeatIntervalMs;
  #cancelTick: (() => void) | null = null;
  #cancelReconnect: (() => void) | null = null;
  #closed = false;
  /** Told once the watchdog keeps the lease for a restart. */
  #onMayStop: () => void = () => {};

  private constructor(
    options: WorkerAgentOptions,
    store: OpenedReports['store'],
    unacknowledged: readonly AttemptReport[],
  ) {
    this.#options = options;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#store = store;
    this.#aloneSinceMs = options.clock.monotonicMs();
    this.#lines = new RepeatedLines({
      clock: options.clock,
      intervalMs: limits.repeatedLineMs,
      kindsKept: limits.repeatedLineKinds,
    });
    this.#core = new WorkerCore({
      registration: options.registration,
      environment: options.environment,
      drivers: options.drivers.map(({ name }) => name),
      unacknowledged,
      wallMs: () => options.clock.wallMs(),
    });
    this.#runner = new DriverRunner({ ...options, emit: (event) => this.#dispatch(event) });
    this.#leases = new LeaseKeeper({ ...options, emit: (event) => this.#dispatch(event) });
    this.#backoff = new Backoff({
      minMs: WORKER_LIMITS.reconnectMinMs,
      maxMs: WORKER_LIMITS.reconnectMaxMs,
      random: options.random,
    });
  }

  /** Reads what an earlier start left to report, then connects. */
  static async start(options: WorkerAgentOptions): Promise<WorkerAgent> {
    const { openReports = () => ReportStore.open(options.reportsDirectory, options.log) } = options;
    const { store, reports } = await openReports();
    const agent = new WorkerAgent(options, store, reports);
    agent.#carryOut(agent.#leases.begin());
    agent.#connect();
    agent.#scheduleTick();
    return agent;
  }

  status(): WorkerStatus {
    const { session, isSynced, knownAttempts, attemptCounts, leaseDeadlineMs } = this.#core;
    const leftMs = Math.max(0, leaseDeadlineMs - this.#options.bootMs());
    const leaseRemainingMs = Number.isFinite(leaseDeadlineMs) ? leftMs : null;
    return { session, isSynced, knownAttempts, ...attemptCounts, leaseRemainingMs };
  }

  /**
   * What `registration` says has changed: connects anew at once, so that the leader learns it. The session and all
   * attempts stay. Where nothing is connected the next connection will tell.
   * @param reason for the log
   */
  registerAgain(reason: string): void {
    if (this.#closed || this.#live === null) return;
    const { connection } = this.#live;
    this.#log.info({ reason }, 'registering again');
    this.#dropStream();
    this.#dispatch({ type: 'disconnected', connection });
    this.#connect();
  }

  /**
   * Before a planned stop that is to leave tasks running: asks for a lease that outlasts it. Resolves once the watchdog
   * keeps it, or after a bounded time without, and says in the log until when tasks may run either way.
   * @param leaseMs 0: none is wanted
   */
  async prepareRestart(leaseMs: number): Promise<void> {
    if (this.#closed || leaseMs <= 0 || this.#core.knownAttempts === 0) return;
    const { promise: granted, resolve } = Promise.withResolvers<boolean>();
    this.#onMayStop = () => resolve(true);
    const cancel = this.#clock.after(limits.restartGraceWaitMs, () => resolve(false));
    this.#dispatch({ type: 'restarting', leaseMs });
    this.#tick();
    const isGranted = await granted;
    cancel();
    const leftMs = Math.round(Math.max(0, this.#core.leaseDeadlineMs - this.#options.bootMs()));
    const fields = { attempts: this.#core.knownAttempts, leftMs };
    if (isGranted) this.#log.info(fields, 'running tasks are left running, for as long as their lease lasts');
    else
      this.#log.warn(
        fields,
        'no longer lease was granted in time: running tasks are ended when the present one is over',
      );
  }

  /** Ends the session's connection and all watching; attempts run on, and the drivers are the caller's to close. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelTick?.();
    this.#cancelReconnect?.();
    this.#dropStream();
    this.#runner.close();
    this.#leases.close();
    await this.#store.close();
  }

  // Connection

  #connect(): void {
    this.#cancelReconnect = null;
    this.#connection += 1;
    const connection = this.#connection;
    this.#syncedAtMs = null;
    const stream = this.#options.connector.connect({
      message: (message) => this.#dispatch({ type: 'received', connection, message }),
      ended: (reason) => this.#streamEnded(connection, reason),
    });
    this.#live = { connection, stream, controller: new AbortController() };
    this.#dispatch({ type: 'connected', connection });
  }

  #streamEnded(connection: number, reason: string): void {
    if (this.#live?.connection !== connection || this.#closed) return;
    const fields = { reason, peer: this.#live.stream.address };
    if (this.#syncedAtMs === null) this.#sayAlone(fields);
    else {
      this.#log.info(fields, 'the stream to the leader ended');
      this.#aloneSinceMs = this.#clock.monotonicMs();
    }
    this.#dropStream();
    this.#dispatch({ type: 'disconnected', connection });
    // After a stream that worked for a while the next is tried at once: its leader may be back, or another one there.
    const isReset =
      this.#syncedAtMs !== null &&
      this.#clock.monotonicMs() - this.#syncedAtMs > WORKER_LIMITS.steadyStreamMs;
    if (isReset) this.#backoff.reset();
    const delayMs = isReset ? 0 : this.#backoff.next();
    this.#cancelReconnect = this.#clock.after(delayMs, () => this.#connect());
  }

  /** While a leader is being elected that is nothing; what lasts is an operator's to know: another node may have its name. */
  #sayAlone(fields: { readonly reason: string; readonly peer: string }): void {
    const aloneMs = this.#clock.monotonicMs() - this.#aloneSinceMs;
    if (aloneMs < WORKER_LIMITS.aloneMs) return this.#log.debug(fields, 'no session with a leader yet');
    this.#lines.write(fields.reason, (heldBack) =>
      this.#log.warn({ ...fields, aloneMs, heldBack }, 'no leader takes this node'),
    );
  }

  #dropStream(): void {
    const live = this.#live;
    this.#live = null;
    live?.controller.abort();
    live?.stream.close();
  }

  #scheduleTick(): void {
    this.#cancelTick = this.#clock.after(this.#tickIntervalMs, () => {
      this.#scheduleTick();
      this.#tick();
    });
  }

  /** The leader wants heartbeats as often as that; the first goes out at once. */
  #beat(intervalMs: number): void {
    this.#tickIntervalMs = intervalMs;
    this.#cancelTick?.();
    this.#scheduleTick();
    this.#tick();
  }

  #tick(): void {
    const usage = this.#options.usage.latest();
    const bootMs = this.#options.bootMs();
    this.#dispatch({ type: 'tick', monotonicMs: this.#clock.monotonicMs(), bootMs, usage });
  }

  // Events and effects

  /** One event at a time: what an effect causes at once waits for its turn. */
  #dispatch(event: WorkerEvent): void {
    if (this.#closed) return;
    this.#events.push(event);
    if (this.#isStepping) return;
    this.#isStepping = true;
    try {
      for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
        for (const effect of this.#core.step(next)) this.#execute(effect);
      }
    } finally {
      this.#isStepping = false;
    }
  }

  #execute(effect: WorkerEffect): void {
    switch (effect.type) {
      case 'send':
        return this.#send(effect.connection, effect.message);
      case 'hangUp':
        return this.#streamEnded(effect.connection, effect.reason);
      case 'takeInventory':
        this.#leases.sessionBegan(effect.session);
        return this.#takeInventory(effect);
      case 'start':
        return this.#carryOut(this.#runner.start(effect.driver, effect.spec));
      case 'watch':
        return this.#carryOut(this.#runner.watch(effect.driver, effect.key, effect.isRunning));
      case 'stop':
        return this.#carryOut(this.#runner.stop(effect.driver, effect.key, effect.graceMs));
      case 'extendLease':
        return this.#leases.extend(effect.session, effect.deadlineMs, effect.leaseMs);
      case 'beat':
        return this.#beat(effect.heartbeatIntervalMs);
      case 'mayStop':
        return this.#onMayStop();
      case 'leaseOver':
        return this.#log.warn(
          { attempts: effect.attempts },
          'the lease has run out without word of a quorum: what runs within it is ended',
        );
      case 'lookForLeased':
        return this.#carryOut(this.#runner.lookForLeased());
      case 'persist':
        this.#options.onEnded?.(effect.report);
        return this.#carryOut(this.#persist(effect.report));
      case 'forget':
        return this.#carryOut(this.#forget(effect.driver, effect.key));
      case 'gatherReports':
        // After everything that the end of one wait has set free: ends come by the hundred from one write to the disk.
        return queueMicrotask(() => this.#dispatch({ type: 'reportsDue' }));
      case 'synced':
        this.#syncedAtMs = this.#clock.monotonicMs();
        this.#options.onSynced?.();
        return this.#log.info(
          { session: effect.session, peer: this.#live?.stream.address },
          'in step with the leader',
        );
      case 'refused':
        return this.#log.warn({ ...attemptFields(effect.key), reason: effect.reason }, 'a start was refused');
      default:
        return unreachable(effect);
    }
  }

  #send(connection: number, message: WorkerMessage): void {
    if (this.#live?.connection === connection) this.#live.stream.send(message);
  }

  #takeInventory(effect: Extract<WorkerEffect, { type: 'takeInventory' }>): void {
    if (this.#live?.connection !== effect.connection) return;
    const { signal } = this.#live.controller;
    this.#beat(effect.heartbeatIntervalMs);
    this.#carryOut(this.#runner.takeInventory(effect.session, effect.connection, signal));
  }

  /** A report that cannot be written is sent all the same: the driver's own record stays until it is acknowledged. */
  async #persist(report: AttemptReport): Promise<void> {
    try {
      await this.#store.put(report);
    } catch (error) {
      if (this.#closed) return;
      this.#log.error({ ...attemptFields(report), error: messageOf(error) }, 'a report is not on disk');
    }
    this.#dispatch({ type: 'persisted', key: report });
  }

  async #forget(driver: DriverName | null, key: AttemptKey): Promise<void> {
    if (!(await this.#runner.forget(driver, key))) return;
    this.#dispatch({ type: 'forgotten', key });
    try {
      await this.#store.acknowledge(key);
    } catch (error) {
      // It will be reported once more after a restart, which changes nothing.
      if (!this.#closed)
        this.#log.warn(
          { ...attemptFields(key), error: messageOf(error) },
          'an acknowledgement is not on disk',
        );
    }
  }

  /** Everything that can happen is handled where it is done: what still comes here is a bug. */
  #carryOut(work: Promise<void>): void {
    work.catch((error: unknown) => {
      this.#log.error(
        { error: messageOf(error), stack: error instanceof Error ? error.stack : '' },
        'a bug in the worker',
      );
    });
  }
}
