import { describe, expect, it, onTestFinished } from 'vitest';

import { silentLog } from '../../lib/log.ts';
import { VirtualClock } from '../../lib/testing/virtual-clock.ts';
import { NO_COUNTERS, type AttemptCounters, type RunningAttempt } from '../drivers/attempt-counters.ts';
import type { ProcessEntry } from '../watchdog/processes.ts';
import { AttemptMeter, type AttemptMeterOptions } from './attempt-meter.ts';
import { MONITOR_LIMITS } from './limits.ts';

const ROUND_MS = MONITOR_LIMITS.roundIntervalMs;

/** Attempts whose counters the test says. */
class Bed {
  readonly clock = new VirtualClock();
  readonly counters = new Map<string, Partial<AttemptCounters> | null>();
  readonly warnings: unknown[] = [];
  running: RunningAttempt[] = [];
  reads: string[] = [];
  readMs = 0;
  #costMs = 0;
  readonly meter: AttemptMeter;

  constructor(options: Partial<AttemptMeterOptions> = {}) {
    this.meter = new AttemptMeter({
      drivers: [{ name: 'process', running: () => this.running }],
      reader: {
        read: ({ taskId }) => {
          this.reads.push(taskId);
          this.#costMs += this.readMs;
          const counters = this.counters.get(taskId) ?? null;
          return counters === null ? null : { ...NO_COUNTERS, ...counters };
        },
      },
      scan: async () => [],
      clock: this.clock,
      costMs: () => this.#costMs,
      log: { ...silentLog, warn: (details) => this.warnings.push(details) },
      ...options,
    });
    onTestFinished(() => this.meter.close());
  }

  run(taskId: string, fields: Partial<RunningAttempt> = {}): void {
    this.running.push({
      taskId,
      assignment: 1,
      attempt: 1,
      fencingToken: '7',
      startedAtMs: this.clock.wallMs(),
      cgroup: `/${taskId}`,
      isContainer: false,
      ...fields,
    });
  }
}

function entry(pid: number, taskId: string, fencingToken: string): ProcessEntry {
  return {
    pid,
    startTicks: '1',
    dead: false,
    processSession: 1,
    processGroup: 1,
    markers: { taskId, fencingToken, attempt: '1', errorFile: null },
  };
}

