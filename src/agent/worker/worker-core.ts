/**
 * What a worker does, as a state machine without clock, disk or network: events in, effects out, in order. The shell
 * (`worker-agent.ts`) executes the effects and turns what comes of them into events.
 *
 * A *session* is one start of the daemon as the leader has granted it; a *connection* is one stream to the leader. A
 * session outlives its connections. On each connection the phases are: registering → inventory (the session is granted;
 * the drivers are told, then asked) → syncing (the inventory is sent) → synced (the whole desired set has come).
 *
 * An *attempt* is known here from its start, or from the first inventory that shows it, until its end has been
 * acknowledged by the leader and the driver has forgotten it.
 */
import type {
  Assignment,
  Desired,
  HeartbeatAck,
  LeaderMessage,
  Register,
  Stop,
  WorkerMessage,
} from '../../generated/worker.ts';
import { invariant, unreachable } from '../../lib/assert.ts';
import type { AttemptReport } from '../../model/commands.ts';
import type { DriverName } from '../drivers/driver.ts';
import type { NodeEnvironment } from './environment.ts';
import { KnownAttempts } from './known-attempts.ts';
import { WORKER_LIMITS } from './limits.ts';
import { ReportOutbox } from './report-outbox.ts';
import { reportToWire } from './wire.ts';
import { WorkerLease } from './worker-lease.ts';
import type { InventoryEntry, WorkerEffect, WorkerEvent } from './worker-events.ts';

type ConnectionPhase = 'registering' | 'inventory' | 'syncing' | 'synced';

interface Connection {
  readonly id: number;
  phase: ConnectionPhase;
  /** When the phase began or, once heartbeats go out, when the newest answer came; null until the next tick. */
  heardAtMs: number | null;
  phaseSinceMs: number | null;
  /** Parts of a complete desired set whose last part has not come. */
  run: Assignment[];
  stop: Stop[];
}

export interface WorkerCoreOptions {
  /** Asked for anew on each connection: what the node offers may change. */
  readonly registration: () => Register;
  readonly environment: NodeEnvironment;
  readonly drivers: readonly DriverName[];
  /** Ends that an earlier start of the daemon left unacknowledged on disk. */
  readonly unacknowledged: readonly AttemptReport[];
  /** Stamps reports of what has no time of its own. */
  readonly wallMs: () => number;
}

export class WorkerCore {
  readonly #options: WorkerCoreOptions;
  readonly #attempts: KnownAttempts;
  readonly #outbox = new ReportOutbox();
  readonly #lease = new WorkerLease();
  #effects: WorkerEffect[] = [];
  #connection: Connection | null = null;
  #session = 0;
  /** The session whose inventory has been taken, at least once. */
  #inventoriedSession = 0;
  /** A deadline has passed, and nothing was granted since. */
  #isLeaseOver = false;
  /** `reportsDue` is to come. */
  #isGathering = false;
  #heartbeatNumber = 0;
  #heartbeatIntervalMs: number = WORKER_LIMITS.defaultHeartbeatIntervalMs;
  /** The lease that is asked for before a restart; 0: none. */
  #restartLeaseMs = 0;
  /** Until when that one lasts; null before it is granted. */
  #restartDeadlineMs: number | null = null;

  constructor(options: WorkerCoreOptions) {
    this.#options = options;
    const effect = (done: WorkerEffect): void => void this.#effects.push(done);
    this.#attempts = new KnownAttempts({ ...options, outbox: this.#outbox, effect });
  }

  /** 0 before the first was granted. */
  get session(): number {
    return this.#session;
  }

  /** The leader's desired set is known and followed at present. */
  get isSynced(): boolean {
    return this.#connection?.phase === 'synced';
  }

  get knownAttempts(): number {
    return this.#attempts.size;
  }

  /** Of those, the ones that are being started, and the ones that run or are being stopped. */
  get attemptCounts(): { readonly starting: number; readonly running: number } {
    return this.#attempts.counts;
  }

  /** CLOCK_BOOTTIME; -Infinity before anything was granted. */
  get leaseDeadlineMs(): number {
    return this.#lease.deadlineMs;
  }

