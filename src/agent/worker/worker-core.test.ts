import { describe, expect, it } from 'vitest';

import type { Assignment, LeaderMessage, Report } from '../../generated/worker.ts';
import type { AttemptView, Exit } from '../drivers/driver.ts';
import { assignmentOf, exitOf, registration, viewOf } from './testing/values.ts';
import { WorkerCore } from './worker-core.ts';
import type { WorkerCoreOptions } from './worker-core.ts';
import type { WorkerEffect, WorkerEvent } from './worker-events.ts';

const CORE_OPTIONS: WorkerCoreOptions = {
  registration: () => registration('n1', 'start-1'),
  environment: { node: 'n1', path: '/bin', home: '/root' },
  drivers: ['noop'],
  unacknowledged: [],
  wallMs: () => 1000,
};

function makeCore(unacknowledged: WorkerCoreOptions['unacknowledged'] = []): WorkerCore {
  return new WorkerCore({ ...CORE_OPTIONS, unacknowledged });
}

/** Drives a core by hand; each call returns the effects of one event. */
class Bench {
  readonly core: WorkerCore;
  connection = 0;

  constructor(core = makeCore()) {
    this.core = core;
  }

  step(event: WorkerEvent): readonly WorkerEffect[] {
    const effects = this.core.step(event);
    const others = effects.filter(({ type }) => type !== 'gatherReports');
    if (others.length === effects.length) return effects;
    return [...others, ...this.core.step({ type: 'reportsDue' })];
  }

  receive(kind: LeaderMessage['kind']): readonly WorkerEffect[] {
    return this.step({ type: 'received', connection: this.connection, message: { kind } });
  }

  desired(value: {
    complete?: boolean;
    more?: boolean;
    run?: Assignment[];
    stop?: number[];
    withdraw?: number[];
    session?: number;
  }) {
    return this.receive({
      $case: 'desired',
      value: {
        session: value.session ?? this.core.session,
        complete: value.complete ?? false,
        more: value.more ?? false,
        run: value.run ?? [],
        stop: [...(value.stop ?? []), ...(value.withdraw ?? [])].map((n) => ({
          task_id: `task-${n}`,
          assignment: n,
          grace_ms: 7,
          unless_begun: value.withdraw?.includes(n) === true,
        })),
      },
    });
  }

  /** Connects, registers and takes the inventory. */
  register(session: number, views: readonly AttemptView[] = []): readonly WorkerEffect[] {
    this.connection += 1;
    this.step({ type: 'connected', connection: this.connection });
    this.receive({ $case: 'registered', value: { session, heartbeat_interval_ms: 2000 } });
    const entries = views.map((view) => ({ driver: 'noop' as const, view }));
    return this.step({ type: 'inventoried', connection: this.connection, session, entries });
  }

  sync(session: number, views: readonly AttemptView[] = [], run: Assignment[] = []): readonly WorkerEffect[] {
    const before = this.register(session, views);
    return [...before, ...this.desired({ complete: true, run })];
  }

  granted(number: number, leaseMs: number): readonly WorkerEffect[] {
    const value = { session: this.core.session, number, lease_ms: leaseMs, heartbeat_interval_ms: 0 };
    return this.receive({ $case: 'heartbeat', value });
  }

  end(n: number, exit: Exit): readonly WorkerEffect[] {
    const key = { taskId: `task-${n}`, assignment: n };
    return [...this.step({ type: 'ended', key, exit }), ...this.step({ type: 'persisted', key })];
  }
}

function ofType<T extends WorkerEffect['type']>(effects: readonly WorkerEffect[], type: T) {
  return effects.filter((effect): effect is Extract<WorkerEffect, { type: T }> => effect.type === type);
}

function reportsIn(effects: readonly WorkerEffect[]): readonly Report[] {
  return ofType(effects, 'send').flatMap(({ message }) =>
    message.kind?.$case === 'reports' ? message.kind.value.reports : [],
  );
}

