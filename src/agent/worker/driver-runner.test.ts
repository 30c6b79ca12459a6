import { describe, expect, it } from 'vitest';

import { JarvisError } from '../../lib/errors.ts';
import { silentLog } from '../../lib/log.ts';
import { VirtualClock } from '../../lib/testing/virtual-clock.ts';
import { NO_LIMITS } from '../../model/earlier-rows.ts';
import type { AttemptSpec, AttemptView, Driver, DriverName, Exit } from '../drivers/driver.ts';
import { DriverRunner } from './driver-runner.ts';
import { exitOf, viewOf } from './testing/values.ts';
import type { WorkerEvent } from './worker-events.ts';

type Calls = { [K in 'open' | 'start' | 'list' | 'wait' | 'stop' | 'remove']?: Driver[K] };

const key = { taskId: 'task-1', assignment: 1 };
const spec: AttemptSpec = {
  ...key,
  attempt: 1,
  session: 1,
  term: 1,
  fencingToken: '1',
  isLeased: true,
  container: null,
  user: null,
  command: ['noop'],
  env: {},
  workingDir: null,
  resources: { cpuMillis: 1, memoryBytes: 1 },
  limits: NO_LIMITS,
  timeoutMs: null,
  stopGraceMs: 1,
};

function driverOf(calls: Calls): Driver {
  return {
    name: 'noop',
    startsAtOnce: 2,
    open: async () => {},
    start: async () => viewOf(1, 'running'),
    list: async () => [],
    wait: async () => exitOf({}),
    stop: async () => null,
    remove: async () => {},
    close: async () => {},
    ...calls,
  };
}

function run(calls: Calls) {
  const clock = new VirtualClock();
  const events: WorkerEvent[] = [];
  const driver = driverOf(calls);
  const emit = (event: WorkerEvent): void => void events.push(event);
  const runner = new DriverRunner({ drivers: [driver], emit, clock, random: () => 0.5, log: silentLog });
  return { clock, events, runner };
}

/** Fails so often with the code, then answers. */
function failing<T>(code: 'unavailable' | 'conflict' | 'invalid' | 'not_found', times: number, answer: T) {
  let calls = 0;
  return async (): Promise<T> => {
    calls += 1;
    if (calls <= times) throw new JarvisError(code, 'no');
    return answer;
  };
}

/** Never answers, but obeys its signal. */
function hanging(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error));
  });
}