  step(event: WorkerEvent): readonly WorkerEffect[] {
    const session = this.#session;
    this.#effects = [];
    this.#handle(event);
    this.#considerReports();
    invariant(this.#session >= session, 'sessions only rise');
    return this.#effects;
  }

  #handle(event: WorkerEvent): void {
    switch (event.type) {
      case 'connected':
        return this.#connected(event.connection);
      case 'disconnected':
        if (this.#connection?.id !== event.connection) return;
        this.#connection = null;
        return this.#outbox.rewind();
      case 'received':
        return this.#received(event.connection, event.message);
      case 'inventoried':
        return this.#inventoried(event.connection, event.session, event.entries);
      case 'found':
        return this.#found(event.entries);
      case 'progress':
        return this.#attempts.progress(event.key, event.note);
      case 'started':
        return this.#attempts.started(event.key, event.view);
      case 'startRefused':
        return this.#attempts.startRefused(event.key, event.status, event.message);
      case 'stopping':
        return this.#attempts.stopping(event.key, event.stop);
      case 'ended':
        return this.#attempts.ended(event.key, event.exit);
      case 'stopped':
        return this.#attempts.stopped(event.key, event.exit);
      case 'vanished':
        return this.#attempts.vanished(event.key);
      case 'persisted':
        return this.#attempts.persisted(event.key);
      case 'forgotten':
        return this.#attempts.forgotten(event.key);
      case 'leaseConfirmed':
        return this.#leaseConfirmed(event.deadlineMs);
      case 'restarting':
        this.#restartLeaseMs = event.leaseMs;
        return;
      case 'leaseDue':
        return this.#leaseDue(event.bootMs);
      case 'reportsDue':
        this.#isGathering = false;
        return this.#sendReports();
      case 'tick':
        return this.#tick(event);
      default:
        return unreachable(event);
    }
  }

  // Connection and session

  #connected(id: number): void {
    this.#outbox.rewind();
    this.#connection = { id, phase: 'registering', heardAtMs: null, phaseSinceMs: null, run: [], stop: [] };
    this.#send({ kind: { $case: 'register', value: this.#options.registration() } });
  }

  #received(id: number, message: LeaderMessage): void {
    const connection = this.#connection;
    if (connection?.id !== id || message.kind === undefined) return;
    switch (message.kind.$case) {
      case 'registered':
        return this.#registered(connection, message.kind.value);
      case 'desired':
        return this.#desired(connection, message.kind.value);
      case 'heartbeat':
        return this.#answered(connection, message.kind.value);
      case 'reports':
        if (message.kind.value.session !== this.#session) return;
        return this.#attempts.acknowledged(this.#outbox.acknowledge(message.kind.value.number));
      default:
        return unreachable(message.kind);
    }
  }

  #answered(connection: Connection, answer: HeartbeatAck): void {
    const { session, number, lease_ms: leaseMs } = answer;
    if (session !== this.#session) return;
    connection.heardAtMs = null;
    this.#followInterval(answer.heartbeat_interval_ms);
    const deadlineMs = this.#lease.granted(number, leaseMs);
    if (deadlineMs === null) return;
    this.#isLeaseOver = false;
    if (this.#restartLeaseMs > 0 && leaseMs >= this.#restartLeaseMs) this.#restartDeadlineMs = deadlineMs;
    this.#effects.push({ type: 'extendLease', session, deadlineMs, leaseMs });
  }

  /** The leader may want heartbeats more often than when this node registered. */
  #followInterval(intervalMs: number): void {
    const heartbeatIntervalMs = boundedInterval(intervalMs);
    if (intervalMs === 0 || heartbeatIntervalMs === this.#heartbeatIntervalMs) return;
    this.#heartbeatIntervalMs = heartbeatIntervalMs;
    this.#effects.push({ type: 'beat', heartbeatIntervalMs });
  }

  /** Only what the watchdog keeps outlives this daemon. */
  #leaseConfirmed(deadlineMs: number): void {
    this.#lease.confirmed(deadlineMs);
    if (this.#restartDeadlineMs === null || deadlineMs < this.#restartDeadlineMs) return;
    this.#effects.push({ type: 'mayStop', deadlineMs });
  }

  #leaseDue(bootMs: number): void {
    if (!this.#lease.isOver(bootMs)) return;
    this.#isLeaseOver = true;
    this.#effects.push({ type: 'leaseOver', attempts: this.#attempts.endLeased() });
    // What an earlier start of the daemon left must end as well, also where no leader is there to register with.
    if (this.#inventoriedSession === 0) this.#effects.push({ type: 'lookForLeased' });
  }

  #found(entries: readonly InventoryEntry[]): void {
    if (this.#inventoriedSession !== 0 || !this.#isLeaseOver) return;
    this.#attempts.learn(entries);
    this.#attempts.endLeased();
  }

  #registered(
    connection: Connection,
    value: { readonly session: number; readonly heartbeat_interval_ms: number },
  ): void {
    if (connection.phase !== 'registering') return this.#hangUp(connection, 'registered twice');
    // An answer from before the session that this daemon has already been granted: its sender is behind.
    if (value.session < this.#session || value.session === 0) {
      return this.#hangUp(connection, 'an older session was granted');
    }
    if (value.session > this.#session) this.#lease.forgetSent();
    this.#session = value.session;
    this.#heartbeatIntervalMs = boundedInterval(value.heartbeat_interval_ms);
    this.#enter(connection, 'inventory');
    this.#effects.push({
      type: 'takeInventory',
      connection: connection.id,
      session: this.#session,
      heartbeatIntervalMs: this.#heartbeatIntervalMs,
    });
  }