function sentKinds(effects: readonly WorkerEffect[]): readonly string[] {
  return ofType(effects, 'send').map(({ message }) => message.kind?.$case ?? 'none');
}

function stopsIn(effects: readonly WorkerEffect[]): readonly number[] {
  return ofType(effects, 'stop').map(({ key }) => key.assignment);
}

function leasedView(n: number): AttemptView {
  return { ...viewOf(n, 'running'), isLeased: true };
}

function found(...views: readonly AttemptView[]): WorkerEvent {
  return { type: 'found', entries: views.map((view) => ({ driver: 'noop', view })) };
}

function tick(monotonicMs: number): WorkerEvent {
  return { type: 'tick', monotonicMs, bootMs: monotonicMs, usage: null };
}

describe('the session', () => {
  it('registers, takes the inventory only then, and follows the complete set', () => {
    const bench = new Bench();
    bench.connection = 1;
    expect(sentKinds(bench.step({ type: 'connected', connection: 1 }))).toEqual(['register']);
    const granted = bench.receive({ $case: 'registered', value: { session: 5, heartbeat_interval_ms: 20 } });
    expect(granted).toEqual([{ type: 'takeInventory', connection: 1, session: 5, heartbeatIntervalMs: 20 }]);
    const known = bench.step({
      type: 'inventoried',
      connection: 1,
      session: 5,
      entries: [{ driver: 'noop', view: viewOf(3, 'running') }],
    });
    expect(ofType(known, 'send').at(0)?.message.kind).toEqual({
      $case: 'inventory',
      value: { session: 5, items: [{ task_id: 'task-3', assignment: 3 }] },
    });
    expect(bench.core.isSynced).toBe(false);
    const followed = bench.desired({ complete: true, run: [assignmentOf(3, 5), assignmentOf(4, 5)] });
    expect(ofType(followed, 'start').map(({ spec }) => spec.assignment)).toEqual([4]);
    expect(ofType(followed, 'synced')).toEqual([{ type: 'synced', session: 5 }]);
    expect(reportsIn(followed).map(({ status }) => status)).toEqual(['RUNNING']);
  });

  it('hangs up on an older session than it has been granted', () => {
    const bench = new Bench();
    bench.sync(5);
    bench.connection = 2;
    bench.step({ type: 'connected', connection: 2 });
    const effects = bench.receive({ $case: 'registered', value: { session: 4, heartbeat_interval_ms: 20 } });
    expect(ofType(effects, 'hangUp')).toHaveLength(1);
    expect(bench.core.session).toBe(5);
  });

  it('keeps what runs over a reconnect in the same session', () => {
    const bench = new Bench();
    bench.sync(5, [], [assignmentOf(1, 5)]);
    bench.step({ type: 'started', key: { taskId: 'task-1', assignment: 1 }, view: viewOf(1, 'running') });
    bench.step({ type: 'disconnected', connection: 1 });
    const effects = bench.sync(5, [viewOf(1, 'running')], [assignmentOf(1, 5)]);
    expect(ofType(effects, 'start')).toEqual([]);
    expect(ofType(effects, 'stop')).toEqual([]);
    expect(ofType(effects, 'watch')).toEqual([]);
  });

  it('ignores what comes from an earlier connection or for another session', () => {
    const bench = new Bench();
    bench.sync(5);
    const message: LeaderMessage = {
      kind: {
        $case: 'desired',
        value: { session: 5, complete: false, more: false, run: [assignmentOf(1, 5)], stop: [] },
      },
    };
    expect(bench.step({ type: 'received', connection: 0, message })).toEqual([]);
    expect(bench.desired({ session: 4, run: [assignmentOf(1, 4)] })).toEqual([]);
  });

  it('collects a complete set that comes in parts, and ignores changes before it', () => {
    const bench = new Bench();
    bench.register(5, [viewOf(9, 'running')]);
    expect(bench.desired({ run: [assignmentOf(1, 5)] })).toEqual([]);
    expect(bench.desired({ complete: true, more: true, run: [assignmentOf(1, 5)] })).toEqual([]);
    const effects = bench.desired({ complete: true, run: [assignmentOf(2, 5)] });
    expect(ofType(effects, 'start').map(({ spec }) => spec.assignment)).toEqual([1, 2]);
    expect(ofType(effects, 'stop').map(({ key }) => key.assignment)).toEqual([9]);
  });
});

