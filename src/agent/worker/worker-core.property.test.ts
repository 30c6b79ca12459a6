/**
 * Random interleavings of everything that may happen to a worker, against a small model of a leader and a driver that,
 * like the real ones, keep their own books: messages late or lost with their stream, daemons restarted, effects
 * finishing in any order.
 */
import { array, assert, constant, nat, oneof, property, record } from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { LeaderMessage } from '../../generated/worker.ts';
import type { AttemptReport } from '../../model/commands.ts';
import { invariant } from '../../lib/assert.ts';
import type { AttemptKey } from '../drivers/driver.ts';
import { assignmentOf, exitOf, registration, viewOf } from './testing/values.ts';
import { WorkerCore } from './worker-core.ts';
import type { WorkerEffect, WorkerEvent } from './worker-events.ts';
import { runs } from '../../lib/testing/property-runs.ts';

type Action =
  | 'connect'
  | 'disconnect'
  | 'deliverToWorker'
  | 'deliverToLeader'
  | 'work'
  | 'assign'
  | 'cancel'
  | 'repeat'
  | 'exit'
  | 'tick'
  | 'offline'
  | 'restart';

const ACTIONS: readonly { readonly weight: number; readonly action: Action }[] = [
  { weight: 6, action: 'connect' },
  { weight: 1, action: 'disconnect' },
  { weight: 40, action: 'deliverToWorker' },
  { weight: 40, action: 'deliverToLeader' },
  { weight: 50, action: 'work' },
  { weight: 8, action: 'assign' },
  { weight: 4, action: 'cancel' },
  { weight: 6, action: 'repeat' },
  { weight: 8, action: 'exit' },
  { weight: 2, action: 'tick' },
  { weight: 1, action: 'offline' },
  { weight: 1, action: 'restart' },
];

type DriverAttempt = 'running' | 'ended';

interface LeaderAttempt {
  session: number;
  state: 'run' | 'stop' | 'over';
}

class World {
  // The worker
  startId = 0;
  core: WorkerCore;
  work: WorkerEffect[] = [];
  readonly disk = new Map<number, AttemptReport>();
  connection = 0;
  isConnected = false;
  /** Stop effects of this daemon: none of these may start afterwards. */
  stopped = new Set<number>();
  /** Start effects of this daemon. */
  asked = new Set<number>();

  // The driver
  driverSession = 0;
  readonly driver = new Map<number, DriverAttempt>();
  readonly tombstones = new Set<number>();
  readonly executions = new Map<number, number>();

  // The leader
  session = 0;
  sessionStartId = -1;
  isReconciled = false;
  isStreaming = false;
  nextAssignment = 1;
  readonly attempts = new Map<number, LeaderAttempt>();
  readonly reportedEnds = new Set<number>();
  toLeader: { readonly connection: number; readonly effect: WorkerEffect & { type: 'send' } }[] = [];
  toWorker: { readonly connection: number; readonly message: LeaderMessage }[] = [];

  constructor() {
    this.core = this.makeCore();
  }

  makeCore(): WorkerCore {
    return new WorkerCore({
      registration: () => registration('n1', String(this.startId)),
      environment: { node: 'n1', path: '', home: '' },
      drivers: ['noop'],
      unacknowledged: [...this.disk.values()],
      wallMs: () => 1,
    });
  }

  step(event: WorkerEvent): void {
    for (const effect of this.core.step(event)) {
      switch (effect.type) {
        case 'send':
          this.toLeader.push({ connection: effect.connection, effect });
          break;
        case 'hangUp':
          if (effect.connection === this.connection) this.disconnect();
          break;
        case 'start':
          invariant(!this.stopped.has(effect.spec.assignment), 'no start after its stop');
          invariant(!this.asked.has(effect.spec.assignment), 'one start of an assignment');
          invariant(effect.spec.session === this.core.session, 'a start is of the session');
          this.asked.add(effect.spec.assignment);
          this.work.push(effect);
          break;
        case 'stop':
          this.stopped.add(effect.key.assignment);
          this.work.push(effect);
          break;
        case 'synced':
        case 'refused':
          break;
        default:
          this.work.push(effect);
      }
    }
  }

  disconnect(): void {
    if (!this.isConnected) return;
    this.isConnected = false;
    this.isStreaming = false;
    this.toLeader = [];
    this.toWorker = [];
    this.step({ type: 'disconnected', connection: this.connection });
  }