  #inventoried(id: number, session: number, entries: readonly InventoryEntry[]): void {
    const connection = this.#connection;
    if (connection?.id !== id || connection.phase !== 'inventory' || session !== this.#session) return;
    const isFirst = this.#inventoriedSession !== session;
    this.#inventoriedSession = session;
    const known = this.#attempts.adopt(entries, isFirst);
    if (this.#isLeaseOver) this.#attempts.endLeased();
    this.#enter(connection, 'syncing');
    this.#send({
      kind: {
        $case: 'inventory',
        value: {
          session,
          items: known.map((key) => ({ task_id: key.taskId, assignment: key.assignment })),
        },
      },
    });
  }

  #enter(connection: Connection, phase: ConnectionPhase): void {
    connection.phase = phase;
    connection.phaseSinceMs = null;
    connection.heardAtMs = null;
  }

  #tick({ monotonicMs, bootMs, usage }: Extract<WorkerEvent, { type: 'tick' }>): void {
    this.#outbox.release();
    const connection = this.#connection;
    if (connection === null) return;
    connection.phaseSinceMs ??= monotonicMs;
    connection.heardAtMs ??= monotonicMs;
    const phaseMs = monotonicMs - connection.phaseSinceMs;
    if (connection.phase === 'registering') {
      if (phaseMs > WORKER_LIMITS.registerTimeoutMs)
        this.#hangUp(connection, 'registration was not answered');
      return;
    }
    if (connection.phase === 'syncing' && phaseMs > WORKER_LIMITS.syncTimeoutMs) {
      return this.#hangUp(connection, 'the inventory was not answered');
    }
    if (!this.#lease.isConfirmed) {
      // Held back on this side: the leader is not to blame for silence.
      connection.heardAtMs = null;
      return;
    }
    const silenceMs = Math.max(
      WORKER_LIMITS.minSilenceMs,
      this.#heartbeatIntervalMs * WORKER_LIMITS.unansweredHeartbeats,
    );
    if (monotonicMs - connection.heardAtMs > silenceMs) {
      return this.#hangUp(connection, 'heartbeats are not answered');
    }
    this.#heartbeatNumber += 1;
    this.#lease.sent(this.#heartbeatNumber, bootMs);
    const value = {
      session: this.#session,
      number: this.#heartbeatNumber,
      usage: usage ?? undefined,
      restart_lease_ms: this.#restartLeaseMs,
    };
    this.#send({ kind: { $case: 'heartbeat', value } });
  }

  // Desired state

  #desired(connection: Connection, desired: Desired): void {
    if (desired.session !== this.#session) return;
    if (!desired.complete) {
      // What comes before the complete set is contained in it.
      if (connection.phase === 'synced') this.#follow(desired.run, desired.stop);
      return;
    }
    if (connection.phase !== 'syncing')
      return this.#hangUp(connection, 'a desired set that was not asked for');
    connection.run.push(...desired.run);
    connection.stop.push(...desired.stop);
    if (connection.run.length + connection.stop.length > WORKER_LIMITS.desiredAssignments) {
      return this.#hangUp(connection, 'the desired set is too large');
    }
    if (desired.more) return;
    const { run, stop } = connection;
    connection.run = [];
    connection.stop = [];
    this.#enter(connection, 'synced');
    this.#follow(run, stop);
    this.#attempts.stopOrphans(run, stop);
    this.#effects.push({ type: 'synced', session: this.#session });
  }

  #follow(run: readonly Assignment[], stop: readonly Stop[]): void {
    for (const assignment of run) this.#attempts.start(assignment, this.#session);
    for (const { task_id: taskId, assignment, grace_ms: graceMs, unless_begun: unlessBegun } of stop) {
      if (unlessBegun) this.#attempts.withdraw({ taskId, assignment });
      else this.#attempts.stop({ taskId, assignment }, graceMs);
    }
  }

  /** A batch costs an entry of the log: what comes together goes together. */
  #considerReports(): void {
    if (this.#isGathering || this.#connection?.phase !== 'synced' || !this.#outbox.isReady) return;
    this.#isGathering = true;
    this.#effects.push({ type: 'gatherReports' });
  }

  #sendReports(): void {
    if (this.#connection?.phase !== 'synced') return;
    const batch = this.#outbox.next();
    if (batch === null) return;
    const value = { session: this.#session, number: batch.number, reports: batch.reports.map(reportToWire) };
    this.#send({ kind: { $case: 'reports', value } });
  }

  #send(message: WorkerMessage): void {
    invariant(this.#connection !== null, 'messages are sent on a connection');
    this.#effects.push({ type: 'send', connection: this.#connection.id, message });
  }

  #hangUp(connection: Connection, reason: string): void {
    this.#effects.push({ type: 'hangUp', connection: connection.id, reason });
    this.#connection = null;
    this.#outbox.rewind();
  }
}

function boundedInterval(intervalMs: number): number {
  return Math.min(
    Math.max(intervalMs, WORKER_LIMITS.minHeartbeatIntervalMs),
    WORKER_LIMITS.maxHeartbeatIntervalMs,
  );
}