describe('the lease', () => {
  it('counts from when the heartbeat was sent, and never gets shorter', () => {
    const bench = new Bench();
    bench.sync(5);
    bench.step(tick(1000));
    bench.step(tick(3000));
    const deadlines = [2, 1, 2].flatMap((number) =>
      ofType(bench.granted(number, 25_000), 'extendLease').map(({ deadlineMs }) => deadlineMs),
    );
    expect(deadlines).toEqual([28_000]);
  });

  it('takes no answer to a heartbeat of another session, nor one that was never sent', () => {
    const bench = new Bench();
    bench.sync(5);
    bench.step(tick(1000));
    bench.sync(6);
    expect(bench.granted(1, 25_000)).toEqual([]);
    expect(bench.granted(77, 25_000)).toEqual([]);
  });

  it('ends what runs within it, and nothing else, when it is over', () => {
    const bench = new Bench();
    const unleased = { ...assignmentOf(2, 5), unleased: true };
    bench.sync(5, [], [assignmentOf(1, 5), unleased, assignmentOf(3, 5)]);
    bench.step({ type: 'started', key: { taskId: 'task-1', assignment: 1 }, view: viewOf(1, 'running') });
    bench.step(tick(1000));
    bench.granted(1, 25_000);
    expect(bench.step({ type: 'leaseDue', bootMs: 25_999 })).toEqual([]);
    const effects = bench.step({ type: 'leaseDue', bootMs: 26_000 });
    expect(ofType(effects, 'stop').map(({ key, graceMs }) => [key.assignment, graceMs])).toEqual([
      [1, 0],
      [3, 0],
    ]);
  });

  it('is the reason that is told of what it ended, not of what ended by itself', () => {
    const bench = new Bench();
    bench.sync(5, [], [assignmentOf(1, 5), assignmentOf(2, 5), assignmentOf(3, 5)]);
    bench.step(tick(1000));
    bench.granted(1, 25_000);
    bench.step({ type: 'leaseDue', bootMs: 26_000 });
    const stopped = (n: number, exit: Exit | null) => {
      const key = { taskId: `task-${n}`, assignment: n };
      return [...bench.step({ type: 'stopped', key, exit }), ...bench.step({ type: 'persisted', key })];
    };
    const told = [
      ...stopped(1, exitOf({ reason: 'stopped', signal: 'SIGKILL' })),
      ...stopped(2, exitOf({ exitCode: 0 })),
      ...stopped(3, null),
    ].flatMap((effect) => (effect.type === 'persist' ? [effect.report] : []));
    expect(told.map(({ status, error }) => [status, error?.type])).toEqual([
      ['LOST', 'NodeLost'],
      ['COMPLETED', undefined],
      ['LOST', 'NodeLost'],
    ]);
    expect(told[0]?.error?.message).toMatch(/the lease ran out/);
  });
});

describe('the lease of an earlier start of the daemon', () => {
  it('is over for what that start left, before any session', () => {
    const bench = new Bench();
    const over = bench.step({ type: 'leaseDue', bootMs: 26_000 });
    expect(ofType(over, 'lookForLeased')).toHaveLength(1);
    expect(stopsIn(bench.step(found(leasedView(1), { ...leasedView(2), isLeased: false })))).toEqual([1]);
    expect(stopsIn(bench.step(found(leasedView(3))))).toContain(3);
  });

  it('is over for what only the inventory shows', () => {
    const bench = new Bench();
    bench.step({ type: 'leaseDue', bootMs: 26_000 });
    expect(stopsIn(bench.register(5, [leasedView(1), { ...leasedView(2), isLeased: false }]))).toEqual([1]);
  });

  it('is none any more where another was granted before the drivers answered', () => {
    const bench = new Bench();
    bench.step({ type: 'leaseDue', bootMs: 26_000 });
    bench.connection = 1;
    bench.step({ type: 'connected', connection: 1 });
    bench.receive({ $case: 'registered', value: { session: 5, heartbeat_interval_ms: 2000 } });
    bench.step(tick(27_000));
    bench.granted(1, 25_000);
    expect(bench.step(found(leasedView(1)))).toEqual([]);
  });
});