  act(action: Action, pick: number): void {
    switch (action) {
      case 'connect':
        if (this.isConnected) return;
        this.connection += 1;
        this.isConnected = true;
        return this.step({ type: 'connected', connection: this.connection });
      case 'disconnect':
        return this.disconnect();
      case 'deliverToWorker': {
        const next = this.toWorker.shift();
        if (next !== undefined) this.step({ type: 'received', ...next });
        return;
      }
      case 'deliverToLeader': {
        const next = this.toLeader.shift();
        if (next !== undefined && next.connection === this.connection) this.leaderReceives(next.effect);
        return;
      }
      case 'work':
        return this.doWork(pick);
      case 'assign':
        return this.assign();
      case 'cancel':
        return this.cancel(pick);
      case 'repeat': {
        // A start that was late, or comes twice: with the session that it was made for.
        const chosen = [...this.attempts][pick % Math.max(1, this.attempts.size)];
        if (!this.isStreaming || chosen === undefined) return;
        const run = [assignmentOf(chosen[0], chosen[1].session)];
        const value = { session: this.session, complete: false, more: false, run, stop: [] };
        return this.answer({ $case: 'desired', value });
      }
      case 'exit': {
        const running = [...this.driver].filter(([, state]) => state === 'running');
        const chosen = running[pick % Math.max(1, running.length)];
        if (chosen !== undefined) this.driver.set(chosen[0], 'ended');
        return;
      }
      case 'tick':
        return this.step({ type: 'tick', monotonicMs: pick * 1000, bootMs: 0, usage: null });
      case 'offline':
        return this.endSession();
      case 'restart':
        return this.restart();
    }
  }

  restart(): void {
    this.disconnect();
    this.startId += 1;
    this.stopped = new Set();
    this.asked = new Set();
    // What the old daemon had asked of the driver may still lie in the driver's socket; the rest dies with it.
    this.work = this.work.filter((effect) => effect.type === 'start');
    this.core = this.makeCore();
  }

  // The driver's side: one effect finishes, whichever.

  doWork(pick: number): void {
    const index = pick % Math.max(1, this.work.length);
    const effect = this.work[index];
    if (effect === undefined) return;
    if (effect.type === 'watch' && this.driver.get(effect.key.assignment) === 'running') return;
    this.work.splice(index, 1);
    switch (effect.type) {
      case 'takeInventory': {
        if (effect.session < this.driverSession) return;
        this.driverSession = effect.session;
        const entries = [...this.driver].map(([n, state]) => ({
          driver: 'noop' as const,
          view: viewOf(n, state),
        }));
        const { connection, session } = effect;
        return this.step({ type: 'inventoried', connection, session, entries });
      }
      case 'start':
        return this.driverStarts(effect.spec);
      case 'watch':
        return this.driver.has(effect.key.assignment)
          ? this.step({ type: 'ended', key: effect.key, exit: exitOf({}) })
          : this.step({ type: 'vanished', key: effect.key });
      case 'stop': {
        const { assignment } = effect.key;
        this.tombstones.add(assignment);
        const isKnown = this.driver.has(assignment);
        if (isKnown) this.driver.set(assignment, 'ended');
        const exit = isKnown ? exitOf({ reason: 'stopped' }) : null;
        return this.step({ type: 'stopped', key: effect.key, exit });
      }
      case 'gatherReports':
        return this.step({ type: 'reportsDue' });
      case 'persist':
        this.disk.set(effect.report.assignment, effect.report);
        return this.step({ type: 'persisted', key: effect.report });
      case 'forget':
        invariant(this.driver.get(effect.key.assignment) !== 'running', 'what runs is not forgotten');
        invariant(this.reportedEnds.has(effect.key.assignment), 'forgotten only once reported');
        this.driver.delete(effect.key.assignment);
        this.tombstones.add(effect.key.assignment);
        this.disk.delete(effect.key.assignment);
        return this.step({ type: 'forgotten', key: effect.key });
      default:
        throw new Error(`no work: ${effect.type}`);
    }
  }

  driverStarts(spec: AttemptKey & { readonly session: number }): void {
    const { assignment, session } = spec;
    const key = { taskId: spec.taskId, assignment };
    // The shell has given up what older sessions asked for: nobody hears the refusal.
    if (session < this.driverSession) return;
    if (this.tombstones.has(assignment)) {
      return this.step({ type: 'startRefused', key, status: 'LOST', message: 'conflict' });
    }
    // Deliberately not idempotent: a second start shows.
    this.executions.set(assignment, (this.executions.get(assignment) ?? 0) + 1);
    this.driver.set(assignment, 'running');
    this.step({ type: 'started', key, view: viewOf(assignment, 'running') });
  }

  // The leader's side

  leaderReceives({ message }: WorkerEffect & { type: 'send' }): void {
    const { kind } = message;
    if (kind?.$case === 'register') {
      const startId = Number(kind.value.start_id);
      if (startId !== this.sessionStartId || this.session === 0) {
        this.session += 1;
        this.sessionStartId = startId;
        this.isReconciled = false;
      }
      const value = { session: this.session, heartbeat_interval_ms: 2000 };
      return this.answer({ $case: 'registered', value });
    }
    if (kind === undefined || kind.value.session !== this.session) return this.disconnect();
    if (kind.$case === 'heartbeat') {
      const { number } = kind.value;
      return this.answer({
        $case: 'heartbeat',
        value: { session: this.session, number, lease_ms: 0, heartbeat_interval_ms: 0 },
      });
    }
    if (kind.$case === 'reports') {
      for (const report of kind.value.reports) this.leaderLearns(report.assignment, report.status);
      return this.answer({ $case: 'reports', value: { session: this.session, number: kind.value.number } });
    }
    this.reconcile(new Set(kind.value.items.map((item) => item.assignment)));
  }