describe('DriverRunner', () => {
  it.each([
    ['conflict', 'LOST'],
    ['invalid', 'FAILED'],
  ] as const)('takes %s for a start that never happens', async (code, status) => {
    const { events, runner } = run({ start: failing(code, 1, viewOf(1, 'running')) });
    await runner.start('noop', spec);
    expect(events).toEqual([{ type: 'startRefused', key, status, message: 'no' }]);
  });

  it('asks again as long as it is not known whether it happened', async () => {
    const view: AttemptView = viewOf(1, 'running');
    const exit: Exit | null = exitOf({ reason: 'stopped' });
    const { clock, events, runner } = run({
      start: failing('unavailable', 5, view),
      wait: failing('unavailable', 5, exit),
      stop: failing('unavailable', 5, exit),
      remove: failing('unavailable', 5, undefined),
    });
    const all = [
      runner.start('noop', spec),
      runner.watch('noop', key, true),
      runner.stop('noop', key, 1),
      runner.forget('noop', key),
    ];
    await clock.advance(30_000);
    expect(await all[3]).toBe(true);
    // The stop gives the start up: it tells what became of the attempt.
    expect(events.map(({ type }) => type).toSorted((a, b) => a.localeCompare(b))).toEqual([
      'ended',
      'stopped',
    ]);
  });

  it('asks what each driver knows until it answers', async () => {
    const view: AttemptView = viewOf(1, 'running');
    const { clock, events, runner } = run({ list: failing('unavailable', 5, [view]) });
    const all = runner.lookForLeased();
    await clock.advance(30_000);
    await all;
    expect(events).toEqual([{ type: 'found', entries: [{ driver: 'noop', view }] }]);
  });

  it('tells what a start does, as long as somebody waits for it', async () => {
    const said: ((note: string) => void)[] = [];
    const { events, runner } = run({
      start: async (_spec, signal, onProgress = () => {}) => {
        said.push(onProgress);
        onProgress('pulling');
        return hanging(signal);
      },
    });
    const started = runner.start('noop', spec);
    await Promise.resolve();
    expect(events).toEqual([{ type: 'progress', key, note: 'pulling' }]);
    await runner.stop('noop', key, 1);
    await started;
    said[0]?.('still pulling');
    expect(events.map(({ type }) => type)).toEqual(['progress', 'stopped']);
  });

  it('starts as many at a time as the driver takes, and no fewer for another that is slow', async () => {
    const order: string[] = [];
    const starts =
      (name: DriverName) =>
      async ({ taskId }: AttemptSpec, signal: AbortSignal): Promise<never> => {
        order.push(`${name} ${taskId}`);
        return hanging(signal);
      };
    const docker = { ...driverOf({ start: starts('docker') }), name: 'docker' as const, startsAtOnce: 1 };
    const noop = driverOf({ start: starts('noop') });
    const runner = new DriverRunner({
      drivers: [docker, noop],
      emit: () => {},
      clock: new VirtualClock(),
      random: () => 0.5,
      log: silentLog,
    });
    const all = [
      ...['a', 'b'].map((taskId) => runner.start('docker', { ...spec, taskId })),
      ...['c', 'd', 'e'].map((taskId) => runner.start('noop', { ...spec, taskId })),
    ];
    await new Promise(setImmediate);
    expect(order).toEqual(['docker a', 'noop c', 'noop d']);
    runner.close();
    await Promise.all(all);
  });

  it('takes an unknown attempt for vanished', async () => {
    const { events, runner } = run({ wait: failing('not_found', 1, exitOf({})) });
    await runner.watch('noop', key, true);
    expect(events).toEqual([{ type: 'vanished', key }]);
  });

  it('tells that an adopted attempt runs, once it does', async () => {
    const listed: AttemptView[][] = [[viewOf(1, 'registered')], [viewOf(1, 'running')]];
    const { clock, events, runner } = run({
      list: async () => listed.shift() ?? [],
      wait: async (_key, signal) => hanging(signal),
    });
    const watched = runner.watch('noop', key, false);
    await clock.advance(1000);
    expect(events).toEqual([{ type: 'started', key, view: viewOf(1, 'running') }]);
    runner.close();
    await watched;
    expect(events).toHaveLength(1);
  });

  it('gives up the starts of older sessions, opens every driver and only then lists', async () => {
    const order: string[] = [];
    const { clock, events, runner } = run({
      open: async (session) => void order.push(`open ${session}`),
      list: async () => {
        order.push('list');
        return [viewOf(2, 'running')];
      },
      start: async (_spec, signal) => hanging(signal),
    });
    const started = runner.start('noop', spec);
    await runner.takeInventory(2, 9, new AbortController().signal);
    await started;
    await clock.advance(0);
    expect(order).toEqual(['open 2', 'list']);
    expect(events).toEqual([
      {
        type: 'inventoried',
        connection: 9,
        session: 2,
        entries: [{ driver: 'noop', view: viewOf(2, 'running') }],
      },
    ]);
  });

  it('says nothing of an inventory whose connection has ended: silence is no proof', async () => {
    const { clock, events, runner } = run({ list: failing('unavailable', 1000, []) });
    const controller = new AbortController();
    const taken = runner.takeInventory(1, 1, controller.signal);
    await clock.advance(20_000);
    controller.abort();
    await taken;
    expect(events).toEqual([]);
  });
});