describe('heartbeats', () => {
  it('go out once the session is granted, with rising numbers', () => {
    const bench = new Bench();
    bench.connection = 1;
    bench.step({ type: 'connected', connection: 1 });
    expect(bench.step(tick(0))).toEqual([]);
    bench.receive({ $case: 'registered', value: { session: 5, heartbeat_interval_ms: 2000 } });
    const numbers = [tick(1), tick(2)].flatMap((event) =>
      ofType(bench.step(event), 'send').map(({ message }) =>
        message.kind?.$case === 'heartbeat' ? message.kind.value.number : null,
      ),
    );
    expect(numbers).toEqual([1, 2]);
  });

  it('give up a stream on which they are not answered, and none on which they are', () => {
    const bench = new Bench();
    bench.sync(5);
    for (let at = 0; at < 60_000; at += 2000) {
      expect(ofType(bench.step(tick(at)), 'hangUp')).toEqual([]);
      bench.receive({
        $case: 'heartbeat',
        value: { session: 5, number: 1, lease_ms: 0, heartbeat_interval_ms: 0 },
      });
    }
    const hangUps: number[] = [];
    for (let at = 60_000; at < 80_000 && hangUps.length === 0; at += 2000) {
      if (ofType(bench.step(tick(at)), 'hangUp').length > 0) hangUps.push(at);
    }
    expect(hangUps).toEqual([68_000]);
  });

  it('are held back until the watchdog has confirmed the newest deadline', () => {
    const bench = new Bench();
    bench.sync(5);
    expect(sentKinds(bench.step(tick(1000)))).toEqual(['heartbeat']);
    expect(bench.granted(1, 25_000)).toEqual([
      { type: 'extendLease', session: 5, deadlineMs: 26_000, leaseMs: 25_000 },
    ]);
    for (let at = 3000; at < 20_000; at += 2000) expect(bench.step(tick(at))).toEqual([]);
    bench.step({ type: 'leaseConfirmed', deadlineMs: 26_000 });
    expect(sentKinds(bench.step(tick(21_000)))).toEqual(['heartbeat']);
  });

  it('go out as often as the leader wants them by now', () => {
    const bench = new Bench();
    bench.sync(5);
    bench.step(tick(1000));
    const value = { session: 5, number: 1, lease_ms: 0, heartbeat_interval_ms: 500 };
    const effects = bench.receive({ $case: 'heartbeat', value });
    expect(effects).toEqual([{ type: 'beat', heartbeatIntervalMs: 500 }]);
    bench.step(tick(1500));
    expect(bench.receive({ $case: 'heartbeat', value: { ...value, number: 2 } })).toEqual([]);
  });

  it('ask for a longer lease before a restart, until the watchdog keeps it [CONFIRM]', () => {
    const bench = new Bench();
    const askedIn = (effects: readonly WorkerEffect[]) =>
      ofType(effects, 'send').map(({ message }) =>
        message.kind?.$case === 'heartbeat' ? message.kind.value.restart_lease_ms : null,
      );
    bench.sync(5);
    expect(askedIn(bench.step(tick(1000)))).toEqual([0]);
    expect(bench.step({ type: 'restarting', leaseMs: 120_000 })).toEqual([]);
    expect(askedIn(bench.step(tick(1100)))).toEqual([120_000]);
    // To the heartbeat that did not ask.
    bench.granted(1, 25_000);
    expect(bench.step({ type: 'leaseConfirmed', deadlineMs: 26_000 })).toEqual([]);
    expect(ofType(bench.granted(2, 120_000), 'extendLease')).toMatchObject([{ deadlineMs: 121_100 }]);
    expect(bench.step({ type: 'leaseConfirmed', deadlineMs: 26_000 })).toEqual([]);
    expect(bench.step({ type: 'leaseConfirmed', deadlineMs: 121_100 })).toEqual([
      { type: 'mayStop', deadlineMs: 121_100 },
    ]);
    expect(bench.core.leaseDeadlineMs).toBe(121_100);
  });

  it('give up a registration that is not answered', () => {
    const bench = new Bench();
    bench.step({ type: 'connected', connection: 1 });
    expect(bench.step(tick(0))).toEqual([]);
    expect(ofType(bench.step(tick(12_001)), 'hangUp')).toHaveLength(1);
  });
});