  reconcile(known: ReadonlySet<number>): void {
    for (const [n, attempt] of this.attempts) {
      if (attempt.session >= this.session || attempt.state === 'over') continue;
      if (known.has(n)) attempt.session = this.session;
      else attempt.state = 'over';
    }
    this.isReconciled = true;
    this.isStreaming = true;
    const parts = [...this.attempts].filter(([, { state }]) => state !== 'over');
    const half = Math.floor(parts.length / 2);
    this.sendDesired(parts.slice(0, half), true, true);
    this.sendDesired(parts.slice(half), true, false);
  }

  sendDesired(attempts: readonly [number, LeaderAttempt][], complete: boolean, more: boolean): void {
    const run = attempts
      .filter(([, { state }]) => state === 'run')
      .map(([n]) => assignmentOf(n, this.session));
    const stop = attempts
      .filter(([, { state }]) => state === 'stop')
      .map(([n]) => ({ task_id: `task-${n}`, assignment: n, grace_ms: 1, unless_begun: false }));
    this.answer({ $case: 'desired', value: { session: this.session, complete, more, run, stop } });
  }

  leaderLearns(n: number, status: string): void {
    if (status === 'STARTING' || status === 'RUNNING') return;
    this.reportedEnds.add(n);
    const attempt = this.attempts.get(n);
    if (attempt !== undefined) attempt.state = 'over';
  }

  assign(): void {
    if (!this.isReconciled || this.nextAssignment > 12) return;
    const n = this.nextAssignment;
    this.nextAssignment += 1;
    const attempt: LeaderAttempt = { session: this.session, state: 'run' };
    this.attempts.set(n, attempt);
    if (this.isStreaming) this.sendDesired([[n, attempt]], false, false);
  }

  cancel(pick: number): void {
    const running = [...this.attempts].filter(([, { state }]) => state === 'run');
    const chosen = running[pick % Math.max(1, running.length)];
    if (chosen === undefined) return;
    chosen[1].state = 'stop';
    if (this.isStreaming) this.sendDesired([chosen], false, false);
  }

  /** The node was silent for too long: its session ends, its attempts are given up. */
  endSession(): void {
    if (this.session === 0) return;
    this.sessionStartId = -1;
    this.isReconciled = false;
    for (const attempt of this.attempts.values()) attempt.state = 'over';
    this.disconnect();
  }

  answer(kind: LeaderMessage['kind']): void {
    this.toWorker.push({ connection: this.connection, message: { kind } });
  }

  /** Everything gets through and every effect finishes, until nothing more happens. */
  settle(): void {
    for (let round = 0; round < 2000; round += 1) {
      this.act('connect', 0);
      const wasIdle = this.isIdle();
      this.act('deliverToLeader', 0);
      this.act('deliverToWorker', 0);
      for (let index = 0; index <= this.work.length; index += 1) this.doWork(index);
      if (wasIdle && this.isIdle()) return;
    }
    throw new Error('the world does not settle');
  }

  isIdle(): boolean {
    return (
      this.toLeader.length + this.toWorker.length === 0 &&
      this.work.every(({ type }) => type === 'watch') &&
      this.core.isSynced
    );
  }
}

describe('the worker under random interleavings', () => {
  it('starts each assignment once, never after its stop, and reports every end until it is acknowledged', () => {
    const step = record({
      action: oneof(...ACTIONS.map(({ weight, action }) => ({ weight, arbitrary: constant(action) }))),
      pick: nat({ max: 1000 }),
    });
    assert(
      property(array(step, { minLength: 20, maxLength: 300, size: 'max' }), (steps) => {
        const world = new World();
        for (const { action, pick } of steps) world.act(action, pick);
        world.settle();
        for (const [n, executions] of world.executions) expect(executions, `executions of ${n}`).toBe(1);
        const wanted = [...world.attempts].filter(([, { state }]) => state === 'run').map(([n]) => n);
        expect(new Set(world.driver.keys()), 'what runs is what is desired').toEqual(new Set(wanted));
        for (const n of world.driver.keys()) world.driver.set(n, 'ended');
        world.settle();
        for (const n of world.executions.keys()) expect(world.reportedEnds.has(n), `end of ${n}`).toBe(true);
        expect(world.disk.size, 'nothing is left on disk').toBe(0);
        expect(world.core.knownAttempts).toBe(0);
      }),
      { numRuns: runs(1000) },
    );
  });
});