describe('the meter of attempts', () => {
  it('tells what each uses: first since its start, then since the sample before', async () => {
    const bed = new Bed();
    bed.run('a', { startedAtMs: bed.clock.wallMs() - 4000 });
    bed.counters.set('a', { cpuUs: 2_000_000, memoryBytes: 50, readBytes: 4000 });
    bed.meter.start();
    await bed.clock.advance(0);
    expect(bed.meter.all()).toMatchObject([
      {
        driver: 'process',
        use: { cpuCores: 0.5, memoryBytes: 50, readBytesPerSecond: 1000, writeBytesPerSecond: null },
      },
    ]);
    bed.counters.set('a', { cpuUs: 5_000_000, memoryBytes: 40, readBytes: 4000 });
    await bed.clock.advance(ROUND_MS);
    expect(bed.meter.all()).toMatchObject([
      { use: { cpuCores: 1.5, memoryBytes: 40, readBytesPerSecond: 0 } },
    ]);
    // The last processes but one have ended, and took what they had counted with them.
    bed.counters.set('a', { cpuUs: 1000, memoryBytes: 30 });
    await bed.clock.advance(ROUND_MS);
    expect(bed.meter.all()).toMatchObject([
      { use: { cpuCores: 0, memoryBytes: 30, readBytesPerSecond: null } },
    ]);
  });

  it('has the most demanding first, and none that has ended', async () => {
    const bed = new Bed();
    for (const [taskId, cpuUs] of [
      ['a', 10],
      ['b', 30],
      ['c', 20],
    ] as const) {
      bed.run(taskId);
      bed.counters.set(taskId, { cpuUs });
    }
    bed.run('unknown');
    bed.meter.start();
    await bed.clock.advance(0);
    const names = (): readonly string[] => bed.meter.all().map(({ attempt }) => attempt.taskId);
    expect(names()).toEqual(['b', 'c', 'a']);
    bed.running = bed.running.filter(({ taskId }) => taskId !== 'c');
    expect(names()).toEqual(['b', 'a']);
  });

  it('keeps a history, of as many as it has room for', async () => {
    const bed = new Bed();
    const { attemptHistories, historyIntervalMs, historySamples } = MONITOR_LIMITS;
    for (let at = 0; at <= attemptHistories; at += 1) {
      bed.run(`t${at}`);
      bed.counters.set(`t${at}`, { cpuUs: 0, memoryBytes: at });
    }
    bed.meter.start();
    await bed.clock.advance(historyIntervalMs * (historySamples + 10));
    const histories = bed.meter.all().map(({ history }) => history);
    expect(histories.filter((history) => history === null)).toHaveLength(1);
    const samples = histories.find((history) => history !== null)?.samples(-Infinity) ?? [];
    expect(samples).toHaveLength(historySamples);
    expect(samples[0]).toMatchObject({ cpu_cores: 0, pids: undefined });
    // One that ends makes room.
    bed.running.splice(1, 1);
    await bed.clock.advance(2 * historyIntervalMs);
    expect(bed.meter.all().filter(({ history }) => history === null)).toHaveLength(0);
  });

  it('rests the longer the more a round costs, and lets others go on in between', async () => {
    const bed = new Bed();
    bed.readMs = 1;
    for (let at = 0; at < 40; at += 1) {
      bed.run(`t${at}`);
      bed.counters.set(`t${at}`, { cpuUs: 0 });
    }
    bed.meter.start();
    await bed.clock.advance(0);
    expect(bed.reads).toHaveLength(MONITOR_LIMITS.sliceMs);
    const restMs = 40 * MONITOR_LIMITS.roundCostDivisor;
    await bed.clock.advance(restMs - 1);
    expect(bed.reads).toHaveLength(40);
    await bed.clock.advance(1);
    expect(bed.reads.length).toBeGreaterThan(40);
  });

  it('measures one that was asked for at once', async () => {
    const bed = new Bed();
    bed.run('a', { startedAtMs: bed.clock.wallMs() - 1000 });
    bed.counters.set('a', { cpuUs: 250_000 });
    const found = await bed.meter.one({ taskId: 'a', assignment: 1 });
    expect(found?.use.cpuCores).toBe(0.25);
    expect(await bed.meter.one({ taskId: 'a', assignment: 1 })).toBe(found);
    expect(bed.reads).toEqual(['a']);
    expect(await bed.meter.one({ taskId: 'a', assignment: 2 })).toBeNull();
  });

  it('finds those without a group by the marks of their processes', async () => {
    const asked: (readonly number[])[] = [];
    const bed = new Bed({
      scan: async () => [entry(5, 'a', '7'), entry(6, 'b', '7'), entry(8, 'a', '7'), entry(9, 'a', '6')],
      reader: {
        read: (_attempt, _memory, pids) => {
          asked.push(pids);
          return { ...NO_COUNTERS, pids: pids.length };
        },
      },
    });
    bed.run('a', { cgroup: null });
    bed.meter.start();
    await bed.clock.advance(0);
    expect(asked).toEqual([[5, 8]]);
    expect((await bed.meter.one({ taskId: 'a', assignment: 1 }))?.use.pids).toBe(2);
  });

  it('asks an engine about a few of those that are not found, in turn', async () => {
    const questions: string[] = [];
    const bed: Bed = new Bed({
      drivers: [
        {
          name: 'docker',
          running: () => bed.running,
          askCounters: async ({ taskId }) => {
            questions.push(taskId);
            if (taskId === 't0') throw new Error('no answer');
            return { ...NO_COUNTERS, memoryBytes: 7 };
          },
        },
      ],
    });
    const count = 2 * MONITOR_LIMITS.engineQuestions;
    for (let at = 0; at < count; at += 1) bed.run(`t${at}`);
    bed.meter.start();
    await bed.clock.advance(0);
    expect(questions).toHaveLength(MONITOR_LIMITS.engineQuestions);
    await bed.clock.advance(ROUND_MS);
    expect(new Set(questions).size).toBe(count);
    expect(bed.meter.all().map(({ use }) => use.memoryBytes)).toEqual(Array(count - 1).fill(7));
    expect(bed.warnings).toMatchObject([{ error: 'no answer' }]);
  });

  it('measures the others while an engine does not answer, and asks it nothing more meanwhile', async () => {
    const questions: string[] = [];
    const answer = Promise.withResolvers<AttemptCounters>();
    const bed: Bed = new Bed({
      drivers: [
        {
          name: 'docker',
          running: () => bed.running,
          askCounters: ({ taskId }) => {
            questions.push(taskId);
            return answer.promise;
          },
        },
      ],
    });
    bed.run('away');
    bed.run('here');
    bed.counters.set('here', { cpuUs: 0 });
    bed.meter.start();
    await bed.clock.advance(0);
    bed.counters.set('here', { cpuUs: 2_000_000 });
    await bed.clock.advance(ROUND_MS);
    expect(bed.meter.all()).toMatchObject([{ attempt: { taskId: 'here' }, use: { cpuCores: 1 } }]);
    expect(questions).toEqual(['away']);
    answer.resolve({ ...NO_COUNTERS, memoryBytes: 7 });
    await bed.clock.advance(ROUND_MS);
    expect(questions).toEqual(['away', 'away']);
    expect(bed.meter.all()).toHaveLength(2);
  });

  it('goes on after a failure, and tells of it now and then', async () => {
    const bed = new Bed({
      reader: {
        read: () => {
          throw new Error('too many open files');
        },
      },
    });
    bed.run('a');
    bed.meter.start();
    await bed.clock.advance(10 * ROUND_MS);
    expect(bed.warnings).toEqual([{ error: 'too many open files', heldBack: 0 }]);
    expect(bed.meter.all()).toEqual([]);
  });
});