describe('starts and stops', () => {
  const refusals: readonly [string, Assignment, string][] = [
    ['another session', assignmentOf(8, 4), 'another session'],
    ['an older term', { ...assignmentOf(8, 5), term: 1 }, 'an older term'],
  ];
  it.each(refusals)('refuses a start of %s', (_name, assignment, reason) => {
    const bench = new Bench();
    bench.sync(5, [], [assignmentOf(1, 5)]);
    const effects = bench.desired({ run: [assignment] });
    expect(ofType(effects, 'start')).toEqual([]);
    expect(ofType(effects, 'refused').map((effect) => effect.reason)).toEqual([reason]);
  });

  it('executes a start once, however often it comes', () => {
    const bench = new Bench();
    bench.sync(5, [], [assignmentOf(1, 5)]);
    expect(ofType(bench.desired({ run: [assignmentOf(1, 5)] }), 'start')).toEqual([]);
  });

  it('refuses a start that comes after its stop, and says that nothing runs', () => {
    const bench = new Bench();
    bench.sync(5);
    const stop = bench.desired({ stop: [1] });
    expect(ofType(stop, 'stop')).toEqual([
      { type: 'stop', driver: null, key: { taskId: 'task-1', assignment: 1 }, graceMs: 7 },
    ]);
    expect(ofType(bench.desired({ run: [assignmentOf(1, 5)] }), 'start')).toEqual([]);
    const key = { taskId: 'task-1', assignment: 1 };
    const stopped = bench.step({ type: 'stopped', key, exit: null });
    expect(ofType(stopped, 'persist').map(({ report }) => report.status)).toEqual(['CANCELLED']);
    bench.step({ type: 'persisted', key });
    bench.receive({ $case: 'reports', value: { session: 5, number: 1 } });
    bench.step({ type: 'forgotten', key });
    const again = bench.desired({ run: [assignmentOf(1, 5)] });
    expect(ofType(again, 'start')).toEqual([]);
    expect(ofType(again, 'persist').map(({ report }) => report.status)).toEqual(['LOST']);
  });

  it('reports a driver that the node lacks', () => {
    const bench = new Bench();
    const effects = bench.sync(5, [], [{ ...assignmentOf(1, 5), driver: 'docker' }]);
    expect(ofType(effects, 'start')).toEqual([]);
    expect(ofType(effects, 'persist').map(({ report }) => report.error?.type)).toEqual(['StartFailed']);
  });

  it('builds the environment from scratch, the task last', () => {
    const bench = new Bench();
    const effects = bench.sync(5, [], [{ ...assignmentOf(1, 5), env: { HOME: '/h', A: '1' } }]);
    expect(ofType(effects, 'start').map(({ spec }) => spec.env)).toEqual([
      { PATH: '/bin', HOME: '/h', JARVIS_NODE: 'n1', A: '1' },
    ]);
  });

  it('forgets a start of an older session that no driver lists, and adopts one that is listed', () => {
    const bench = new Bench();
    bench.sync(5, [], [assignmentOf(1, 5), assignmentOf(2, 5)]);
    bench.step({ type: 'disconnected', connection: 1 });
    const effects = bench.register(6, [viewOf(2, 'running')]);
    const items = ofType(effects, 'send').flatMap(({ message }) =>
      message.kind?.$case === 'inventory' ? message.kind.value.items : [],
    );
    expect(items).toEqual([{ task_id: 'task-2', assignment: 2 }]);
    expect(ofType(effects, 'watch').map(({ key }) => key.assignment)).toEqual([2]);
  });
});

describe('reports', () => {
  it('writes an end to disk before it is sent, and forgets it only when it is acknowledged', () => {
    const bench = new Bench();
    bench.sync(5, [viewOf(1, 'running')], [assignmentOf(1, 5)]);
    bench.receive({ $case: 'reports', value: { session: 5, number: 1 } });
    const key = { taskId: 'task-1', assignment: 1 };
    const ended = bench.step({ type: 'ended', key, exit: exitOf({ exitCode: 3 }) });
    expect(ended.map(({ type }) => type)).toEqual(['persist']);
    const sent = bench.step({ type: 'persisted', key });
    expect(reportsIn(sent)).toMatchObject([{ status: 'FAILED', exit_code: 3, error_type: 'ExitCode' }]);
    expect(bench.receive({ $case: 'reports', value: { session: 5, number: 1 } })).toEqual([]);
    expect(bench.receive({ $case: 'reports', value: { session: 5, number: 2 } })).toEqual([
      { type: 'forget', driver: 'noop', key },
    ]);
  });

  it('has one batch under way, and sends the newest of each attempt in the next', () => {
    const bench = new Bench();
    bench.sync(5, [], [assignmentOf(1, 5)]);
    bench.step(tick(0));
    const view = viewOf(1, 'running');
    expect(reportsIn(bench.step({ type: 'started', key: view, view }))).toEqual([]);
    expect(reportsIn(bench.end(1, exitOf({})))).toEqual([]);
    const next = bench.receive({ $case: 'reports', value: { session: 5, number: 1 } });
    expect(reportsIn(next).map(({ status }) => status)).toEqual(['COMPLETED']);
  });

  it('sends again after a reconnect what was not acknowledged', () => {
    const bench = new Bench();
    bench.sync(5, [viewOf(1, 'running')], [assignmentOf(1, 5)]);
    bench.receive({ $case: 'reports', value: { session: 5, number: 1 } });
    bench.end(1, exitOf({}));
    bench.step({ type: 'disconnected', connection: 1 });
    const effects = bench.sync(5, [viewOf(1, 'ended')], []);
    expect(reportsIn(effects).map(({ status }) => status)).toEqual(['COMPLETED']);
    expect(ofType(effects, 'persist')).toEqual([]);
  });

  it('lists and reports ends that an earlier daemon left on disk', () => {
    const report = {
      taskId: 'task-1',
      assignment: 1,
      status: 'COMPLETED' as const,
      atMs: 2,
      startedAtMs: 1,
      exitCode: 0,
      signal: null,
      error: null,
      result: { rows: 1 },
      logTail: '',
      note: '',
      imageDigest: null,
    };
    const bench = new Bench(makeCore([report]));
    const effects = bench.sync(5);
    expect(reportsIn(effects)).toMatchObject([
      { task_id: 'task-1', status: 'COMPLETED', result: '{"rows":1}' },
    ]);
    const forget = bench.receive({ $case: 'reports', value: { session: 5, number: 1 } });
    expect(ofType(forget, 'forget').map(({ driver }) => driver)).toEqual([null]);
  });

  it('gathers what comes at the same moment into one batch', () => {
    const bench = new Bench();
    bench.sync(5, [viewOf(1, 'running'), viewOf(2, 'running')], [assignmentOf(1, 5), assignmentOf(2, 5)]);
    bench.receive({ $case: 'reports', value: { session: 5, number: 1 } });
    const step = (event: WorkerEvent): readonly WorkerEffect[] => bench.core.step(event);
    for (const n of [1, 2]) step({ type: 'ended', key: viewOf(n, 'running'), exit: exitOf({}) });
    const gathered = [1, 2].map((n) => step({ type: 'persisted', key: viewOf(n, 'running') }));
    expect(gathered).toEqual([[{ type: 'gatherReports' }], []]);
    const sent = reportsIn(step({ type: 'reportsDue' }));
    expect(sent.map(({ status }) => status)).toEqual(['COMPLETED', 'COMPLETED']);
    expect(step({ type: 'reportsDue' })).toEqual([]);
  });

  it('says nothing of a start that is over before the next heartbeat', () => {
    const bench = new Bench();
    expect(reportsIn(bench.sync(5, [], [assignmentOf(1, 5), assignmentOf(2, 5)]))).toEqual([]);
    const started = bench.step({
      type: 'started',
      key: { taskId: 'task-1', assignment: 1 },
      view: viewOf(1, 'running'),
    });
    expect(reportsIn(started)).toMatchObject([{ task_id: 'task-1', status: 'RUNNING' }]);
    expect(reportsIn(bench.step(tick(0)))).toEqual([]);
    const acknowledged = bench.receive({ $case: 'reports', value: { session: 5, number: 1 } });
    expect(reportsIn(acknowledged)).toMatchObject([{ task_id: 'task-2', status: 'STARTING' }]);
  });

  it('says what a start does, the newest first, and nothing of it once it runs', () => {
    const bench = new Bench();
    const key = { taskId: 'task-1', assignment: 1 };
    const progress = (note: string) => bench.step({ type: 'progress', key, note });
    const acknowledge = (number: number) =>
      bench.receive({ $case: 'reports', value: { session: 5, number } });
    expect(reportsIn(bench.sync(5, [], [assignmentOf(1, 5)]))).toEqual([]);
    expect(reportsIn(bench.step(tick(0)))).toMatchObject([{ status: 'STARTING', note: '' }]);
    progress('pulling: 1 %');
    progress('pulling: 2 %');
    expect(reportsIn(acknowledge(1))).toMatchObject([{ status: 'STARTING', note: 'pulling: 2 %' }]);
    progress('pulling: 3 %');
    bench.step({ type: 'started', key, view: { ...viewOf(1, 'running'), imageDigest: 'a@sha256:1' } });
    expect(reportsIn(progress('late'))).toEqual([]);
    expect(reportsIn(acknowledge(2))).toMatchObject([
      { status: 'RUNNING', note: '', image_digest: 'a@sha256:1' },
    ]);
    bench.end(1, exitOf({}));
    expect(reportsIn(progress('later'))).toEqual([]);
    expect(reportsIn(acknowledge(3))).toMatchObject([{ status: 'COMPLETED', image_digest: 'a@sha256:1' }]);
  });

  it('says that an attempt is being ended, again where that goes faster, and not once it has', () => {
    const bench = new Bench();
    const key = { taskId: 'task-1', assignment: 1 };
    const stopping = (killAtMs: number) =>
      bench.step({ type: 'stopping', key, stop: { reason: 'timeout', sinceMs: 10, killAtMs } });
    let number = 0;
    const acknowledge = () => {
      number += 1;
      return bench.receive({ $case: 'reports', value: { session: 5, number } });
    };
    bench.sync(5, [], [assignmentOf(1, 5)]);
    // Told before the word that it runs: that brings it along.
    stopping(1000);
    const started = bench.step({ type: 'started', key, view: viewOf(1, 'running') });
    const told = { reason: 'timeout', since_ms: 10 };
    expect(reportsIn(started)).toMatchObject([
      { status: 'RUNNING', stopping: { ...told, kill_at_ms: 1000 } },
    ]);
    acknowledge();
    expect(reportsIn(stopping(500))).toMatchObject([
      { status: 'RUNNING', stopping: { ...told, kill_at_ms: 500 } },
    ]);
    acknowledge();
    bench.end(1, exitOf({ reason: 'timeout' }));
    expect(reportsIn(stopping(100))).toEqual([]);
  });

  it('says of an attempt that ended at once what it ran', () => {
    const bench = new Bench();
    const key = { taskId: 'task-1', assignment: 1 };
    bench.sync(5, [], [assignmentOf(1, 5)]);
    const view = { ...viewOf(1, 'ended'), imageDigest: 'a@sha256:1' };
    const [persisted] = ofType(bench.step({ type: 'started', key, view }), 'persist');
    expect(persisted?.report).toMatchObject({ status: 'COMPLETED', imageDigest: 'a@sha256:1' });
  });

  it('gives the driver the image and the limits of an assignment', () => {
    const bench = new Bench();
    const container = {
      image: 'python',
      mounts: [{ source: '/a', target: '/b', read_only: true }],
      network: 'none',
      pull_policy: 'never',
      labels: { team: 'data' },
    };
    const run = [
      { ...assignmentOf(1, 5), container, limits: { cpu_millis: 5, pids: 7 } },
      assignmentOf(2, 5),
    ];
    const starts = ofType(bench.sync(5, [], run), 'start');
    expect(starts.map(({ spec }) => spec)).toMatchObject([
      {
        container: {
          image: 'python',
          user: null,
          mounts: [{ source: '/a', target: '/b', readOnly: true }],
          network: 'none',
          pullPolicy: 'never',
          labels: { team: 'data' },
        },
        resources: { cpuMillis: 100, memoryBytes: 1024 },
        limits: { cpuMillis: 5, memoryBytes: null, pids: 7 },
      },
      { container: null, limits: { cpuMillis: null, memoryBytes: null, pids: null } },
    ]);
  });

  it('registers with what the node offers at the time', () => {
    const drivers = [['noop'], ['noop', 'docker']];
    const registered = () => ({ ...registration('n1', 's'), drivers: drivers.shift() ?? [] });
    const core = new WorkerCore({ ...CORE_OPTIONS, registration: registered });
    const told = [1, 2].map((connection) => ofType(core.step({ type: 'connected', connection }), 'send'));
    expect(told.map(([effect]) => effect?.message.kind?.value)).toMatchObject([
      { drivers: ['noop'] },
      { drivers: ['noop', 'docker'] },
    ]);
  });

  it.each([
    ['FAILED', { type: 'startRefused', status: 'FAILED', message: 'm' }],
    ['LOST', { type: 'startRefused', status: 'LOST', message: 'm' }],
  ] as const)('reports a refused start as %s', (status, event) => {
    const bench = new Bench();
    bench.sync(5, [], [assignmentOf(1, 5)]);
    const effects = bench.step({ ...event, key: { taskId: 'task-1', assignment: 1 } });
    expect(ofType(effects, 'persist').map(({ report }) => report.status)).toEqual([status]);
  });
});

describe('what is not to be begun any more', () => {
  it('is refused from then on, and said to be over, where it is not known', () => {
    const bench = new Bench();
    bench.sync(5);
    const key = { taskId: 'task-1', assignment: 1 };
    expect(ofType(bench.desired({ withdraw: [1] }), 'stop')).toMatchObject([{ key, driver: null }]);
    bench.step({ type: 'stopped', key, exit: null });
    expect(reportsIn(bench.step({ type: 'persisted', key }))).toMatchObject([{ status: 'CANCELLED' }]);
    const late = bench.desired({ run: [assignmentOf(1, 5)] });
    expect(ofType(late, 'start')).toEqual([]);
  });

  it('goes on where it was begun, whatever has come of it', () => {
    const bench = new Bench();
    bench.sync(5, [viewOf(3, 'running')], [assignmentOf(1, 5), assignmentOf(3, 5)]);
    expect(stopsIn(bench.desired({ withdraw: [1, 3] }))).toEqual([]);
    // A complete set that names it so keeps it, too.
    bench.register(5, [viewOf(1, 'running'), viewOf(3, 'running')]);
    expect(stopsIn(bench.desired({ complete: true, withdraw: [1, 3] }))).toEqual([]);
    expect(stopsIn(bench.desired({ stop: [1] }))).toEqual([1]);
  });
});
